public import Cryptography
import Identity
public import Wire

/// `$encryption/audience`: the key pair of an audience, whose private half is sealed to the key of its role's path, so that the
/// owner can always recover it. In clear.
public struct AudienceRecord: Hashable, Sendable {
  public let name: AudienceName
  public let publicKey: X25519PublicKey
  /// The private key, for the owner.
  public let sealed: WrappedKey

  public var keyID: String { PublicJWK.x25519(publicKey).thumbprint }

  /// A new key pair for an audience. `roleKey` is the `$keyAgreement` key of the role's path in the owner's definition.
  public static func mint(
    _ name: AudienceName, roleKey: X25519PublicKey, random: some RandomSource
  ) throws(EnvelopeError) -> (record: AudienceRecord, key: X25519PrivateKey) {
    let key = X25519PrivateKey(random: random)
    let keyID = PublicJWK.x25519(key.publicKey).thumbprint
    let sealed = try WrappedKey(
      wrapping: key.bytes, for: roleKey, name.seal(keyID: keyID), ephemeral: X25519PrivateKey(random: random))
    return (AudienceRecord(name: name, publicKey: key.publicKey, sealed: sealed), key)
  }

  /// The private key, for whoever has that of the role's path. Throws `notAuthentic` when what is sealed is another key.
  public func unseal(with roleKey: X25519PrivateKey) throws(EnvelopeError) -> X25519PrivateKey {
    guard sealed.keyID == PublicJWK.x25519(roleKey.publicKey).thumbprint else { throw .notAddressed(kid: sealed.keyID) }
    guard let bytes = sealed.unwrap(with: roleKey, name.seal(keyID: keyID)),
      let key = X25519PrivateKey(bytes), key.publicKey == publicKey
    else { throw .notAuthentic }
    return key
  }

  /// The record, ready to be signed by the owner.
  public var draft: RecordDraft {
    RecordDraft(
      protocolURI: name.protocolURI, path: EncryptionControl.audience, schema: EncryptionControl.audienceSchema,
      tags: name.members(keyID: keyID), data: json.encoded)
  }

  public var json: JSONValue {
    var seal = sealed.members
    seal["derivationScheme"] = "seal"
    var object = name.members(keyID: keyID)
    object["publicKeyJwk"] = PublicJWK.x25519(publicKey).json
    object["sealedPrivateKey"] = .object(seal)
    return .object(object)
  }

  /// Reads a record's data. Throws `malformed`, also when `keyId` is not the thumbprint of the key.
  public init(parsing data: [UInt8]) throws(EnvelopeError) {
    let parts = try Parts(parsing: data)
    guard parts.keyID == PublicJWK.x25519(parts.record.publicKey).thumbprint else {
      throw .malformed("keyId is not the thumbprint of publicKeyJwk")
    }
    self = parts.record
  }

  private init(name: AudienceName, publicKey: X25519PublicKey, sealed: WrappedKey) {
    self.name = name
    self.publicKey = publicKey
    self.sealed = sealed
  }
}

extension AudienceRecord {
  /// What stands in the data, with the `keyId` that it gives itself.
  struct Parts {
    let record: AudienceRecord
    let keyID: String

    init(parsing data: [UInt8]) throws(EnvelopeError) {
      guard data.count <= EncryptionControl.maximumDataSize, let object = (try? JSONValue(parsing: data))?.object else {
        throw .malformed("an audience record is a JSON object")
      }
      let names = ["protocol", "rolePath", "contextId", "keyId", "publicKeyJwk", "sealedPrivateKey"]
      for name in object.names where !names.contains(name) {
        throw .malformed("an audience record has an unknown member")
      }
      guard let name = AudienceName(object), let keyID = object["keyId"]?.string else {
        throw .malformed("an audience record names its protocol, role, context and key")
      }
      guard let key = object["publicKeyJwk"].flatMap(X25519PublicKey.init(publicJWK:)), !key.isSmallOrder else {
        throw .malformed("publicKeyJwk must be a usable X25519 public key")
      }
      guard let seal = object["sealedPrivateKey"]?.object, seal["derivationScheme"]?.string == "seal" else {
        throw .malformed("sealedPrivateKey must be sealed")
      }
      for name in seal.names where !(WrappedKey.memberNames + ["derivationScheme"]).contains(name) {
        throw .malformed("sealedPrivateKey has an unknown member")
      }
      self.record = AudienceRecord(name: name, publicKey: key, sealed: try WrappedKey(seal))
      self.keyID = keyID
    }
  }
}
