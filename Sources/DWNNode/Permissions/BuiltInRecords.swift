import DWN
import Identity
import Wire

/// Whether a record of a protocol that every node has is what its path promises, by its data: permissions (dwn-server 8.1) and grant
/// keys (10.5). Refusals have status 400.
struct BuiltInRecords {
  let tenant: DID
  let reader: any MessageReader

  static func govern(_ write: RecordsWrite) -> Bool {
    DefinitionCache.isBuiltIn(write.protocolURI)
  }

  func check(_ write: RecordsWrite, data: [UInt8]) throws {
    let grants = GrantRules(tenant: tenant, reader: reader)
    if write.protocolURI == PermissionsProtocol.uri {
      let revoked = write.path == PermissionsProtocol.revocation ? write.parentID : nil
      try PermissionsProtocol.check(
        write, data: data, ending: try revoked.flatMap { try self.revoked($0, by: write, grants) })
    } else {
      let claim = try GrantKey.check(write, data: data)
      if let ended = try grants.ended(claim.grantID),
        ended.fits(from: claim.author, to: claim.recipient, for: claim.protocolURI, at: write.timestamp)
      {
        return
      }
      do {
        try claim.check(try grants.active(claim.grantID, at: write.timestamp))
      } catch let refusal as DWNError where refusal.status == 401 {
        throw DWNError(400, refusal.code, refusal.text)
      }
    }
  }

  /// The grant that a revocation ends. Of one that was deleted nobody knows any more which protocol it was for.
  private func revoked(
    _ id: RecordID, by write: RecordsWrite, _ grants: GrantRules
  ) throws -> PermissionsProtocol.RevokedGrant? {
    if let grant = try grants.stored(id) { return .init(id: id, protocolURI: grant.scope.protocolURI) }
    guard try grants.ended(id) != nil else { return nil }
    return .init(id: id, protocolURI: write.tags?["protocol"]?.string)
  }
}
