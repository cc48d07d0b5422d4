import DWN
import Identity
import Wire

/// The grant that a delegate's message carries, if it carries one: whether it covers what the message does (`trust.md` section 8).
/// Nothing here asks whether it was revoked.
struct GrantUse {
  private let signed: SignedMessage
  private let authority: Authority

  init(_ signed: SignedMessage, _ authority: Authority) {
    self.signed = signed
    self.authority = authority
  }

  func check(_ write: RecordsWrite) throws(Rejection) {
    try check { grant throws(DWNError) in try grant.checkWrite(write) }
  }

  /// For a delete, with the first write of the record that it ends.
  func checkDelete(of initial: RecordsWrite) throws(Rejection) {
    try check { grant throws(DWNError) in
      try grant.checkDelete(initial.protocolURI, initial.path, initial.contextID)
    }
  }

  func checkConfigure() throws(Rejection) {
    try check { grant throws(DWNError) in try grant.checkConfigure(of: MeshProtocol.uri) }
  }

  private func check(_ scope: (PermissionGrant) throws(DWNError) -> Void) throws(Rejection) {
    guard let grant = signed.authorGrant?.grant else { return }
    do throws(DWNError) {
      try grant.check(for: signed.message, by: signed.signer, from: authority.anchor, revoked: nil)
      try scope(grant)
    } catch {
      throw Rejection(.grantRefused(error))
    }
  }
}
