public import Cryptography

/// The signature algorithms of a DWN (RFC 7518, RFC 8037, RFC 8812). Each belongs to one curve, so a key has exactly one.
public enum JWSAlgorithm: String, Hashable, Sendable, CaseIterable {
  case edDSA = "EdDSA"
  case es256K = "ES256K"
  case es256 = "ES256"
}

/// A private key that signs.
public protocol JWSSigningKey: Sendable {
  var publicJWK: PublicJWK { get }
  /// 64 bytes.
  func sign(_ message: [UInt8]) -> [UInt8]
}

extension Ed25519PrivateKey: JWSSigningKey {
  public var publicJWK: PublicJWK { .ed25519(publicKey) }
}

extension Secp256k1PrivateKey: JWSSigningKey {
  public var publicJWK: PublicJWK { .secp256k1(publicKey) }
}

extension P256PrivateKey: JWSSigningKey {
  public var publicJWK: PublicJWK { .p256(publicKey) }
}

extension PublicJWK {
  /// Whether the signature is one by this key; never for a key that does not sign.
  public func verify(signature: [UInt8], of message: [UInt8]) -> Bool {
    switch self {
    case .ed25519(let key): key.verify(signature: signature, of: message)
    case .secp256k1(let key): key.verify(signature: signature, of: message)
    case .p256(let key): key.verify(signature: signature, of: message)
    case .x25519: false
    }
  }
}
