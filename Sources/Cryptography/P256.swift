import Crypto
public import Wire

/// A P-256 public key (NIST SP 800-186 section 3.2.1.3). Always a point of the curve.
public struct P256PublicKey: Hashable, Sendable {
  public let point: CurvePoint

  /// A compressed or uncompressed point; `nil` for any other bytes, also for coordinates that are not on the curve.
  public init?(_ bytes: some Collection<UInt8>) {
    let bytes = Array(bytes)
    guard CurvePoint.isEncoding(bytes) else { return nil }
    let key =
      bytes.count == 33
      ? try? Crypto.P256.Signing.PublicKey(compressedRepresentation: bytes)
      : try? Crypto.P256.Signing.PublicKey(x963Representation: bytes)
    guard let point = key.flatMap({ CurvePoint(uncompressed: $0.x963Representation) }) else { return nil }
    self.point = point
  }

  /// From affine coordinates, as a JWK has them.
  public init?(x: Bytes32, y: Bytes32) {
    self.init(CurvePoint(x: x, y: y).uncompressed)
  }

  /// Verifies ECDSA over SHA-256 of the message; the signature is r and s, 32 bytes each, with s in either half.
  public func verify(signature: [UInt8], of message: [UInt8]) -> Bool {
    guard signature.count == 64, let key = try? Crypto.P256.Signing.PublicKey(x963Representation: point.uncompressed),
      let parsed = try? Crypto.P256.Signing.ECDSASignature(rawRepresentation: signature)
    else { return false }
    return key.isValidSignature(parsed, for: message)
  }
}

/// A P-256 private key: a number between 1 and the group order, big-endian.
public struct P256PrivateKey: Sendable {
  public let scalar: SecretBytes
  public let publicKey: P256PublicKey

  /// `nil` unless there are 32 bytes that are a number in range.
  public init?(_ scalar: SecretBytes) {
    guard scalar.count == 32, let key = try? Self.key(scalar),
      let publicKey = P256PublicKey(key.publicKey.x963Representation)
    else { return nil }
    self.scalar = scalar
    self.publicKey = publicKey
  }

  public init(random: some RandomSource) {
    // One draw in 2^32 is out of range.
    while true {
      if let key = P256PrivateKey(SecretBytes(count: 32) { random.fill($0) }) {
        self = key
        return
      }
    }
  }

  /// r and s of ECDSA over SHA-256 of the message, 64 bytes. Every signature has a nonce of its own: BoringSSL draws it from the
  /// system's randomness and the key together.
  public func sign(_ message: [UInt8]) -> [UInt8] {
    do {
      return Array(try Self.key(scalar).signature(for: message).rawRepresentation)
    } catch {
      preconditionFailure("signing fails for a key out of range alone, which `init` refuses: \(error)")
    }
  }

  private static func key(_ scalar: SecretBytes) throws -> Crypto.P256.Signing.PrivateKey {
    try scalar.withUnsafeBytes { try Crypto.P256.Signing.PrivateKey(rawRepresentation: $0) }
  }
}
