public import Cryptography
public import Wire

/// A public key as a JSON Web Key (RFC 7517, RFC 8037, RFC 8812), of the kinds that this program computes with.
public enum PublicJWK: Hashable, Sendable {
  case ed25519(Ed25519PublicKey)
  case x25519(X25519PublicKey)
  case secp256k1(Secp256k1PublicKey)
  case p256(P256PublicKey)

  /// Reads `kty`, `crv`, `x` and, for the curves that have it, `y`; other members are ignored. `nil` for another kind of key or a
  /// malformed one.
  public init?(_ json: JSONValue) {
    guard let x = json["x"]?.string.flatMap({ Base64.decode($0) }).flatMap({ Bytes32($0) }) else { return nil }
    let y = json["y"]?.string.flatMap { Base64.decode($0) }.flatMap { Bytes32($0) }
    let key: PublicJWK? =
      switch (json["kty"]?.string, json["crv"]?.string) {
      case ("OKP", "Ed25519"): Ed25519PublicKey(x.array).map { .ed25519($0) }
      case ("OKP", "X25519"): X25519PublicKey(x.array).map { .x25519($0) }
      case ("EC", "secp256k1"): y.flatMap { Secp256k1PublicKey(x: x, y: $0) }.map { .secp256k1($0) }
      case ("EC", "P-256"): y.flatMap { P256PublicKey(x: x, y: $0) }.map { .p256($0) }
      default: nil
      }
    guard let key else { return nil }
    self = key
  }

  public var curve: String {
    switch self {
    case .ed25519: "Ed25519"
    case .x25519: "X25519"
    case .secp256k1: "secp256k1"
    case .p256: "P-256"
    }
  }

  /// What a signature by this key is called in a JWS; `nil` for a key that does not sign.
  public var algorithm: JWSAlgorithm? {
    switch self {
    case .ed25519: .edDSA
    case .x25519: nil
    case .secp256k1: .es256K
    case .p256: .es256
    }
  }

  /// The 32 bytes of an Ed25519 or X25519 key, the 33 of a compressed point otherwise.
  public var bytes: [UInt8] {
    switch self {
    case .ed25519(let key): key.bytes.array
    case .x25519(let key): key.bytes.array
    case .secp256k1(let key): key.point.compressed
    case .p256(let key): key.point.compressed
    }
  }

  /// `kty`, `crv`, `x` and perhaps `y`, in this order.
  public var json: JSONValue {
    switch self {
    case .ed25519(let key): okp(key.bytes)
    case .x25519(let key): okp(key.bytes)
    case .secp256k1(let key): ec(key.point)
    case .p256(let key): ec(key.point)
    }
  }

  /// RFC 7638: SHA-256 of the required members in lexicographic order, base64url.
  public var thumbprint: String {
    let members = (json.object?.members ?? []).sorted { $0.name < $1.name }
    return Base64.encode(SHA2.sha256(JSONValue.object(JSONObject(members.map { ($0.name, $0.value) })).encoded))
  }

  private func okp(_ x: Bytes32) -> JSONValue {
    ["kty": "OKP", "crv": .string(curve), "x": .string(Base64.encode(x.array))]
  }

  private func ec(_ point: CurvePoint) -> JSONValue {
    [
      "kty": "EC", "crv": .string(curve), "x": .string(Base64.encode(point.x.array)),
      "y": .string(Base64.encode(point.y.array)),
    ]
  }
}
