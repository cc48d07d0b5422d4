public import Cryptography
import Identity

/// One of the keys that a record is encrypted to.
public struct EnvelopeRecipient: Hashable, Sendable {
  public var key: X25519PublicKey
  public var scheme: Scheme

  /// Where a reader finds the private half.
  public enum Scheme: Hashable, Sendable {
    /// Derived from the owner's root for one path of one protocol.
    case protocolPath
    /// The network key of an epoch.
    case protocolContext(KeyEpoch)
    /// The key that the recipient's DID itself gives.
    case didKey

    /// The value of `derivationScheme`.
    public var name: String {
      switch self {
      case .protocolPath: "protocolPath"
      case .protocolContext: "protocolContext"
      case .didKey: "didKey"
      }
    }

    /// The epoch of a network key.
    public var epoch: KeyEpoch? {
      if case .protocolContext(let epoch) = self { epoch } else { nil }
    }
  }

  public init(_ key: X25519PublicKey, _ scheme: Scheme) {
    self.key = key
    self.scheme = scheme
  }

  /// RFC 7638 thumbprint of the public key.
  public var kid: String { PublicJWK.x25519(key).thumbprint }
}
