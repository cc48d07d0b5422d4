public import Cryptography
import Identity
public import Wire

/// The `encryption` member of a record of encryption v1.
///
/// ```
/// algorithm             A256CTR
/// initializationVector  16 bytes
/// keyEncryption         [ { algorithm, keyId, ephemeralPublicKey, encryptedKey, derivationScheme, protocol?, rolePath? }, … ]
/// ```
///
/// The content key is random, and each entry wraps it for one X25519 key: that of the record's path, or that of an audience that
/// reads it. There is no tag. What protects the ciphertext is the `dataCid` in the signed descriptor, and what protects this
/// envelope the `encryptionCid` in the signed payload; so the only way to a plaintext is `V1SealedRecord`, which checks both.
public struct V1Envelope: Hashable, Sendable {
  /// Where a reader finds the private half.
  public enum Scheme: Hashable, Sendable {
    /// Derived from a root for the path of one protocol.
    case protocolPath
    /// The key of an audience: that of a role in one context.
    case roleAudience(protocolURI: String, rolePath: ProtocolPath)

    /// The value of `derivationScheme`.
    public var name: String {
      switch self {
      case .protocolPath: "protocolPath"
      case .roleAudience: "roleAudience"
      }
    }

    var purpose: WrappedKey.Purpose {
      switch self {
      case .protocolPath: .protocolPath
      case .roleAudience(let uri, let role): .roleAudience(protocolURI: uri, rolePath: role)
      }
    }
  }

  /// One of the keys that a record is encrypted to.
  public struct Recipient: Hashable, Sendable {
    public var key: X25519PublicKey
    public var scheme: Scheme

    public init(_ key: X25519PublicKey, _ scheme: Scheme) {
      self.key = key
      self.scheme = scheme
    }
  }

  /// The content key, wrapped for one reader.
  public struct Entry: Hashable, Sendable {
    public let scheme: Scheme
    public let wrapped: WrappedKey

    /// RFC 7638 thumbprint of the reader's public key.
    public var keyID: String { wrapped.keyID }
  }

  static let algorithm = "A256CTR"
  public static let maximumEntries = 64

  /// 16 bytes
  public let initializationVector: [UInt8]
  /// At least one, at most `maximumEntries`.
  public let entries: [Entry]

  init(initializationVector: [UInt8], entries: [Entry]) {
    self.initializationVector = initializationVector
    self.entries = entries
  }

  /// Whether an `encryption` member is of this form, to the eye: it may still be malformed.
  public static func claims(_ encryption: JSONObject) -> Bool { encryption.contains("keyEncryption") }

  /// As it stands in a record.
  public var json: JSONValue {
    [
      "algorithm": .string(Self.algorithm), "initializationVector": .string(Base64.encode(initializationVector)),
      "keyEncryption": .array(entries.map(\.json)),
    ]
  }
}

// MARK: - Reading

extension V1Envelope {
  /// Reads the form above. Public keys may have further public members, such as `kid`; nothing else may.
  public init(_ json: JSONValue) throws(EnvelopeError) {
    guard let object = json.object else { throw .malformed("it must be an object") }
    for name in object.names where !["algorithm", "initializationVector", "keyEncryption"].contains(name) {
      throw .malformed("it has an unknown member")
    }
    guard object["algorithm"]?.string == Self.algorithm else { throw .malformed("algorithm must be \(Self.algorithm)") }
    guard let vector = object["initializationVector"]?.string.flatMap({ Base64.decode($0) }), vector.count == 16 else {
      throw .malformed("initializationVector must be 16 bytes in base64url without padding")
    }
    guard let list = object["keyEncryption"]?.array else { throw .malformed("keyEncryption must be a list") }
    guard !list.isEmpty else { throw .noRecipients }
    guard list.count <= Self.maximumEntries else { throw .tooManyRecipients(limit: Self.maximumEntries) }
    var entries: [Entry] = []
    for item in list { entries.append(try Entry(item)) }
    self.init(initializationVector: vector, entries: entries)
  }
}

extension V1Envelope.Entry {
  fileprivate init(_ json: JSONValue) throws(EnvelopeError) {
    guard let object = json.object else { throw .malformed("an entry of keyEncryption must be an object") }
    var allowed = WrappedKey.memberNames + ["derivationScheme"]
    switch object["derivationScheme"]?.string {
    case "protocolPath": scheme = .protocolPath
    case "roleAudience":
      guard let uri = object["protocol"]?.string,
        let role = object["rolePath"]?.string.flatMap({ ProtocolPath($0) }), !role.isControl
      else { throw .malformed("an entry for an audience has a protocol and a rolePath") }
      scheme = .roleAudience(protocolURI: uri, rolePath: role)
      allowed += ["protocol", "rolePath"]
    default: throw .malformed("derivationScheme must be protocolPath or roleAudience")
    }
    for name in object.names where !allowed.contains(name) { throw .malformed("an entry has an unknown member") }
    wrapped = try WrappedKey(object)
  }

  fileprivate var json: JSONValue {
    var object = wrapped.members
    object["derivationScheme"] = .string(scheme.name)
    if case .roleAudience(let uri, let role) = scheme {
      object["protocol"] = .string(uri)
      object["rolePath"] = .string(role.text)
    }
    return .object(object)
  }
}

// MARK: - Sealing

extension V1Envelope {
  /// Encrypts a record's data to its readers, in their order, under a fresh content key.
  ///
  /// `random` gives the content key, the initialization vector and one ephemeral key for each entry, and must never repeat itself.
  public static func seal(
    _ plaintext: [UInt8], to recipients: [Recipient], random: some RandomSource
  ) throws(EnvelopeError) -> (envelope: V1Envelope, ciphertext: [UInt8]) {
    guard !recipients.isEmpty else { throw .noRecipients }
    guard recipients.count <= maximumEntries else { throw .tooManyRecipients(limit: maximumEntries) }
    let contentKey = SecretBytes(count: 32) { random.fill($0) }
    let vector = random.bytes(16)
    var entries: [Entry] = []
    for recipient in recipients {
      entries.append(
        Entry(
          scheme: recipient.scheme,
          wrapped: try WrappedKey(
            wrapping: contentKey, for: recipient.key, recipient.scheme.purpose,
            ephemeral: X25519PrivateKey(random: random))))
    }
    return (
      V1Envelope(initializationVector: vector, entries: entries),
      AESCTR.apply(plaintext, key: contentKey, initializationVector: vector)
    )
  }

  /// Opens what is known to be the ciphertext of this envelope, with the one entry that names the key.
  func open(_ ciphertext: [UInt8], with key: X25519PrivateKey, _ scheme: Scheme) throws(EnvelopeError) -> [UInt8] {
    let keyID = PublicJWK.x25519(key.publicKey).thumbprint
    guard let entry = entries.first(where: { $0.keyID == keyID && $0.scheme == scheme }) else {
      throw .notAddressed(kid: keyID)
    }
    guard let contentKey = entry.wrapped.unwrap(with: key, scheme.purpose) else { throw .notAuthentic }
    return AESCTR.apply(ciphertext, key: contentKey, initializationVector: initializationVector)
  }
}
