public import Cryptography
import Identity
public import Wire

/// The `encryption` member of a record: a JWE in general JSON serialization (RFC 7516 section 7.2.1) whose ciphertext is the
/// record's data. Any JOSE library opens it.
///
/// ```
/// protected   base64url of {"alg":"ECDH-ES+A256KW","enc":"A256GCM"}, to the byte
/// iv, tag     12 and 16 bytes
/// recipients  [ { header: { kid, epk, derivationScheme, epoch? }, encrypted_key: 40 bytes }, … ]
/// ```
///
/// The content key is random; each entry wraps it for one X25519 key (ECDH-ES, Concat KDF and AES key wrap: RFC 7518 section
/// 4.6, RFC 8037 section 3.2). The ASCII of `protected` is the additional data.
public struct JWEEnvelope: Hashable, Sendable {
  /// The content key, wrapped for one reader.
  public struct Entry: Hashable, Sendable {
    /// RFC 7638 thumbprint of the reader's public key.
    public let kid: String
    public let scheme: EnvelopeRecipient.Scheme
    public let ephemeralKey: X25519PublicKey
    /// 40 bytes
    public let encryptedKey: [UInt8]
  }

  /// 12 bytes
  public let iv: [UInt8]
  /// 16 bytes
  public let tag: [UInt8]
  /// At least one, at most `maximumRecipients`, with different `kid`s and at most one network key.
  public let entries: [Entry]

  public static let maximumRecipients = 16

  static let protectedText = Base64.encode(Array(#"{"alg":"ECDH-ES+A256KW","enc":"A256GCM"}"#.utf8))
  static let algorithm = "ECDH-ES+A256KW"

  init(iv: [UInt8], tag: [UInt8], entries: [Entry]) {
    self.iv = iv
    self.tag = tag
    self.entries = entries
  }

  /// The entry for a network key, if there is one.
  public var networkEntry: Entry? { entries.first { $0.scheme.epoch != nil } }

  /// The entry for a key.
  public func entry(for key: X25519PublicKey) -> Entry? {
    let kid = PublicJWK.x25519(key).thumbprint
    return entries.first { $0.kid == kid }
  }

  /// As it stands in a record.
  public var json: JSONValue {
    [
      "protected": .string(Self.protectedText), "iv": .string(Base64.encode(iv)), "tag": .string(Base64.encode(tag)),
      "recipients": .array(entries.map(\.json)),
    ]
  }
}

extension JWEEnvelope.Entry {
  fileprivate var json: JSONValue {
    var header: JSONObject = [
      "kid": .string(kid), "epk": PublicJWK.x25519(ephemeralKey).json, "derivationScheme": .string(scheme.name),
    ]
    header["epoch"] = scheme.epoch.map { .integer($0.number) }
    return ["header": .object(header), "encrypted_key": .string(Base64.encode(encryptedKey))]
  }
}
