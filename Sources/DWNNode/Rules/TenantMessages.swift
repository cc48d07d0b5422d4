import DWN
import Identity

extension SignedMessage {
  /// Whether a message is the tenant's, and made for the tenant's own node, where it needs neither a role nor a grant.
  ///
  /// No message says for which node it was made. One that names a role or a grant was made for somebody else's: whoever sees it there,
  /// and sends it here, gains nothing by it. What comes again from another node of the tenant was judged when it came first.
  func isTenants(_ tenant: DID, in reader: any MessageReader) -> Bool {
    author == tenant && (reader.ended != nil || !namesRight)
  }

  var namesRight: Bool {
    payload.protocolRole != nil || message.body.permissionGrantID != nil || !message.body.permissionGrantIDs.isEmpty
  }
}
