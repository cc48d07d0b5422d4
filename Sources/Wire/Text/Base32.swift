/// RFC 4648 section 6 in lower case without padding: the text form of CIDs (after their multibase letter `b`).
public enum Base32 {
  private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

  public static func encode(_ bytes: some Collection<UInt8>) -> String {
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

  /// `nil` for anything but the one canonical spelling.
  public static func decode(_ text: some StringProtocol) -> [UInt8]? {
    var bytes: [UInt8] = []
    var group: UInt32 = 0
    var bits: UInt32 = 0
    for digit in text.utf8 {
      let value: UInt32
      switch digit {
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = UInt32(digit - UInt8(ascii: "a"))
      case UInt8(ascii: "2")...UInt8(ascii: "7"): value = UInt32(digit - UInt8(ascii: "2")) + 26
      default: return nil
      }
      group = group << 5 | value
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
