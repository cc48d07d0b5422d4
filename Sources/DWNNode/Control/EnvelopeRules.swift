import DWN
import Identity
import Wire

/// To whom a record of a type that must be encrypted is encrypted, when it carries an envelope of version 1: to the key of its path,
/// and to every role that may read it (dwn-server 6.2, the rows marked E). Refusals have status 400.
struct EnvelopeRules {
  let tenant: DID
  let reader: any MessageReader
  let definition: ProtocolDefinition
  let definitions: DefinitionCache

  func check(_ write: RecordsWrite, _ rules: RuleSet) throws {
    guard let encryption = write.encryption, V1Envelope.claims(encryption),
      definition.types[write.path.typeName]?.encryptionRequired == true
    else { return }
    let envelope: V1Envelope
    do { envelope = try V1Envelope(.object(encryption)) } catch {
      throw DWNError(400, "SchemaValidatorFailure", error.description)
    }
    guard let key = rules.keyAgreement else {
      throw refused("KeyAgreementMissing", "\(write.path) has no $keyAgreement to encrypt to")
    }
    let keyID = PublicJWK.x25519(key).thumbprint
    guard envelope.entries.contains(where: { $0.scheme == .protocolPath && $0.keyID == keyID }) else {
      throw refused("ProtocolPathEntryMissing", "the record is not encrypted to the key of \(write.path)")
    }
    for role in rules.readingRoles { try check(envelope, role, write) }
  }

  private func check(_ envelope: V1Envelope, _ role: ProtocolPath, _ write: RecordsWrite) throws {
    let scheme = V1Envelope.Scheme.roleAudience(protocolURI: write.protocolURI, rolePath: role)
    let entries = envelope.entries.filter { $0.scheme == scheme }
    guard !entries.isEmpty else {
      throw refused("RoleAudienceEntryMissing", "the record is not encrypted to the role \(role), which may read it")
    }
    let depth = try definitions.contextDepth(at: role, of: definition, at: write.timestamp, in: reader)
    let name = AudienceName(protocolURI: write.protocolURI, role: role, reading: write.contextID, depth: depth)
    for entry in entries {
      guard let name, try AudienceKeys(tenant: tenant, reader: reader).have(name, keyID: entry.keyID) else {
        throw refused("RoleAudienceMissing", "no audience record of the role \(role) has the key \(entry.keyID)")
      }
    }
  }

  private func refused(_ code: String, _ text: String) -> DWNError {
    DWNError(400, "ProtocolAuthorizationEncryption" + code, text)
  }
}
