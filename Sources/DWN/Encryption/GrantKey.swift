public import Cryptography
import Identity
public import Wire

/// The decryption key that a wallet hands to a delegate beside a grant: that of a whole protocol, or of one of its paths, with all
/// keys below it.
public struct GrantKey: Sendable {
  public let grantID: RecordID
  public let protocolURI: String
  /// `nil`: the whole protocol.
  public let path: ProtocolPath?
  public let key: X25519PrivateKey

  /// The protocol of grant keys; every tenant has it.
  public static let protocolURI = "https://identity.foundation/dwn/protocols/encryption"
  /// Where a grant key stands, in clear inside a wrapping or encrypted as a record.
  public static let recordPath: ProtocolPath = "grantKey"
  /// Where newer wallets put one in a wrapping.
  public static let wrappedPath: ProtocolPath = "wrappedGrantKey"
  public static let schema = "https://identity.foundation/dwn/json-schemas/encryption/grant-key.json"
  static let format = "enbox/wrapped-grant-key@1"

  public var keyID: String { PublicJWK.x25519(key.publicKey).thumbprint }

  public init(grantID: RecordID, protocolURI: String, path: ProtocolPath?, key: X25519PrivateKey) {
    self.grantID = grantID
    self.protocolURI = protocolURI
    self.path = path
    self.key = key
  }

  /// The owner's key at `scope`, and so at everything below it. `nil` for a path that the grant does not cover.
  public func key(at target: ProtocolPath) -> X25519PrivateKey? {
    guard let path else { return key(below: target.segments) }
    guard target == path || target.text.hasPrefix(path.text + "/") else { return nil }
    return key(below: Array(target.segments.dropFirst(path.depth)))
  }

  private func key(below segments: [String]) -> X25519PrivateKey {
    guard let steps = DerivationPath(segments) else { return key }
    return KeyTree(root: key).key(at: steps)
  }

  // MARK: The payload

  private var derivationPath: [String] { ["protocolPath", protocolURI] + (path?.segments ?? []) }

  var json: JSONValue {
    var scope: JSONObject = ["scheme": "protocolPath", "protocol": .string(protocolURI)]
    scope["protocolPath"] = path.map { .string($0.text) }
    return [
      "grantId": .string(grantID.text), "scope": .object(scope),
      "keyMaterial": [
        "algorithm": .string(WrappedKey.algorithm), "derivationScheme": "protocolPath",
        "derivationPath": .array(derivationPath.map { .string($0) }), "keyId": .string(keyID),
        "publicKeyJwk": PublicJWK.x25519(key.publicKey).json, "privateKeyJwk": key.privateJWK,
      ],
    ]
  }

  /// Reads the decrypted payload. Throws `malformed`, also when the derivation path is not that of the scope.
  public init(parsing plaintext: [UInt8]) throws(EnvelopeError) {
    guard let object = (try? JSONValue(parsing: plaintext))?.object,
      let grantID = object["grantId"]?.string.flatMap({ RecordID($0) }), let scope = object["scope"]?.object,
      scope["scheme"]?.string == "protocolPath", let uri = scope["protocol"]?.string, !uri.isEmpty,
      let material = object["keyMaterial"]?.object, material["algorithm"]?.string == WrappedKey.algorithm,
      material["derivationScheme"]?.string == "protocolPath",
      let key = material["privateKeyJwk"].flatMap(X25519PrivateKey.init(privateJWK:))
    else { throw .malformed("a grant key has a grant, a scope and an X25519 key") }
    let path = scope["protocolPath"]?.string.flatMap { ProtocolPath($0) }
    guard scope.contains("protocolPath") == (path != nil) else { throw .malformed("its scope names no protocol path") }
    self.init(grantID: grantID, protocolURI: uri, path: path, key: key)
    guard material["publicKeyJwk"].flatMap(X25519PublicKey.init(publicJWK:)) == key.publicKey,
      material["keyId"]?.string == keyID, material["derivationPath"]?.array?.map(\.string) == derivationPath
    else { throw .malformed("a grant key holds another key than the one that its scope names") }
  }

  // MARK: In a wrapping

  /// The plaintext data of its record, for a delegate without a protocol of its own: encrypted to the delegate's root key.
  public func wrapped(for delegate: X25519PublicKey, random: some RandomSource) throws(EnvelopeError) -> JSONValue {
    var plaintext = json.encoded
    defer { wipe(&plaintext) }
    let contentKey = SecretBytes(count: 32) { random.fill($0) }
    let vector = random.bytes(16)
    let wrapped = try WrappedKey(
      wrapping: contentKey, for: delegate, .protocolPath, ephemeral: X25519PrivateKey(random: random))
    return [
      "format": .string(Self.format), "keyEncryption": .object(wrapped.members),
      "contentEncryption": [
        "algorithm": .string(V1Envelope.algorithm), "initializationVector": .string(Base64.encode(vector)),
      ],
      "ciphertext": .string(
        Base64.encode(AESCTR.apply(plaintext, key: contentKey, initializationVector: vector))),
    ]
  }

  /// Whether data is a wrapping, to the eye: it may still be malformed.
  public static func isWrapping(_ data: [UInt8]) -> Bool {
    (try? JSONValue(parsing: data))?["format"]?.string == format
  }

  /// Opens a wrapping with the delegate's root key. The record's signed `dataCid` vouches for it, so its message is needed too.
  public init(unwrapping write: RecordsWrite, data: [UInt8], with root: X25519PrivateKey) throws(EnvelopeError) {
    guard write.matches(data: data) else { throw .notAuthentic }
    guard data.count <= EncryptionControl.maximumDataSize, let object = (try? JSONValue(parsing: data))?.object,
      object["format"]?.string == Self.format, let key = object["keyEncryption"]?.object,
      let content = object["contentEncryption"]?.object, content["algorithm"]?.string == V1Envelope.algorithm,
      let vector = content["initializationVector"]?.string.flatMap({ Base64.decode($0) }), vector.count == 16,
      let ciphertext = object["ciphertext"]?.string.flatMap({ Base64.decode($0) })
    else { throw .malformed("it is no wrapping of the form \(Self.format)") }
    let wrapped = try WrappedKey(key)
    guard wrapped.keyID == PublicJWK.x25519(root.publicKey).thumbprint else { throw .notAddressed(kid: wrapped.keyID) }
    guard let contentKey = wrapped.unwrap(with: root, .protocolPath) else { throw .notAuthentic }
    var plaintext = AESCTR.apply(ciphertext, key: contentKey, initializationVector: vector)
    defer { wipe(&plaintext) }
    try self.init(parsing: plaintext)
    guard write.tags?["grantId"]?.string == grantID.text, write.tags?["protocol"]?.string == protocolURI,
      write.tags?["protocolPath"]?.string == path?.text, write.tags?["keyId"]?.string == keyID
    else { throw .malformed("a grant key and the tags of its record say the same") }
  }
}

extension GrantKey: CustomStringConvertible, CustomReflectable {
  public var description: String { "the key of \(path?.text ?? protocolURI) for the grant \(grantID)" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
