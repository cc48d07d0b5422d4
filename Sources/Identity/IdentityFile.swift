import Cryptography
import Wire

/// The text of `identity.json`: `{"uri": DID, "privateKey": base64url of seed and public key}`. Only the key counts when it is
/// read; the DID is computed anew.
public enum IdentityFile {
  public enum Failure: Error, Hashable, CustomStringConvertible {
    case notJSON
    case noKey
    case keyMismatch

    public var description: String {
      switch self {
      case .notJSON: "the identity file is not JSON"
      case .noKey: "the identity file has no \"privateKey\" of 64 bytes in base64url"
      case .keyMismatch: "the public half of \"privateKey\" in the identity file does not belong to its private half"
      }
    }
  }

  public static func parse(_ text: [UInt8]) throws(Failure) -> MachineIdentity {
    guard let json = try? JSONValue(parsing: text, depth: 4, limit: 1 << 16) else { throw .notJSON }
    guard let encoded = json["privateKey"]?.string, var key = Base64.decode(encoded), key.count == 64 else {
      throw .noKey
    }
    defer { wipe(&key) }
    guard let identity = MachineIdentity(seed: SecretBytes(key[..<32])) else { throw .noKey }
    guard identity.signingKey.publicKey.bytes.array == Array(key[32...]) else { throw .keyMismatch }
    return identity
  }

  /// Holds the private key: the caller writes it to an owner-only file and wipes it.
  public static func text(_ identity: MachineIdentity) -> [UInt8] {
    let key = identity.signingKey.seed.copy() + identity.signingKey.publicKey.bytes.array
    let json: JSONValue = ["uri": .string(identity.did.text), "privateKey": .string(Base64.encode(key))]
    return Array((json.prettyText + "\n").utf8)
  }
}
