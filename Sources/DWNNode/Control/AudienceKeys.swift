import DWN
import Identity
import Wire

/// Which audience records a tenant has, and which of several is the current one (dwn-server 10.3). The current one of an audience is
/// looked for once: this lives within one read of the store.
final class AudienceKeys {
  private static let fetchSize = 100

  private let tenant: DID
  private let reader: any MessageReader
  private var current: [AudienceName: RecordID] = [:]

  init(tenant: DID, reader: any MessageReader) {
    self.tenant = tenant
    self.reader = reader
  }

  /// Whether an audience has a record for this key.
  func have(_ name: AudienceName, keyID: String) throws -> Bool {
    let filter = EncryptionControl.audiences(name, keyID: keyID)
    return try !reader.find(Selection(filter: filter, visibility: .all, limit: 1)).isEmpty
      || reader.ended?.hadAudience(name, keyID: keyID) == true
  }

  /// Whether an answer to this filter leaves a message out: another record of the same audience stands for it, and the filter does
  /// not ask for this one by its id or its key.
  func isSuperseded(_ message: StoredMessage, for filter: RecordsFilter) throws -> Bool {
    guard message.kind == .write, message.place?.path == EncryptionControl.audience, filter.recordID == nil,
      !(filter.namesOneAudience && filter.tags["keyId"] != nil)
    else { return false }
    guard let name = try message.tags().flatMap({ AudienceName($0) }) else { return false }
    guard let current = try currentRecord(of: name) else { return false }
    return current != message.place?.recordID
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
  private func currentRecord(of name: AudienceName) throws -> RecordID? {
    if let known = current[name] { return known }
    var own = EncryptionControl.audiences(name)
    own.author = [tenant]
    let found = try oldest(own) ?? oldest(EncryptionControl.audiences(name))
    current[name] = found
    return found
  }

  /// Of several that are equally old, which is the order of the search, the one with the lowest id.
  private func oldest(_ filter: RecordsFilter) throws -> RecordID? {
    let selection = Selection(filter: filter, visibility: .all, sort: .createdAscending)
    var best: StoredMessage.Place?
    try reader.walk(selection, by: Self.fetchSize) { message in
      guard let place = message.place else { return true }
      if let best, place.dateCreated > best.dateCreated { return false }
      if best.map({ place.recordID < $0.recordID }) ?? true { best = place }
      return true
    }
    return best?.recordID
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
