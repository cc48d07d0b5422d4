import DWN
import Identity
import Wire

/// What a RecordsQuery, RecordsCount or RecordsSubscribe asks for, with its parts as types. Throws status 400, and 401 when only
/// the tenant's own could be meant and nobody signed.
struct RecordsQueryRequest: Sendable {
  let filter: RecordsFilter
  let sort: DateSort
  let limit: Int?
  let cursor: Pagination.Cursor?
  /// `nil` when the message is not signed.
  let requester: DID?
  let role: String?
  let time: WallTime

  init(_ message: Message, _ signed: SignedMessage?) throws(DWNError) {
    let descriptor = message.descriptor
    filter = try RecordsFilter(descriptor["filter"] ?? .null)
    sort = descriptor["dateSort"]?.string.flatMap { DateSort(rawValue: $0) } ?? .createdAscending
    requester = signed?.author
    role = signed?.payload.protocolRole
    time = message.timestamp
    (limit, cursor) = try Self.page(descriptor["pagination"])
    if filter.published == false, sort == .publishedAscending || sort == .publishedDescending {
      throw DWNError(
        400, "RecordsQueryParseFilterPublishedSortInvalid", "unpublished records cannot be sorted by publication")
    }
    if role != nil, filter.path == nil {
      throw DWNError(
        400, message.kind.rawValue + "FilterMissingRequiredProperties", "with a role, the filter names a protocolPath")
    }
    if message.kind != .recordsSubscribe || limit == nil { try Self.checkNesting(filter, of: message.kind) }
    guard requester != nil || filter.published != false else {
      throw DWNError(401, "AuthenticateJwsMissing", "unpublished records are shown to those who sign")
    }
  }

  private static func page(_ json: JSONValue?) throws(DWNError) -> (Int?, Pagination.Cursor?) {
    guard let json else { return (nil, nil) }
    guard let page = json.object, page.names.allSatisfy({ $0 == "limit" || $0 == "cursor" }) else {
      throw DWNError(400, "SchemaValidatorFailure", "pagination has a limit and a cursor")
    }
    var limit: Int?
    if let value = page["limit"] {
      guard let number = value.integer, (1...1000).contains(number) else {
        throw DWNError(400, "SchemaValidatorFailure", "pagination.limit is 1 to 1000")
      }
      limit = Int(number)
    }
    var cursor: Pagination.Cursor?
    if let value = page["cursor"] {
      cursor = Pagination.Cursor(value)
      guard cursor?.value.string != nil else {
        throw DWNError(400, "SchemaValidatorFailure", "pagination.cursor is one that a reply gave")
      }
    }
    return (limit, cursor)
  }

  /// Records below others are asked for below one parent or ancestor.
  private static func checkNesting(_ filter: RecordsFilter, of kind: Message.Kind) throws(DWNError) {
    guard let path = filter.path, !path.isControl, path.depth > 1 else { return }
    if filter.parentID != nil, filter.contextID == nil { return }
    if let context = filter.contextID, context.depth <= path.depth { return }
    throw DWNError(
      400, kind.rawValue + "NestedProtocolPathContextIdInvalid",
      "a query at \(path) names a parentId, or a contextId of at most \(path.depth) segments")
  }
}

/// Answers a RecordsQuery or a RecordsCount. Having no right is no error: the answer has fewer entries, or none (dwn-server 5.2).
struct RecordsQuerying {
  let tenant: DID
  let transaction: any MessageReader
  let definitions: DefinitionCache
  let limits: NodeLimits

  /// Messages that are fetched from the store at a time.
  private static let fetchSize = 500

  func reply(to request: RecordsQueryRequest) throws -> Reply {
    var selection = try selection(for: request)
    selection.after = request.cursor.flatMap { cursor in cursor.value.string.map { ($0, cursor.messageCID) } }
    let audiences = AudienceKeys(tenant: tenant, reader: transaction)
    var entries: [JSONValue] = []
    var last: StoredMessage?
    var size = 0
    var hasMore = false
    fetching: while true {
      let wanted = (request.limit ?? .max) - entries.count
      selection.limit = min(wanted, Self.fetchSize - 1) + 1
      let found = try transaction.find(selection)
      for message in found where try !audiences.isSuperseded(message, for: request.filter) {
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
      selection.after = (sortValue(reached, request.sort), reached.cid)
    }
    var members: JSONObject = ["entries": .array(entries)]
    if hasMore, let last {
      members["cursor"] =
        Pagination.Cursor(messageCID: last.cid, value: .string(sortValue(last, request.sort))).json
    }
    return Reply(.init(200, "OK"), members: members)
  }

  /// The number that a query without a limit would show.
  func count(for request: RecordsQueryRequest) throws -> Reply {
    var selection = try selection(for: request)
    var count = try transaction.count(selection)
    if request.filter.path.map({ $0 == EncryptionControl.audience }) ?? true {
      let audiences = AudienceKeys(tenant: tenant, reader: transaction)
      selection.filter.path = EncryptionControl.audience
      count -= try transaction.find(selection).count { try audiences.isSuperseded($0, for: request.filter) }
    }
    return Reply(.init(200, "OK"), members: ["count": .integer(Int64(count))])
  }

  /// What the requester may see at a time: that of the request, unless another one is given. `occupancy` is found here unless it is
  /// at hand.
  func selection(
    for request: RecordsQueryRequest, at time: WallTime? = nil, occupancy: [Selection.Occupancy]? = nil
  ) throws -> Selection {
    let visibility = try visibility(for: request, at: time ?? request.time)
    let occupancy = try occupancy ?? definitions.occupancy(for: request.filter, in: transaction)
    if let path = request.filter.path, occupancy.contains(where: { $0.path == path }) {
      try checkScope(request.filter, at: path)
    }
    return Selection(filter: request.filter, visibility: visibility, occupancy: occupancy, sort: request.sort)
  }

  /// Where only so many records are shown below one parent, a query stays below one (dwn-server 6.6).
  private func checkScope(_ filter: RecordsFilter, at path: ProtocolPath) throws(DWNError) {
    guard path.depth > 1, filter.parentID == nil, filter.recordID == nil else { return }
    guard let context = filter.contextID, context.depth >= path.depth - 1 else {
      throw DWNError(
        400, "RecordsRecordLimitAncestorScopeUnsupported",
        "the number of records at \(path) is limited: a query there names their parent")
    }
  }

  private func visibility(for request: RecordsQueryRequest, at time: WallTime) throws -> Selection.Visibility {
    guard let requester = request.requester else { return .published }
    if requester != tenant, request.filter.namesOneAudience { return .all }
    if let role = request.role, let path = request.filter.path, requester != tenant {
      guard let uri = request.filter.protocolURI else {
        throw DWNError(401, "ProtocolAuthorizationProtocolNotFound", "with a role, the filter names a protocol")
      }
      let definition = try definitions.definition(of: uri, at: time, in: transaction, refusal: 401)
      try RecordRules(reader: transaction, definition: definition)
        .authorizeQuery(requester, role: role, at: path, context: request.filter.contextID)
      return .all
    }
    return requester == tenant ? .all : .publishedAndOwn(requester)
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

  private func sortValue(_ message: StoredMessage, _ sort: DateSort) -> String {
    switch sort {
    case .createdAscending, .createdDescending: message.place?.dateCreated.timestamp ?? ""
    case .publishedAscending, .publishedDescending: message.content?.datePublished?.timestamp ?? ""
    case .updatedAscending, .updatedDescending: message.timestamp.timestamp
    }
  }
}
