import DWN
import Identity
import Wire

/// Answers a RecordsQuery or a RecordsCount. Having no right is no error: the answer has fewer entries, or none (dwn-server 5.2).
struct RecordsQuerying {
  let tenant: DID
  let transaction: any MessageReader
  let definitions: DefinitionCache
  let limits: NodeLimits
  private let rights: RecordsVisibility

  init(tenant: DID, transaction: any MessageReader, definitions: DefinitionCache, limits: NodeLimits) {
    self.tenant = tenant
    self.transaction = transaction
    self.definitions = definitions
    self.limits = limits
    rights = RecordsVisibility(tenant: tenant, reader: transaction, definitions: definitions)
  }

  /// Messages that are fetched from the store at a time.
  private static let fetchSize = 500

  func reply(to request: RecordsQueryRequest) throws -> Reply {
    var selection = try selection(for: request)
    selection.after = request.cursor.flatMap { cursor in cursor.value.string.map { ($0, cursor.messageCID) } }
    var entries: [JSONValue] = []
    var last: StoredMessage?
    var size = 0
    var hasMore = false
    fetching: while true {
      let wanted = (request.limit ?? .max) - entries.count
      selection.limit = min(wanted, Self.fetchSize - 1) + 1
      let found = try transaction.find(selection)
      for message in found where try !rights.hides(message, from: request) {
        let entry = try self.entry(message)
        size += entry.encoded.count
        guard entries.count < request.limit ?? .max, size <= limits.largestReply || entries.isEmpty else {
          hasMore = true
          break fetching
        }
        entries.append(entry)
        last = message
      }
      guard found.count == selection.limit, let reached = found.last else { break }
      selection.after = (request.sort.value(of: reached), reached.cid)
    }
    var members: JSONObject = ["entries": .array(entries)]
    if hasMore, let last {
      members["cursor"] =
        Pagination.Cursor(messageCID: last.cid, value: .string(request.sort.value(of: last))).json
    }
    return Reply(.init(200, "OK"), members: members)
  }

  /// The number that a query without a limit would show.
  func count(for request: RecordsQueryRequest) throws -> Reply {
    var selection = try selection(for: request)
    var count = try transaction.count(selection)
    for path in rights.hidingPaths(for: request) {
      selection.filter.path = path
      try transaction.walk(selection, by: Self.fetchSize) { message in
        if try rights.hides(message, from: request) { count -= 1 }
        return true
      }
    }
    return Reply(.init(200, "OK"), members: ["count": .integer(Int64(count))])
  }

  /// What the requester may see at a time: that of the request, unless another one is given. `occupancy` is found here unless it is
  /// at hand.
  func selection(
    for request: RecordsQueryRequest, at time: WallTime? = nil, occupancy: [Selection.Occupancy]? = nil
  ) throws -> Selection {
    let filter = request.filter
    if let method = request.nestedMethod, let path = filter.path, !path.isControl, let context = filter.contextID,
      path.depth > 1, context.depth > path.depth
    {
      try filter.checkNesting(method, depth: depth(at: path, for: request))
    }
    let visibility = try rights.visibility(for: request, at: time)
    let occupancy = try occupancy ?? transaction.occupancy(for: filter)
    if let path = filter.path, occupancy.contains(where: { $0.path == path }) { try checkScope(request, at: path) }
    return Selection(
      filter: filter, visibility: visibility, hangsDeeper: try transaction.hangsDeeper(filter),
      occupancy: occupancy, sort: request.sort)
  }

  /// How deep the records of a path stand, as far as this node knows the protocol.
  private func depth(at path: ProtocolPath, for request: RecordsQueryRequest) throws -> Int {
    guard let uri = request.filter.protocolURI,
      let cid = try transaction.configureCID(of: uri, at: request.time),
      let definition = try definitions.definition(cid: cid, in: transaction)
    else { return path.depth }
    return try definitions.contextDepth(at: path, of: definition, at: request.time, in: transaction) ?? path.depth
  }

  /// Where only so many records are shown below one parent, a query stays below one (dwn-server 6.6).
  private func checkScope(_ request: RecordsQueryRequest, at path: ProtocolPath) throws {
    let filter = request.filter
    guard path.depth > 1, filter.parentID == nil, filter.recordID == nil else { return }
    guard let context = filter.contextID, context.depth + 1 >= path.depth,
      try context.depth + 1 >= depth(at: path, for: request)
    else {
      throw DWNError(
        400, "RecordsRecordLimitAncestorScopeUnsupported",
        "the number of records at \(path) is limited: a query there names their parent")
    }
  }

  private func entry(_ message: StoredMessage) throws -> JSONValue {
    var entry = ReplyEntry(message: try message.message())
    if let content = message.content {
      if content.dataSize <= NodeLimits.inlineData { entry.data = try transaction.data(of: message) }
      if !content.isInitial, let record = message.place?.recordID {
        entry.initialWrite = try transaction.messages(of: record).first { $0.content?.isInitial == true }?.message()
      }
    }
    return entry.json
  }
}
