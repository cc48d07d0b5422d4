import Cryptography
public import Wire

/// A content identifier, version 1 with SHA-256, in its text form (multibase `b`, lower-case base32).
public struct CID: Hashable, Sendable {
  public enum Codec: UInt8, Sendable {
    case raw = 0x55
    case dagPB = 0x70
    case dagCBOR = 0x71
  }

  public let text: String

  public init(codec: Codec, sha256: [UInt8]) {
    precondition(sha256.count == 32, "SHA-256 has 32 bytes")
    text = "b" + Base32.rfc4648.encode([1, codec.rawValue, 0x12, 0x20] + sha256)
  }

  /// `nil` unless it is a CID of the one form that is written here.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count == 59, text.first == "b", let bytes = Base32.rfc4648.decode(text.dropFirst()),
      bytes.count == 36,
      bytes[0] == 1, Codec(rawValue: bytes[1]) != nil, bytes[2] == 0x12, bytes[3] == 0x20
    else { return nil }
    self.text = String(text)
  }

  /// Of a JSON value: over its DAG-CBOR.
  public init(of value: JSONValue) {
    self.init(ofDAGCBOR: DAGCBOR.encode(value))
  }

  init(ofDAGCBOR bytes: [UInt8]) {
    self.init(codec: .dagCBOR, sha256: SHA2.sha256(bytes))
  }

  /// The 36 bytes without multibase.
  public var bytes: [UInt8] { Base32.rfc4648.decode(text.dropFirst()) ?? [] }
}

extension CID: Comparable {
  public static func < (a: CID, b: CID) -> Bool { a.text < b.text }
}

extension CID: CustomStringConvertible {
  public var description: String { text }
}
