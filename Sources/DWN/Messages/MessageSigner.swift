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
    let payload = SignaturePayload(
      descriptorCID: CID(of: .object(descriptor)), recordID: recordID, contextID: contextID,
      encryptionCID: draft.encryption.map { CID(of: $0) }, protocolRole: draft.protocolRole)
    var json = JSONObject()
    json["recordId"] = .string(recordID.text)
    json["contextId"] = .string(contextID.text)
    json["descriptor"] = .object(descriptor)
    json["encryption"] = draft.encryption
    json["authorization"] = authorization(payload)
    return checked { () throws(DWNError) in
      try RecordsWrite(SignedMessage(signing: json, author: did, payload: payload))
    }
  }

  public func recordsDelete(_ record: RecordID, prune: Bool, at time: WallTime, role: ProtocolPath? = nil)
    -> SignedMessage
  {
    signed("Records", "Delete", ["recordId": .string(record.text), "prune": .bool(prune)], at: time, role: role)
  }

  public func recordsRead(_ filter: RecordsFilter, at time: WallTime, role: ProtocolPath? = nil) -> SignedMessage {
    signed("Records", "Read", ["filter": filter.json], at: time, role: role)
  }

  public func recordsQuery(
    _ filter: RecordsFilter, sort: DateSort? = nil, pagination: Pagination? = nil, at time: WallTime,
    role: ProtocolPath? = nil
  ) -> SignedMessage {
    var members: JSONObject = ["filter": filter.json]
    members["dateSort"] = sort.map { .string($0.rawValue) }
    members["pagination"] = pagination?.json
    return signed("Records", "Query", members, at: time, role: role)
  }

  public func protocolsConfigure(_ definition: JSONValue, at time: WallTime) -> SignedMessage {
    signed("Protocols", "Configure", ["definition": definition], at: time)
  }

  public func protocolsQuery(protocolURI: String?, at time: WallTime) -> SignedMessage {
    var members = JSONObject()
    if let protocolURI { members["filter"] = ["protocol": .string(protocolURI)] }
    return signed("Protocols", "Query", members, at: time)
  }

  private func signed(
    _ interface: String, _ method: String, _ members: JSONObject, at time: WallTime, role: ProtocolPath? = nil
  ) -> SignedMessage {
    var descriptor = JSONObject()
    descriptor["interface"] = .string(interface)
    descriptor["method"] = .string(method)
    descriptor["messageTimestamp"] = .string(time.timestamp)
    for (name, value) in members.members { descriptor[name] = value }
    let payload = SignaturePayload(descriptorCID: CID(of: .object(descriptor)), protocolRole: role)
    var json = JSONObject()
    json["descriptor"] = .object(descriptor)
    json["authorization"] = authorization(payload)
    return checked { () throws(DWNError) in try SignedMessage(signing: json, author: did, payload: payload) }
  }

  /// What was just built here has the right form, or this file has a mistake.
  private func checked<T>(_ body: () throws(DWNError) -> T) -> T {
    do { return try body() } catch { preconditionFailure("built a message of the wrong form: \(error)") }
  }

  private func authorization(_ payload: SignaturePayload) -> JSONValue {
    ["signature": GeneralJWS.sign(payload.json.encoded, with: identity).json]
  }
}
