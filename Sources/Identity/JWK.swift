public import Cryptography
public import Wire

/// A public key as a JSON Web Key (RFC 7517, RFC 8037), of the kinds that this program computes with.
public enum PublicJWK: Hashable, Sendable {
  case ed25519(Ed25519PublicKey)
  case x25519(X25519PublicKey)

  /// Reads `kty`, `crv` and `x`; other members are ignored. `nil` for another kind of key or a malformed one.
  public init?(_ json: JSONValue) {
    guard json["kty"]?.string == "OKP", let x = json["x"]?.string, let bytes = Base64.decode(x) else { return nil }
    switch json["crv"]?.string {
    case "Ed25519":
      guard let key = Ed25519PublicKey(bytes) else { return nil }
      self = .ed25519(key)
    case "X25519":
      guard let key = X25519PublicKey(bytes) else { return nil }
      self = .x25519(key)
    default: return nil
    }
  }

  public var curve: String {
    switch self {
    case .ed25519: "Ed25519"
    case .x25519: "X25519"
    }
  }

  public var bytes: Bytes32 {
    switch self {
    case .ed25519(let key): key.bytes
    case .x25519(let key): key.bytes
    }
  }

  /// `kty`, `crv`, `x`, in this order.
  public var json: JSONValue {
    ["kty": "OKP", "crv": .string(curve), "x": .string(Base64.encode(bytes.array))]
  }

  /// RFC 7638: SHA-256 of the required members in lexicographic order, base64url.
  public var thumbprint: String {
    let canonical: JSONValue = ["crv": .string(curve), "kty": "OKP", "x": .string(Base64.encode(bytes.array))]
    return Base64.encode(SHA2.sha256(canonical.encoded))
  }
}
