import DWN
import Identity

extension SignedMessage {
  /// Whether a message is the tenant's, and made for the tenant's own node, where it needs neither a role nor a grant.
  ///
  /// No message says for which node it was made. One that names a role or a grant was made for somebody else's: whoever sees it there,
  /// and sends it here, gains nothing by it, unless the tenant holds the role here, too: `rules` and `context` say where. What comes again
  /// from another node of the tenant was judged when it came first.
  func isTenants(
    _ tenant: DID, in reader: any MessageReader, by rules: @autoclosure () throws -> RecordRules? = nil,
    at context: ContextID? = nil
  ) -> Bool {
    guard author == tenant else { return false }
    if reader.ended != nil || !namesRight { return true }
    guard let role = payload.protocolRole, message.body.permissionGrantID == nil, let rules = try? rules() else {
      return false
    }
    return (try? rules.check(role: role, of: tenant, in: context)) != nil
  }

  private var namesRight: Bool {
    payload.protocolRole != nil || message.body.permissionGrantID != nil || !message.body.permissionGrantIDs.isEmpty
  }
}
