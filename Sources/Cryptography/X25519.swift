import CSodium
public import Wire

/// An X25519 public key (RFC 7748). A WireGuard public key is one.
public struct X25519PublicKey: Hashable, Sendable {
  public let bytes: Bytes32

  /// `nil` unless there are 32 bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard let bytes = Bytes32(bytes) else { return nil }
    self.bytes = bytes
  }

  /// WireGuard's text form: base64 with padding, 44 characters.
  public init?(base64 text: some StringProtocol) {
    guard let bytes = Base64.decode(text, .standard) else { return nil }
    self.init(bytes)
  }

  public var base64: String { Base64.encode(bytes.array, .standard) }

  /// Whether every shared secret with this key would be zero.
  public var isSmallOrder: Bool {
    // Any clamped scalar tells: it is a multiple of the cofactor, so a point of small order goes to zero.
    X25519PrivateKey.probe.sharedSecret(with: self) == nil
  }
}

extension X25519PublicKey: Comparable {
  public static func < (a: X25519PublicKey, b: X25519PublicKey) -> Bool {
    a.bytes.array.lexicographicallyPrecedes(b.bytes.array)
  }
}

extension X25519PublicKey: CustomStringConvertible {
  public var description: String { base64 }
}

/// An X25519 private key. The bytes are kept as given and clamped in use.
public struct X25519PrivateKey: Sendable {
  public let bytes: SecretBytes
  public let publicKey: X25519PublicKey

  /// `nil` unless there are 32 bytes.
  public init?(_ bytes: SecretBytes) {
    _ = Sodium.ready
    guard bytes.count == 32 else { return nil }
    self.bytes = bytes
    var result = [UInt8](repeating: 0, count: 32)
    bytes.withUnsafeBytes { key in
      _ = crypto_scalarmult_base(&result, key.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    self.publicKey = X25519PublicKey(result)!
  }

  public init(random: some RandomSource) {
    self.init(SecretBytes(count: 32) { random.fill($0) })!
  }

  /// The Diffie-Hellman secret; `nil` if it would be all zero, which only a public key of small order gives.
  public func sharedSecret(with peer: X25519PublicKey) -> SecretBytes? {
    var status: CInt = -1
    let secret = SecretBytes(count: 32) { result in
      bytes.withUnsafeBytes { key in
        peer.bytes.withUnsafeBytes { point in
          status = crypto_scalarmult(
            result.baseAddress!.assumingMemoryBound(to: UInt8.self),
            key.baseAddress!.assumingMemoryBound(to: UInt8.self),
            point.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
      }
    }
    return status == 0 ? secret : nil
  }

  static let probe = X25519PrivateKey(SecretBytes((1...32).map { UInt8($0) }))!
}
