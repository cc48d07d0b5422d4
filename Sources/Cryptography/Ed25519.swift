import CSodium
public import Wire

/// An Ed25519 public key (RFC 8032).
public struct Ed25519PublicKey: Hashable, Sendable {
  public let bytes: Bytes32

  /// `nil` unless there are 32 bytes. Whether they are a point is decided where they are used.
  public init?(_ bytes: some Collection<UInt8>) {
    guard let bytes = Bytes32(bytes) else { return nil }
    self.bytes = bytes
  }

  /// Verifies strictly: a non-canonical or small-order key or point, and a scalar not below the group order, are refused.
  public func verify(signature: [UInt8], of message: [UInt8]) -> Bool {
    _ = Sodium.ready
    guard signature.count == 64 else { return false }
    return bytes.withUnsafeBytes { key in
      crypto_sign_verify_detached(
        signature, message, UInt64(message.count), key.baseAddress!.assumingMemoryBound(to: UInt8.self)) == 0
    }
  }

  /// The X25519 key of the same secret: u = (1 + y) / (1 − y) modulo p (RFC 7748 section 4.1).
  ///
  /// `nil` if the bytes are not a point of the main subgroup.
  public var x25519: X25519PublicKey? {
    _ = Sodium.ready
    var result = [UInt8](repeating: 0, count: 32)
    let status = bytes.withUnsafeBytes { key in
      crypto_sign_ed25519_pk_to_curve25519(&result, key.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    return status == 0 ? X25519PublicKey(result) : nil
  }
}

/// An Ed25519 private key, kept as its 32-byte seed.
public struct Ed25519PrivateKey: Sendable {
  public let seed: SecretBytes
  /// Seed and public key, the form in which libsodium signs.
  private let expanded: SecretBytes
  public let publicKey: Ed25519PublicKey

  /// `nil` unless the seed has 32 bytes.
  public init?(seed: SecretBytes) {
    _ = Sodium.ready
    guard seed.count == 32 else { return nil }
    var publicBytes = [UInt8](repeating: 0, count: 32)
    self.seed = seed
    self.expanded = SecretBytes(count: 64) { secret in
      seed.withUnsafeBytes { seedBytes in
        _ = crypto_sign_seed_keypair(
          &publicBytes, secret.baseAddress!.assumingMemoryBound(to: UInt8.self),
          seedBytes.baseAddress!.assumingMemoryBound(to: UInt8.self))
      }
    }
    self.publicKey = Ed25519PublicKey(publicBytes)!
  }

  public init(random: some RandomSource) {
    self.init(seed: SecretBytes(count: 32) { random.fill($0) })!
  }

  /// Deterministic, 64 bytes.
  public func sign(_ message: [UInt8]) -> [UInt8] {
    var signature = [UInt8](repeating: 0, count: 64)
    expanded.withUnsafeBytes { key in
      _ = crypto_sign_detached(
        &signature, nil, message, UInt64(message.count), key.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    return signature
  }

  /// SHA-512 of the seed, its first half clamped.
  public var x25519: X25519PrivateKey {
    X25519PrivateKey(
      SecretBytes(count: 32) { result in
        expanded.withUnsafeBytes { key in
          _ = crypto_sign_ed25519_sk_to_curve25519(
            result.baseAddress!.assumingMemoryBound(to: UInt8.self),
            key.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
      })!
  }
}
