import DWN
import Identity
import Wire

/// Who may use the Messages interface: the tenant, and who has grants for it (dwn-server 8.3, 9.5). Refusals have status 401.
struct MessagesAccess: Sendable {
  let tenant: DID
  /// A MessagesQuery, MessagesRead or MessagesSubscribe.
  let signed: SignedMessage

  /// For a query or a subscription: every filter must name a protocol that a grant is for, unless a grant is for all of them.
  /// `moment` stands in for the message's own time where the right is used again. Returns whether small data is shown beside the
  /// messages: a grant for protocols alone shows what is there, and each message is read by itself.
  func authorize(
    _ filters: [MessagesFilter], at moment: WallTime? = nil, in reader: any MessageReader
  ) throws -> Bool {
    guard let grants = try grants(at: moment, in: reader) else { return true }
    if grants.contains(where: { $0.scope.protocolURI == nil }) { return true }
    let covered = Set(grants.compactMap(\.scope.protocolURI))
    guard !filters.isEmpty, filters.allSatisfy({ $0.protocolURI.map { covered.contains($0) } ?? false }) else {
      throw DWNError(
        401, "MessagesGrantAuthorizationMismatchedProtocol", "every filter must name a protocol that a grant is for")
    }
    return false
  }

  /// For a read that finds nothing. Who has no right at all does not learn that.
  func authorizeReadingNothing(in reader: any MessageReader) throws { _ = try grants(at: nil, in: reader) }

  /// For a read of one message.
  func authorize(reading message: StoredMessage, in reader: any MessageReader) throws {
    guard let grants = try grants(at: nil, in: reader) else { return }
    var uris: Set<String> = [message.protocolURI]
    // A permission record belongs to the protocol that it is about, too.
    if message.protocolURI == PermissionsProtocol.uri, let uri = try message.tags()?["protocol"]?.string {
      uris.insert(uri)
    }
    var refusal: DWNError?
    for grant in grants {
      do { return try grant.checkMessage(of: uris) } catch { refusal = error }
    }
    if let refusal { throw refusal }
  }

  /// Those that the message invokes; all of them must hold. `nil` for the tenant, who needs none.
  private func grants(at moment: WallTime?, in reader: any MessageReader) throws -> [PermissionGrant]? {
    if signed.isTenants(tenant, in: reader) { return nil }
    let ids = signed.message.body.permissionGrantIDs
    guard !ids.isEmpty else {
      throw DWNError(
        401, "\(signed.message.kind.rawValue)AuthorizationFailed", "the feed is for the tenant, and who has a grant")
    }
    let rules = GrantRules(tenant: tenant, reader: reader)
    return try ids.map { try rules.invoked($0, for: signed, at: moment) }
  }
}
