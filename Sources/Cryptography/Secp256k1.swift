import CSecp256k1
public import Wire

/// A secp256k1 public key (SEC 2 section 2.4.1). Always a point of the curve.
public struct Secp256k1PublicKey: Hashable, Sendable {
  public let point: CurvePoint

  /// A compressed or uncompressed point; `nil` for any other bytes, also for coordinates that are not on the curve.
  public init?(_ bytes: some Collection<UInt8>) {
    let bytes = Array(bytes)
    var key = secp256k1_pubkey()
    guard CurvePoint.isEncoding(bytes), secp256k1_ec_pubkey_parse(Secp256k1.context, &key, bytes, bytes.count) == 1,
      let point = Secp256k1.point(of: key)
    else { return nil }
    self.point = point
  }

  /// From affine coordinates, as a JWK has them.
  public init?(x: Bytes32, y: Bytes32) {
    self.init(CurvePoint(x: x, y: y).uncompressed)
  }

  /// Verifies ECDSA over SHA-256 of the message; the signature is r and s, 32 bytes each.
  ///
  /// Both s and its negative are valid signatures of one message. libsecp256k1 takes only the lower one, other signers write
  /// either, so the signature is normalised first.
  public func verify(signature: [UInt8], of message: [UInt8]) -> Bool {
    var parsed = secp256k1_ecdsa_signature()
    var key = secp256k1_pubkey()
    let encoded = point.uncompressed
    guard signature.count == 64,
      secp256k1_ecdsa_signature_parse_compact(Secp256k1.context, &parsed, signature) == 1,
      secp256k1_ec_pubkey_parse(Secp256k1.context, &key, encoded, encoded.count) == 1
    else { return false }
    var lower = secp256k1_ecdsa_signature()
    _ = secp256k1_ecdsa_signature_normalize(Secp256k1.context, &lower, &parsed)
    return secp256k1_ecdsa_verify(Secp256k1.context, &lower, SHA2.sha256(message), &key) == 1
  }
}

/// A secp256k1 private key: a number between 1 and the group order, big-endian.
public struct Secp256k1PrivateKey: Sendable {
  public let scalar: SecretBytes
  public let publicKey: Secp256k1PublicKey

  /// `nil` unless there are 32 bytes that are a number in range.
  public init?(_ scalar: SecretBytes) {
    var key = secp256k1_pubkey()
    let isValid =
      scalar.count == 32
      && scalar.withUnsafeBytes { bytes in
        let secret = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
        return secp256k1_ec_seckey_verify(Secp256k1.context, secret) == 1
          && secp256k1_ec_pubkey_create(Secp256k1.context, &key, secret) == 1
      }
    guard isValid, let point = Secp256k1.point(of: key), let publicKey = Secp256k1PublicKey(point.uncompressed) else {
      return nil
    }
    self.scalar = scalar
    self.publicKey = publicKey
  }

  public init(random: some RandomSource) {
    // One draw in 2^128 is out of range.
    while true {
      if let key = Secp256k1PrivateKey(SecretBytes(count: 32) { random.fill($0) }) {
        self = key
        return
      }
    }
  }

  /// r and s of ECDSA over SHA-256 of the message, 64 bytes. Deterministic (RFC 6979), s in the lower half.
  public func sign(_ message: [UInt8]) -> [UInt8] {
    var signature = secp256k1_ecdsa_signature()
    let digest = SHA2.sha256(message)
    let status = scalar.withUnsafeBytes { bytes in
      secp256k1_ecdsa_sign(
        Secp256k1.context, &signature, digest, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), nil, nil)
    }
    precondition(status == 1, "signing fails for a key out of range alone, which `init` refuses")
    var compact = [UInt8](repeating: 0, count: 64)
    _ = secp256k1_ecdsa_signature_serialize_compact(Secp256k1.context, &compact, &signature)
    return compact
  }
}

/// libsecp256k1 wants a context for whatever touches a secret. It is made and blinded once and only read afterwards, which the
/// library allows from any number of threads.
private enum Secp256k1 {
  nonisolated(unsafe) static let context: OpaquePointer = {
    guard let context = secp256k1_context_create(UInt32(SECP256K1_CONTEXT_NONE)) else {
      preconditionFailure("there is no memory for libsecp256k1's context")
    }
    let seed = SystemRandom().bytes(32)
    _ = secp256k1_context_randomize(context, seed)
    return context
  }()

  static func point(of key: secp256k1_pubkey) -> CurvePoint? {
    var key = key
    var bytes = [UInt8](repeating: 0, count: 65)
    var count = bytes.count
    _ = secp256k1_ec_pubkey_serialize(context, &bytes, &count, &key, UInt32(SECP256K1_EC_UNCOMPRESSED))
    return CurvePoint(uncompressed: bytes)
  }
}
