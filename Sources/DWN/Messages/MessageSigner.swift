public import Identity
public import Wire

/// Builds messages and signs them as one identity.
///
/// Every message needs a time; two messages about one record need rising ones, which the caller sees to (`Mesh` has the clock
/// that rises across all of a network's records).
public struct MessageSigner: Sendable {
  public let identity: MachineIdentity

  public init(_ identity: MachineIdentity) {
    self.identity = identity
  }

  public var did: DID { identity.did }

  public func recordsWrite(_ draft: RecordDraft, at time: WallTime) -> RecordsWrite {
    let descriptor = draft.descriptor(at: time)
    let recordID = draft.recordID ?? RecordsWrite.entryID(of: descriptor, author: did)
    let contextID = draft.contextID ?? draft.parent.map { ContextID($0, recordID) } ?? ContextID(root: recordID)
    var payload = SignaturePayload(
      descriptorCID: CID(of: .object(descriptor)), recordID: recordID, contextID: contextID,
      encryptionCID: draft.encryption.map { CID(of: $0) }, protocolRole: draft.protocolRole)
    payload.permissionGrantID = draft.permissionGrantID?.text
    var json = JSONObject()
    json["recordId"] = .string(recordID.text)
    json["contextId"] = .string(contextID.text)
    json["descriptor"] = .object(descriptor)
    json["encryption"] = draft.encryption
    json["authorization"] = authorization(payload)
    return checked { () throws(DWNError) in try RecordsWrite(SignedMessage(signing: Message(.object(json)))) }
  }

  public func recordsDelete(_ record: RecordID, prune: Bool, at time: WallTime, role: ProtocolPath? = nil)
    -> SignedMessage
  {
    message(.recordsDelete(RecordsDelete(record, prune: prune)), at: time, role: role)
  }

  public func recordsRead(_ filter: RecordsFilter, at time: WallTime, role: ProtocolPath? = nil) -> SignedMessage {
    message(.recordsRead(RecordsRead(filter)), at: time, role: role)
  }

  public func recordsQuery(
    _ filter: RecordsFilter, sort: DateSort? = nil, pagination: Pagination? = nil, at time: WallTime,
    role: ProtocolPath? = nil
  ) -> SignedMessage {
    message(.recordsQuery(RecordsQuery(filter, sort: sort, pagination: pagination)), at: time, role: role)
  }

  public func recordsCount(_ filter: RecordsFilter, at time: WallTime, role: ProtocolPath? = nil) -> SignedMessage {
    message(.recordsCount(RecordsCount(filter)), at: time, role: role)
  }

  public func recordsSubscribe(
    _ filter: RecordsFilter, cursor: ProgressToken? = nil, at time: WallTime, role: ProtocolPath? = nil
  ) -> SignedMessage {
    message(.recordsSubscribe(RecordsSubscribe(filter, cursor: cursor)), at: time, role: role)
  }

  public func protocolsConfigure(_ definition: JSONValue, at time: WallTime) -> SignedMessage {
    message(.protocolsConfigure(ProtocolsConfigure(definition.object ?? JSONObject())), at: time)
  }

  public func protocolsQuery(protocolURI: String?, at time: WallTime) -> SignedMessage {
    message(.protocolsQuery(ProtocolsQuery(protocolURI: protocolURI)), at: time)
  }

  /// Signs what is asked for, of any kind but a RecordsWrite. A grant that it names is named in what is signed, too.
  public func message(_ body: MessageBody, at time: WallTime, role: ProtocolPath? = nil) -> SignedMessage {
    precondition(body.kind != .recordsWrite, "a record is written from a draft")
    var descriptor = JSONObject()
    descriptor["interface"] = .string(body.kind.interface)
    descriptor["method"] = .string(body.kind.method)
    descriptor["messageTimestamp"] = .string(time.timestamp)
    for (name, value) in body.members.members { descriptor[name] = value }
    var payload = SignaturePayload(descriptorCID: CID(of: .object(descriptor)), protocolRole: role)
    payload.permissionGrantID = body.permissionGrantID?.text
    if !body.permissionGrantIDs.isEmpty { payload.permissionGrantIDs = body.permissionGrantIDs.map(\.text) }
    var json = JSONObject()
    json["descriptor"] = .object(descriptor)
    json["authorization"] = authorization(payload)
    let message = Message(making: body, descriptor: descriptor, json: json, at: time)
    return checked { () throws(DWNError) in try SignedMessage(signing: message) }
  }

  /// What was just built here has the right form, or this file has a mistake.
  private func checked<T>(_ body: () throws(DWNError) -> T) -> T {
    do { return try body() } catch { preconditionFailure("built a message of the wrong form: \(error)") }
  }

  private func authorization(_ payload: SignaturePayload) -> JSONValue {
    ["signature": GeneralJWS.sign(payload.json.encoded, with: identity).json]
  }
}
