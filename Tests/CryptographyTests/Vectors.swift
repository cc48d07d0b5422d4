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

  /// From hex.
  func bytes(_ name: String) throws -> [UInt8] {
    let text = try text(name)
    return try #require(Hex.decode(text), "\(name) is not hex")
  }

  /// From base64url.
  func base64(_ name: String) throws -> [UInt8] {
    let text = try text(name)
    return try #require(Base64.decode(text), "\(name) is not base64url")
  }
}

/// Bytes written as hex, in pieces.
func hex(_ text: String) -> [UInt8] {
  Hex.decode(text) ?? []
}

/// `engine/crypto_kat.json`, which has one number that a JSON number cannot hold exactly; the nonce beside it says the same.
func knownAnswers() throws -> JSONValue {
  let url = try #require(Fixtures.url("engine/crypto_kat.json"))
  let text = String(decoding: try Data(contentsOf: url), as: UTF8.self)
  return try JSONValue(parsing: Array(text.replacing(/"counter": *\d+,/, with: "").utf8), depth: 16)
}
