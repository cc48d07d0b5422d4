import DWN
import Identity
import Wire

/// Admits the records under `$encryption/`, which carry the keys of audiences. What they may say and who may write them is not
/// in the protocol's own rules (dwn-server 10.1, 10.2).
struct ControlAdmission {
  let tenant: DID
  let reader: any MessageReader
  let definitions: DefinitionCache

  /// Throws status 400, and 401 for a delivery by somebody who could not create the role record.
  func check(_ write: RecordsWrite, data: [UInt8]?) throws -> Admission {
    let definition = try definitions.definition(of: write.protocolURI, at: write.timestamp, in: reader)
    guard data != nil || reader.ended != nil else {
      throw DWNError(400, "EncryptionControlValidateUnexpectedRecord", "a control record comes with its data")
    }
    if write.path == EncryptionControl.audience {
      let name = try audience(of: write, data, definition)
      try checkDepth(name, of: definition, "AudienceContextIdInvalid", at: write.timestamp)
      do {
        return try authorize(write, name)
      } catch let refusal as DWNError {
        throw DWNError(400, "EncryptionControlValidateAudienceWriterUnauthorized", refusal.text)
      }
    }
    let claim = try EncryptionControl.checkDelivery(write, definition: definition)
    try checkDepth(claim.name, of: definition, "DeliveryTagsMismatch", at: write.timestamp)
    let admission = try authorize(write, claim.name)
    try check(claim, at: write.timestamp)
    return admission
  }

  /// One that was deleted comes again without its data, and its tags say which it was.
  private func audience(
    of write: RecordsWrite, _ data: [UInt8]?, _ definition: ProtocolDefinition
  ) throws -> AudienceName {
    if let data { return try EncryptionControl.checkAudience(write, data: data, definition: definition).name }
    guard let name = EncryptionControl.audience(of: write)?.name, name.protocolURI == write.protocolURI else {
      throw DWNError(
        400, "EncryptionControlValidateAudienceTagsMismatch",
        "the tags of an audience record name a role, and its context")
    }
    return name
  }

  /// The context of an audience is that of the role records' parent.
  private func checkDepth(
    _ name: AudienceName, of definition: ProtocolDefinition, _ code: String, at time: WallTime
  ) throws {
    let depth = try definitions.contextDepth(at: name.rolePath, of: definition, at: time, in: reader)
    guard depth == (name.contextID?.depth ?? 0) + 1 else {
      throw DWNError(
        400, "EncryptionControlValidate" + code,
        "the contexts of \(name.rolePath) have \(depth ?? 0) segments, and contextId has all of them but the last")
    }
  }

  /// The tenant, whoever has a grant for the role's path, and whoever may create a record of the role.
  private func authorize(_ write: RecordsWrite, _ audience: AudienceName) throws -> Admission {
    let signed = write.signed
    let grants = GrantRules(tenant: tenant, reader: reader)
    let carried = try grants.carried(by: signed)
    try carried?.checkWrite(write)
    if signed.isTenants(tenant, in: reader) { return Admission(share: .tenant, grantID: carried?.id) }
    if let id = write.permissionGrantID {
      try grants.check(id, for: signed, of: write.protocolURI) { try $0.checkWrite(write) }
      return Admission(share: .member, grantID: id)
    }
    let rule = try rule(for: write, audience)
    return Admission(share: rule.actor == .anyone ? .anyone : .member, grantID: carried?.id)
  }

  private func rule(for write: RecordsWrite, _ audience: AudienceName) throws -> ActionRule {
    try definitions.rules(of: write.protocolURI, at: write.timestamp, in: reader).authorize(
      write.author, role: write.signed.payload.protocolRole, to: [.create],
      on: .roleRecord(of: audience, id: write.recordID, recipient: write.recipient))
  }

  /// A key is delivered to those who hold the role, and only one that is there.
  private func check(_ claim: EncryptionControl.DeliveryClaim, at time: WallTime) throws {
    guard try AudienceKeys(tenant: tenant, reader: reader).have(claim.name, keyID: claim.keyID) else {
      throw DWNError(
        400, "EncryptionControlValidateDeliveryAudienceMissing",
        "the audience record of \(claim.name) with the key \(claim.keyID) is not here: send it first")
    }
    let place = SiblingPlace(
      protocolURI: claim.name.protocolURI, path: claim.name.rolePath, parent: claim.name.contextID)
    guard try holds(claim.recipient, place, at: time) else {
      throw DWNError(
        400, "EncryptionControlValidateDeliveryRecipientRoleRecordMissing",
        "\(claim.recipient) does not hold the role \(claim.name)")
    }
  }

  private func holds(_ recipient: DID, _ place: SiblingPlace, at time: WallTime) throws -> Bool {
    try reader.hasRole(place, recipient, at: time) || reader.ended?.isOver(place.parent) == true
  }
}
