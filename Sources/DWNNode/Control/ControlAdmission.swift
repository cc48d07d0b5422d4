import DWN
import Identity
import Wire

/// Admits the records under `$encryption/`, which carry the keys of audiences. What they may say and who may write them is not
/// in the protocol's own rules (dwn-server 10.1, 10.2).
struct ControlAdmission {
  let tenant: DID
  let reader: any MessageReader
  let definition: ProtocolDefinition

  /// The rule by which somebody else than the tenant may write this: the one that lets it create the role record. Throws
  /// status 400, and 401 for a delivery by somebody who could not create the role record.
  func check(_ write: RecordsWrite, data: [UInt8]?) throws -> ActionRule? {
    guard let data else {
      throw DWNError(400, "EncryptionControlValidateUnexpectedRecord", "a control record comes with its data")
    }
    if write.path == EncryptionControl.audience {
      let audience = try EncryptionControl.checkAudience(write, data: data, definition: definition)
      do {
        return try authorize(write, audience.name)
      } catch let refusal as DWNError {
        throw DWNError(400, "EncryptionControlValidateAudienceWriterUnauthorized", refusal.text)
      }
    }
    let claim = try EncryptionControl.checkDelivery(write, definition: definition)
    let rule = try authorize(write, claim.name)
    try check(claim)
    return rule
  }

  /// Whoever may create a record of the role may also make its keys.
  private func authorize(_ write: RecordsWrite, _ audience: AudienceName) throws -> ActionRule? {
    guard write.author != tenant else { return nil }
    let role = audience.contextID.map { ContextID($0, write.recordID) } ?? ContextID(root: write.recordID)
    return try RecordRules(reader: reader, definition: definition).authorize(
      write.author, role: write.signed.payload.protocolRole, to: [.create],
      on: RecordRules.Subject(
        path: audience.rolePath, contextID: role, recipient: write.recipient, chainEnd: audience.contextID))
  }

  /// A key is delivered to those who hold the role, and only one that is there.
  private func check(_ claim: EncryptionControl.DeliveryClaim) throws {
    guard try AudienceKeys(tenant: tenant, reader: reader).have(claim.name, keyID: claim.keyID) else {
      throw DWNError(
        400, "EncryptionControlValidateDeliveryAudienceMissing",
        "the audience record of \(claim.name) with the key \(claim.keyID) is not here: send it first")
    }
    let place = SiblingPlace(
      protocolURI: claim.name.protocolURI, path: claim.name.rolePath, parent: claim.name.contextID)
    guard try reader.roleRecord(place, recipient: claim.recipient) != nil else {
      throw DWNError(
        400, "EncryptionControlValidateDeliveryRecipientRoleRecordMissing",
        "\(claim.recipient) does not hold the role \(claim.name)")
    }
  }
}
