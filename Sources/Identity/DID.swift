/// A decentralized identifier, kept byte for byte: its text is hashed, signed and compared, so it is never written anew.
public struct DID: Hashable, Sendable {
  public let text: String

  /// Bounds what comes from outside; a did:jwk of this program has 114 characters.
  public static let maximumLength = 2048

  /// `did:method:id` without parameters, path, query or fragment; `nil` otherwise.
  public init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    guard bytes.count <= DID.maximumLength, bytes.starts(with: "did:".utf8),
      let colon = bytes.dropFirst(4).firstIndex(of: UInt8(ascii: ":")), colon > 4, colon + 1 < bytes.count
    else { return nil }
    let isMethod = bytes[4..<colon].allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) }
    let isID = bytes[(colon + 1)...].allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
        UInt8(ascii: ":"), UInt8(ascii: "%"):
        true
      default: false
      }
    }
    guard isMethod, isID else { return nil }
    self.text = String(text)
  }

  /// The DID before the `#` of a DID URL such as a JWS `kid`, and the fragment after it.
  public static func split(url: String) -> (did: DID, fragment: String)? {
    guard let mark = url.utf8.firstIndex(of: UInt8(ascii: "#")), let did = DID(url[..<mark]) else { return nil }
    return (did, String(Substring(url[mark...].utf8.dropFirst())))
  }

  public var method: Substring { text.dropFirst(4).prefix { $0 != ":" } }

  /// What follows the method.
  public var methodSpecificID: Substring { text.dropFirst(5 + method.count) }
}

extension DID: Comparable {
  public static func < (a: DID, b: DID) -> Bool { a.text < b.text }
}

extension DID: CustomStringConvertible {
  public var description: String { text }
}
