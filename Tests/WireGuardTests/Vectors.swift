import Cryptography
import Foundation
import TestSupport
import Testing
import Wire

/// Members of a vector file that must be there.
extension JSONValue {
  func number(_ name: String) throws -> UInt64 {
    if let integer = self[name]?.integer { return UInt64(integer) }
    let text = try text(name)
    return try #require(UInt64(text), "\(name) is not a number")
  }

  func secret(_ name: String) throws -> SecretBytes { SecretBytes(try bytes(name)) }

  func privateKey(_ name: String) throws -> X25519PrivateKey {
    let bytes = try secret(name)
    return try #require(X25519PrivateKey(bytes))
  }
}

/// A vector file of the WireGuard protocol, and what says that it is missing.
enum VectorFile: String {
  case handshake, transport, cookie, replay

  var path: String { "engine/wireguard_\(rawValue).json" }
  var isThere: Bool { Fixtures.have(path) }
  func load() throws -> JSONValue { try Fixtures.json(path) }

  static let missing = Comment(rawValue: Fixtures.skipped)
}
