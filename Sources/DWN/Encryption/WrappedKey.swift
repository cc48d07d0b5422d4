public import Cryptography
import Identity
package import Wire

/// A 32-byte key, wrapped for the holder of one X25519 key: `X25519-HKDF-SHA256+A256KW`.
///
/// A fresh key pair and the recipient's key agree on a secret; HKDF-SHA256 with an empty salt makes the wrapping key of it, and
/// its info names what the key is for, so that a wrapped key that is moved elsewhere does not unwrap; AES key wrap (RFC 3394) does
/// the rest, and notices every change.
public struct WrappedKey: Hashable, Sendable {
  /// What a wrapped key is for.
  public enum Purpose: Hashable, Sendable {
    /// The content key of a record, for the key of a path.
    case protocolPath
    /// The content key of a record, for the key of an audience.
    case roleAudience(protocolURI: String, rolePath: ProtocolPath)
    /// The private key of an audience, for the key of its role's path.
    case seal(protocolURI: String, rolePath: ProtocolPath, contextID: ContextID?, audienceKeyID: String)
  }

  public static let algorithm = "X25519-HKDF-SHA256+A256KW"

  /// RFC 7638 thumbprint of the recipient's public key.
  public let keyID: String
  public let ephemeralKey: X25519PublicKey
  /// 40 bytes
  public let encryptedKey: [UInt8]

  init(keyID: String, ephemeralKey: X25519PublicKey, encryptedKey: [UInt8]) {
    self.keyID = keyID
    self.ephemeralKey = ephemeralKey
    self.encryptedKey = encryptedKey
  }

  /// Throws `unusableKey` for a recipient's key of small order. `ephemeral` must be fresh.
  init(
    wrapping key: SecretBytes, for recipient: X25519PublicKey, _ purpose: Purpose, ephemeral: X25519PrivateKey
  ) throws(EnvelopeError) {
    let keyID = PublicJWK.x25519(recipient).thumbprint
    guard let shared = ephemeral.sharedSecret(with: recipient),
      let wrapped = try? AESKeyWrap.wrap(key, with: purpose.wrappingKey(shared, keyID: keyID))
    else { throw .unusableKey(kid: keyID) }
    self.init(keyID: keyID, ephemeralKey: ephemeral.publicKey, encryptedKey: wrapped)
  }

  /// `nil` for another's key, another purpose, an altered text, and an ephemeral key of small order.
  func unwrap(with key: X25519PrivateKey, _ purpose: Purpose) -> SecretBytes? {
    guard keyID == PublicJWK.x25519(key.publicKey).thumbprint, let shared = key.sharedSecret(with: ephemeralKey) else {
      return nil
    }
    return AESKeyWrap.unwrap(encryptedKey, with: purpose.wrappingKey(shared, keyID: keyID))
  }

  /// The members that every wrapped key has in JSON.
  var members: JSONObject {
    [
      "algorithm": .string(Self.algorithm), "encryptedKey": .string(Base64.encode(encryptedKey)),
      "ephemeralPublicKey": PublicJWK.x25519(ephemeralKey).json, "keyId": .string(keyID),
    ]
  }

  static let memberNames = ["algorithm", "encryptedKey", "ephemeralPublicKey", "keyId"]

  /// Reads these members; which others there may be is the caller's to say.
  init(_ object: JSONObject) throws(EnvelopeError) {
    guard object["algorithm"]?.string == Self.algorithm else { throw .malformed("algorithm must be \(Self.algorithm)") }
    guard let keyID = object["keyId"]?.string, Base64.decode(keyID)?.count == 32 else {
      throw .malformed("keyId must be a thumbprint: 32 bytes in base64url without padding")
    }
    guard let encryptedKey = object["encryptedKey"]?.string.flatMap({ Base64.decode($0) }), encryptedKey.count == 40
    else { throw .malformed("encryptedKey must be 40 bytes in base64url without padding") }
    guard let ephemeralKey = object["ephemeralPublicKey"].flatMap(X25519PublicKey.init(publicJWK:)) else {
      throw .malformed("ephemeralPublicKey must be an X25519 public key")
    }
    self.init(keyID: keyID, ephemeralKey: ephemeralKey, encryptedKey: encryptedKey)
  }
}

extension WrappedKey.Purpose {
  /// The UTF-8 of a JSON list without white space.
  func info(keyID: String) -> [UInt8] {
    let parts: [String] =
      switch self {
      case .protocolPath: ["protocolPath", keyID]
      case .roleAudience(let uri, let role): ["roleAudience", uri, role.text, keyID]
      case .seal(let uri, let role, let context, let audienceKeyID):
        ["seal", uri, role.text, context?.text ?? "", audienceKeyID]
      }
    return JSONValue.array(([WrappedKey.algorithm] + parts).map { .string($0) }).encoded
  }

  fileprivate func wrappingKey(_ shared: SecretBytes, keyID: String) -> SecretBytes {
    KeyDerivation.hkdfSHA256(shared, info: info(keyID: keyID))
  }
}

extension X25519PublicKey {
  /// Reads a JWK that may have further public members, such as `kid`, and must not have a private one.
  init?(publicJWK json: JSONValue) {
    guard json["d"] == nil, case .x25519(let key)? = PublicJWK(json) else { return nil }
    self = key
  }
}

extension X25519PrivateKey {
  /// Reads a JWK whose `d` gives its `x`.
  package init?(privateJWK json: JSONValue) {
    guard case .x25519(let publicKey)? = PublicJWK(json), var bytes = json["d"]?.string.flatMap({ Base64.decode($0) })
    else { return nil }
    defer { wipe(&bytes) }
    guard let key = X25519PrivateKey(SecretBytes(bytes)), key.publicKey == publicKey else { return nil }
    self = key
  }

  /// `kty`, `crv`, `x`, `d`.
  package var privateJWK: JSONValue {
    var object = PublicJWK.x25519(publicKey).json.object ?? JSONObject()
    var secret = bytes.copy()
    defer { wipe(&secret) }
    object["d"] = .string(Base64.encode(secret))
    return .object(object)
  }
}
