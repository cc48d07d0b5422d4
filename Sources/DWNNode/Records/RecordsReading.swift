import DWN
import Identity
import Wire

/// A RecordsRead with its parts as types. Throws status 400.
struct RecordsReadRequest: Sendable {
  let filter: RecordsFilter
  let sort: DateSort
  let grantID: RecordID?
  let role: String?
  let time: WallTime
  /// Once its signatures have been verified; `nil` when nobody signed.
  var signed: SignedMessage?

  var requester: DID? { signed?.author }

  init(_ message: Message, _ claimed: ClaimedMessage?) throws(DWNError) {
    guard case .recordsRead(let read) = message.body else {
      throw DWNError(400, "SchemaValidatorFailure", "not a RecordsRead")
    }
    filter = read.filter
    sort = read.sort ?? .createdAscending
    grantID = read.permissionGrantID
    role = claimed?.payload.protocolRole
    time = message.timestamp
  }
}

/// Answers a RecordsRead: one record with its data, or what ended it (dwn-server 5.1).
struct RecordsReading {
  let tenant: DID
  let transaction: any MessageReader
  let definitions: DefinitionCache
  let limits: NodeLimits

  /// Messages that are fetched from the store at a time where the first one may not be the one.
  private static let fetchSize = 100

  func reply(to request: RecordsReadRequest) throws -> NodeReply {
    let found = try first(of: request)
    guard let found, let place = found.place else { return NodeReply(Reply(.init(404, "Not Found"))) }
    let messages = try transaction.messages(of: place.recordID)
    let initial = messages.first { $0.content?.isInitial == true }
    if found.kind == .delete {
      let newestWrite = messages.filter { $0.kind == .write }.max { $1.isNewer(than: $0) } ?? found
      try authorize(request, newestWrite, place)
      var entry = JSONObject()
      entry["recordsDelete"] = try found.message()
      entry["initialWrite"] = try initial?.message()
      return NodeReply(Reply(.init(404, "Not Found"), members: ["entry": .object(entry)]))
    }
    try authorize(request, found, place)
    var write = ReplyEntry(message: try found.message())
    var entry = JSONObject()
    if let initial, initial.cid != found.cid { entry["initialWrite"] = try initial.message() }
    guard let content = try transaction.content(of: found) else {
      entry["recordsWrite"] = write.json
      return NodeReply(
        Reply(.init(410, "the record is here, and its data is not"), members: ["entry": .object(entry)]))
    }
    if content.size <= NodeLimits.inlineData, !limits.isStrict { write.data = try content.bytes() }
    entry["recordsWrite"] = write.json
    return NodeReply(Reply(.init(200, "OK"), members: ["entry": .object(entry)]), content: content)
  }

  private func first(of request: RecordsReadRequest) throws -> StoredMessage? {
    let audiences = AudienceKeys(tenant: tenant, reader: transaction)
    let mayBeSuperseded = request.filter.path == EncryptionControl.audience
    let selection = Selection(
      filter: request.filter, visibility: .all,
      hangsDeeper: try transaction.hangsDeeper(request.filter),
      occupancy: try transaction.occupancy(for: request.filter), includesDeletes: true,
      sort: request.sort)
    var first: StoredMessage?
    try transaction.walk(selection, by: mayBeSuperseded ? Self.fetchSize : 1) { message in
      first = try audiences.isSuperseded(message, for: request.filter) ? nil : message
      return mayBeSuperseded && first == nil
    }
    return first
  }

  /// `write` is what stands for the record, or stood for it. Throws status 401.
  private func authorize(_ request: RecordsReadRequest, _ write: StoredMessage, _ place: StoredMessage.Place) throws {
    if write.content?.isPublished == true { return }
    let grants = GrantRules(tenant: tenant, reader: transaction)
    if let signed = request.signed {
      let carried = try grants.carried(by: signed)
      try carried.map { try check($0, write, place) }
      let requester = signed.author
      let rules = { try definitions.rules(of: write.protocolURI, at: request.time, in: transaction, refusal: 401) }
      if signed.isTenants(tenant, in: transaction, by: try rules(), at: place.contextID) { return }
      if requester != tenant, requester == write.author || requester == place.recipient { return }
      // What a grant that is not delegated covers does not include keys for others (dwn-server 10.4).
      if let id = request.grantID, place.path != EncryptionControl.delivery {
        return try check(grants.invoked(id, for: signed), write, place)
      }
    }
    guard !place.path.isControl else { return try authorizeKey(request, write, place) }
    try definitions.rules(of: write.protocolURI, at: request.time, in: transaction, refusal: 401).authorize(
      request.requester, role: request.role, to: [.read],
      on: RecordRules.Subject(
        path: place.path, contextID: place.contextID, recipient: place.recipient, chainEnd: place.contextID))
  }

  private func check(_ grant: PermissionGrant, _ write: StoredMessage, _ place: StoredMessage.Place) throws {
    if place.path.isControl {
      try grant.checkControl(write.protocolURI, write.tags())
    } else {
      try grant.checkRecord(write.protocolURI, place.path, place.contextID)
    }
  }

  private func authorizeKey(
    _ request: RecordsReadRequest, _ write: StoredMessage, _ place: StoredMessage.Place
  ) throws {
    if let requester = request.requester, place.path == EncryptionControl.audience {
      if request.filter.namesOneAudience { return }
      let keys = AudienceKeys(tenant: tenant, reader: transaction)
      if try keys.mayCreateRole(of: write, requester, role: request.role, definitions, at: request.time) { return }
    }
    throw DWNError(
      401, "EncryptionControlReadUnauthorized", "a key is for those to whom it is delivered, or who name its audience")
  }
}
