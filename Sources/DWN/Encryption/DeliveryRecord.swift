public import Cryptography
public import Identity
public import Wire

/// `$encryption/delivery`: the private key of an audience, on its way to one holder of the role. It is encrypted to the key that the
/// *recipient* has at the role's path, derived from its own root: the definition on its own tenant shows the public half.
public struct DeliveryRecord: Sendable {
  public let name: AudienceName
  public let key: X25519PrivateKey

  public var keyID: String { PublicJWK.x25519(key.publicKey).thumbprint }

  public init(_ name: AudienceName, key: X25519PrivateKey) {
    self.name = name
    self.key = key
  }

  /// Of `recipientAuthority`: why somebody is given a key.
  public static let roleHolder = "roleHolder"

  /// The record for one holder of the role, ready to be signed by the owner. `recipientKey` is the recipient's own at the role's
  /// path.
  public func draft(
    to recipient: DID, key recipientKey: X25519PublicKey, random: some RandomSource
  ) throws(EnvelopeError) -> RecordDraft {
    var plaintext = json.encoded
    defer { wipe(&plaintext) }
    let (envelope, ciphertext) = try V1Envelope.seal(
      plaintext, to: [V1Envelope.Recipient(recipientKey, .protocolPath)], random: random)
    return RecordDraft(
      protocolURI: name.protocolURI, path: EncryptionControl.delivery, schema: EncryptionControl.deliverySchema,
      recipient: recipient, tags: tags, encryption: envelope.json, data: ciphertext)
  }

  /// What the recipient finds in a delivery. That the owner signed it is verified before.
  ///
  /// Throws unless data, tags and key say the same, and the key is the one that they name.
  public init(opening write: RecordsWrite, data: [UInt8], as recipient: KeyTree) throws(EnvelopeError) {
    guard write.path == EncryptionControl.delivery, let (name, keyID) = EncryptionControl.audience(of: write),
      name.protocolURI == write.protocolURI
    else { throw .malformed("the record is no delivery of an audience's key") }
    let own = recipient.typeKey(protocolURI: name.protocolURI, path: name.rolePath)
    var plaintext = try V1SealedRecord(write, data: data).open(with: own, as: .protocolPath)
    defer { wipe(&plaintext) }
    guard let object = (try? JSONValue(parsing: plaintext))?.object, AudienceName(object) == name,
      object["keyId"]?.string == keyID, let material = object["keyMaterial"]?.object,
      material["algorithm"]?.string == WrappedKey.algorithm, material["derivationScheme"]?.string == "roleAudience",
      material["keyId"]?.string == keyID
    else { throw .malformed("a delivery names one audience and one key in its tags and its data") }
    guard let key = material["privateKeyJwk"].flatMap(X25519PrivateKey.init(privateJWK:)),
      material["publicKeyJwk"].flatMap(X25519PublicKey.init(publicJWK:)) == key.publicKey,
      PublicJWK.x25519(key.publicKey).thumbprint == keyID
    else { throw .malformed("a delivery holds another key than the one that it names") }
    self.init(name, key: key)
  }

  var tags: JSONObject {
    var tags = name.members(keyID: keyID)
    tags["recipientAuthority"] = .string(Self.roleHolder)
    return tags
  }

  var json: JSONValue {
    var object = name.members(keyID: keyID)
    object["keyMaterial"] = [
      "algorithm": .string(WrappedKey.algorithm), "derivationScheme": "roleAudience", "keyId": .string(keyID),
      "publicKeyJwk": PublicJWK.x25519(key.publicKey).json, "privateKeyJwk": key.privateJWK,
    ]
    return .object(object)
  }
}

extension DeliveryRecord: CustomStringConvertible, CustomReflectable {
  public var description: String { "the key \(keyID) of \(name)" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
