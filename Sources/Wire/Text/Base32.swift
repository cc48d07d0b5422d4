/// Five bits a character, without padding: a binary text form with an alphabet of 32 letters.
public struct Base32: Sendable {
  /// RFC 4648 section 6 in lower case: the text form of CIDs (after their multibase letter `b`).
  public static let rfc4648 = Base32("abcdefghijklmnopqrstuvwxyz234567")
  /// z-base-32: the text form of the keys in `did:dht`.
  public static let zBase32 = Base32("ybndrfg8ejkmcpqxot1uwisza345h769")

  private static let unused: UInt8 = 0xff

  private let alphabet: [UInt8]
  /// The value of each character, or `unused`.
  private let values: [UInt8]

  private init(_ letters: StaticString) {
    let alphabet = Array("\(letters)".utf8)
    var values = [UInt8](repeating: Base32.unused, count: 256)
    for (value, letter) in alphabet.enumerated() { values[Int(letter)] = UInt8(value) }
    self.alphabet = alphabet
    self.values = values
  }

  public func encode(_ bytes: some Collection<UInt8>) -> String { encoded(Array(bytes)) }

  /// `nil` for anything but the one canonical spelling.
  public func decode(_ text: some StringProtocol) -> [UInt8]? { decoded(Array(text.utf8)) }

  // What is generic is not specialized in other modules, and every message has many identifiers.

  private func encoded(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count * 8 + 4) / 5)
    var group: UInt32 = 0
    var bits: UInt32 = 0
    for byte in bytes {
      group = group << 8 | UInt32(byte)
      bits += 8
      while bits >= 5 {
        bits -= 5
        text.append(alphabet[Int(group >> bits & 31)])
      }
      group &= (1 << bits) - 1
    }
    if bits > 0 { text.append(alphabet[Int(group << (5 - bits) & 31)]) }
    return String(decoding: text, as: UTF8.self)
  }

  private func decoded(_ text: [UInt8]) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count * 5 / 8)
    var group: UInt32 = 0
    var bits: UInt32 = 0
    for digit in text {
      let value = values[Int(digit)]
      guard value != Base32.unused else { return nil }
      group = group << 5 | UInt32(value)
      bits += 5
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: group >> bits))
        group &= (1 << bits) - 1
      }
    }
    return bits < 5 && group == 0 ? bytes : nil
  }
}
