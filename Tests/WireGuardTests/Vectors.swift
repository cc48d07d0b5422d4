import Cryptography
import Foundation
import TestSupport
import Testing
import Wire

/// Members of a vector file that must be there.
extension JSONValue {
  func text(_ name: String) throws -> String {
    try #require(self[name]?.string, "no text \(name)")
  }

  func list(_ name: String) throws -> [JSONValue] {
    let list = self[name]?.array ?? []
    try #require(!list.isEmpty, "no list \(name)")
    return list
  }

  func number(_ name: String) throws -> UInt64 {
    if let integer = self[name]?.integer { return UInt64(integer) }
    let text = try text(name)
    return try #require(UInt64(text), "\(name) is not a number")
  }

  /// From hex.
  func bytes(_ name: String) throws -> [UInt8] {
    let text = try text(name)
    return try #require(Hex.decode(text), "\(name) is not hex")
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
