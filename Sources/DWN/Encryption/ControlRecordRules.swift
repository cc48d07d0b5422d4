public import Identity
import Wire

extension EncryptionControl {
  /// What the admission of a delivery still depends on, after everything that the message alone can break was checked: an audience
  /// record with this name and key, and a live role record for the recipient.
  public struct DeliveryClaim: Hashable, Sendable {
    public let name: AudienceName
    public let keyID: String
    public let recipient: DID
  }

  /// The rules for an `$encryption/audience` record that need nothing but the message, its data and the definition of its protocol.
  /// Whether its author may write it, the node knows. Throws status 400.
  public static func checkAudience(
    _ write: RecordsWrite, data: [UInt8], definition: ProtocolDefinition
  ) throws(DWNError) -> AudienceRecord {
    try checkForm(write, schema: audienceSchema)
    guard write.encryption == nil else { throw .control("UnexpectedRecord", "an audience record is in clear") }
    let tags = try checkTags(write, "Audience", required: ["protocol", "rolePath", "contextId", "keyId"])
    let parts: AudienceRecord.Parts
    do { parts = try AudienceRecord.Parts(parsing: data) } catch {
      throw .control("UnexpectedRecord", error.description)
    }
    let record = parts.record
    guard tags == record.name.members(keyID: parts.keyID), record.name.protocolURI == write.protocolURI else {
      throw .control("AudienceTagsMismatch", "tags and data of an audience record say the same")
    }
    guard let role = definition.ruleSet(at: record.name.rolePath), role.isRole, let roleKey = role.keyAgreement else {
      throw .control("AudienceRolePathInvalid", "\(record.name.rolePath) is no role with a $keyAgreement")
    }
    guard parts.keyID == record.keyID else {
      throw .control("AudienceKeyIdMismatch", "keyId is not the thumbprint of publicKeyJwk")
    }
    guard record.sealed.keyID == PublicJWK.x25519(roleKey).thumbprint else {
      throw .control(
        "AudienceSealKeyIdMismatch", "the private key is not sealed to the $keyAgreement of \(record.name.rolePath)")
    }
    return record
  }

  /// The rules for an `$encryption/delivery` record that need nothing but the message and the definition of its protocol. Throws
  /// status 400.
  public static func checkDelivery(
    _ write: RecordsWrite, definition: ProtocolDefinition
  ) throws(DWNError) -> DeliveryClaim {
    try checkForm(write, schema: deliverySchema)
    guard let encryption = write.encryption, V1Envelope.claims(encryption) else {
      throw .control("UnexpectedRecord", "a delivery is encrypted")
    }
    let tags = try checkTags(
      write, "Delivery", required: ["protocol", "rolePath", "contextId", "keyId", "recipientAuthority"])
    guard let (name, keyID) = audience(of: write), name.protocolURI == write.protocolURI else {
      throw .control("DeliveryTagsMismatch", "the tags of a delivery name a role of its protocol, and its context")
    }
    guard definition.ruleSet(at: name.rolePath)?.isRole == true else {
      throw .control("DeliveryTagsMismatch", "\(name.rolePath) is no role of the protocol")
    }
    guard let recipient = write.recipient else {
      throw .control("DeliveryRecipientMissing", "a delivery has a recipient")
    }
    guard tags["recipientAuthority"]?.string == DeliveryRecord.roleHolder else {
      throw .control(
        "DeliveryRecipientAuthorityInvalid", "recipientAuthority is \(DeliveryRecord.roleHolder) and nothing else")
    }
    return DeliveryClaim(name: name, keyID: keyID, recipient: recipient)
  }

  private static func checkForm(_ write: RecordsWrite, schema: String) throws(DWNError) {
    guard write.isInitial else { throw .control("UnexpectedRecord", "a control record is never updated") }
    guard !write.published, !write.squash, write.parentID == nil else {
      throw .control("UnexpectedRecord", "a control record is unpublished, does not squash, and has no parent")
    }
    guard write.schema == schema, write.dataFormat == "application/json" else {
      throw .control("UnexpectedRecord", "a record here has the schema \(schema) and is application/json")
    }
    guard (1...maximumDataSize).contains(write.dataSize) else {
      throw .control("UnexpectedRecord", "a control record has at most \(maximumDataSize) bytes of data")
    }
  }

  private static func checkTags(
    _ write: RecordsWrite, _ kind: String, required: [String]
  ) throws(DWNError) -> JSONObject {
    let tags = write.tags ?? JSONObject()
    for name in required where tags[name]?.string == nil {
      throw .control("\(kind)MissingRequiredTag", "the tag \"\(name)\" is missing, or no text")
    }
    for name in tags.names where !required.contains(name) {
      throw .control("UnexpectedRecord", "a control record has no tag \"\(name)\"")
    }
    if let role = tags["rolePath"]?.string.flatMap({ ProtocolPath($0) }), AudienceName(tags) == nil {
      throw .control(
        kind == "Audience" ? "AudienceContextIdInvalid" : "DeliveryTagsMismatch",
        "contextId has as many segments as \(role) has parents, and is empty for a role at the root")
    }
    return tags
  }
}

extension DWNError {
  fileprivate static func control(_ code: String, _ text: String) -> DWNError {
    DWNError(400, "EncryptionControlValidate" + code, text)
  }
}
