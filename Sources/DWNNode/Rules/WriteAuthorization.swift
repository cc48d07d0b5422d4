import DWN
import Identity
import Wire

/// Who may write a record, other than one with an audience's key (dwn-server 3.3). Refusals have status 401.
struct WriteAuthorization {
  let tenant: DID
  let reader: any MessageReader
  let definitions: DefinitionCache

  /// `initial` is the first write of the record, once there is one.
  func admission(of write: RecordsWrite, initial: StoredMessage?) throws -> Admission {
    let signed = write.signed
    let grants = GrantRules(tenant: tenant, reader: reader)
    try Self.checkOwner(of: signed, tenant)
    let carried = try grants.carried(by: signed)
    try carried?.checkWrite(write)
    if let owner = signed.owner {
      let lent = try grants.carried(by: owner, for: signed.message)
      try lent?.checkWrite(write)
      return Admission(share: .tenant, grantID: lent?.id ?? carried?.id)
    }
    let rules = { try definitions.rules(of: write.protocolURI, at: write.timestamp, in: reader) }
    if signed.isTenants(tenant, in: reader, by: try rules(), at: write.contextID) {
      return Admission(share: .tenant, grantID: carried?.id)
    }
    if let id = write.permissionGrantID {
      try grants.check(id, for: signed, of: write.protocolURI) { try $0.checkWrite(write) }
      return Admission(share: .member, grantID: id)
    }
    let rule = try rule(for: write, initial: initial)
    return Admission(share: rule.actor == .anyone ? .anyone : .member, grantID: carried?.id)
  }

  /// Nobody but the tenant takes a record for its own.
  static func checkOwner(of signed: SignedMessage, _ tenant: DID) throws(DWNError) {
    if let owner = signed.owner, owner.did != tenant {
      throw DWNError(401, "RecordsWriteOwnerAndTenantMismatch", "the record is owned by somebody else than the tenant")
    }
  }

  private func rule(for write: RecordsWrite, initial: StoredMessage?) throws -> ActionRule {
    let actions: Set<RecordAction> =
      if write.isInitial {
        write.squash ? [.squash, .create] : [.create]
      } else {
        initial?.author == write.author ? [.update, .coUpdate] : [.coUpdate]
      }
    return try definitions.rules(of: write.protocolURI, at: write.timestamp, in: reader).authorize(
      write.author, role: write.signed.payload.protocolRole, to: actions,
      on: RecordRules.Subject(
        path: write.path, contextID: write.contextID, recipient: initial?.place?.recipient ?? write.recipient,
        chainEnd: write.isInitial ? write.contextID.parent : write.contextID))
  }
}
