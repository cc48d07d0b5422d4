import DWN
import Identity
import Wire

/// Which audience records a tenant has, and which of several is the current one (dwn-server 10.3).
struct AudienceKeys {
  let tenant: DID
  let reader: any MessageReader

  /// Whether an audience has a record for this key.
  func have(_ name: AudienceName, keyID: String) throws -> Bool {
    let filter = EncryptionControl.audiences(name, keyID: keyID)
    return try !reader.find(Selection(filter: filter, visibility: .all, limit: 1)).isEmpty
  }

  /// Whether an answer to this filter leaves a message out: another record of the same audience stands for it, and the filter does
  /// not ask for this one by its id or its key.
  func isSuperseded(_ message: StoredMessage, for filter: RecordsFilter) throws -> Bool {
    guard message.kind == .write, message.place?.path == EncryptionControl.audience, filter.recordID == nil,
      !(filter.namesOneAudience && filter.tags["keyId"] != nil)
    else { return false }
    guard let name = try message.tags().flatMap({ AudienceName($0) }) else { return false }
    let all = try reader.find(Selection(filter: EncryptionControl.audiences(name), visibility: .all))
    return all.contains { isBefore($0, message) }
  }

  /// Whether somebody may create the role record that an audience record is about: then its keys may be listed.
  func mayCreateRole(
    of message: StoredMessage, _ requester: DID, role: String?, _ definitions: DefinitionCache, at time: WallTime
  ) throws -> Bool {
    guard let audience = try message.tags().flatMap({ AudienceName($0) }), let record = message.place?.recordID else {
      return false
    }
    do {
      try definitions.rules(of: message.protocolURI, at: time, in: reader, refusal: 401).authorize(
        requester, role: role, to: [.create], on: .roleRecord(of: audience, id: record))
      return true
    } catch is DWNError {
      return false
    }
  }

  /// The tenant's own before all others, then the oldest, then the lowest id.
  private func isBefore(_ a: StoredMessage, _ b: StoredMessage) -> Bool {
    guard let first = a.place, let second = b.place else { return false }
    if (a.author == tenant) != (b.author == tenant) { return a.author == tenant }
    return first.dateCreated == second.dateCreated
      ? first.recordID < second.recordID : first.dateCreated < second.dateCreated
  }
}

extension RecordRules.Subject {
  /// A record of an audience's role that does not exist yet.
  static func roleRecord(of audience: AudienceName, id: RecordID, recipient: DID? = nil) -> RecordRules.Subject {
    RecordRules.Subject(
      path: audience.rolePath, contextID: audience.contextID.map { ContextID($0, id) } ?? ContextID(root: id),
      recipient: recipient, chainEnd: audience.contextID)
  }
}

extension RecordsFilter {
  /// Whether it asks for keys of audiences of one protocol. Of what it finds, only some may be shown.
  var namesAudiences: Bool { protocolURI != nil && path == EncryptionControl.audience }

  /// Whether it asks for the keys of exactly one audience. Everybody may (dwn-server 10.4): but for the sealed key, what stands
  /// there is public.
  var namesOneAudience: Bool {
    guard protocolURI != nil, path == EncryptionControl.audience else { return false }
    return ["protocol", "rolePath", "contextId"].allSatisfy { name in
      if case .equals(.string) = tags[name] { true } else { false }
    }
  }
}
