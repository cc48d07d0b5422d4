import DWN
import Identity
import Wire

/// A RecordsRead with its parts as types. Throws status 400.
struct RecordsReadRequest: Sendable {
  let filter: RecordsFilter
  let sort: DateSort
  /// `nil` when the message is not signed.
  let requester: DID?
  let role: String?
  let time: WallTime

  init(_ message: Message, _ signed: SignedMessage?) throws(DWNError) {
    filter = try RecordsFilter(message.descriptor["filter"] ?? .null)
    sort = message.descriptor["dateSort"]?.string.flatMap { DateSort(rawValue: $0) } ?? .createdAscending
    requester = signed?.author
    role = signed?.payload.protocolRole
    time = message.timestamp
  }
}

/// Answers a RecordsRead: one record with its data, or what ended it (dwn-server 5.1).
struct RecordsReading {
  let tenant: DID
  let transaction: any MessageReader
  let definitions: DefinitionCache

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
    if content.size <= NodeLimits.inlineData { write.data = try content.bytes() }
    entry["recordsWrite"] = write.json
    return NodeReply(Reply(.init(200, "OK"), members: ["entry": .object(entry)]), content: content)
  }

  private func first(of request: RecordsReadRequest) throws -> StoredMessage? {
    let audiences = AudienceKeys(tenant: tenant, reader: transaction)
    let mayBeSuperseded = request.filter.path == EncryptionControl.audience
    return try transaction.find(
      Selection(
        filter: request.filter, visibility: .all,
        occupancy: try definitions.occupancy(for: request.filter, in: transaction), includesDeletes: true,
        sort: request.sort, limit: mayBeSuperseded ? nil : 1)
    ).first { try !audiences.isSuperseded($0, for: request.filter) }
  }

  private func authorize(_ request: RecordsReadRequest, _ write: StoredMessage, _ place: StoredMessage.Place) throws {
    if request.requester == tenant || write.content?.isPublished == true { return }
    if let requester = request.requester, requester == write.author || requester == place.recipient { return }
    guard !place.path.isControl else {
      if request.requester != nil, place.path == EncryptionControl.audience, request.filter.namesOneAudience { return }
      throw DWNError(
        401, "EncryptionControlReadUnauthorized", "a key is for those to whom it is delivered, or who name its audience"
      )
    }
    let definition = try definitions.definition(
      of: write.protocolURI, at: request.time, in: transaction, refusal: 401)
    try RecordRules(reader: transaction, definition: definition).authorize(
      request.requester, role: request.role, to: [.read],
      on: RecordRules.Subject(
        path: place.path, contextID: place.contextID, recipient: place.recipient, chainEnd: place.contextID))
  }
}
