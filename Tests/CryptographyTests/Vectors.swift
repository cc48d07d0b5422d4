import Foundation
import TestSupport
import Testing
import Wire

extension JSONValue {
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
