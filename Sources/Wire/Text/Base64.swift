/// Base64 as RFC 4648 sections 4 and 5 define it, in its strict reading: exactly one text stands for each run of bytes.
///
/// Decoding refuses white space, wrong or missing padding, and unused bits that are not zero. Signed messages are compared by
/// their text, so a second spelling of the same bytes would be a second message.
public enum Base64 {
  public enum Variant: Sendable {
    /// Section 5, without padding: JOSE and DWN.
    case url
    /// Section 4, with padding: WireGuard keys.
    case standard
  }

  public static func encode(_ bytes: some Collection<UInt8>, _ variant: Variant = .url) -> String {
    encoded(Array(bytes), variant)
  }

  /// `nil` for anything but the one canonical spelling.
  public static func decode(_ text: some StringProtocol, _ variant: Variant = .url) -> [UInt8]? {
    decoded(Array(text.utf8), variant)
  }

  // What is generic is not specialized in other modules, and every message has signatures.

  private static func encoded(_ bytes: [UInt8], _ variant: Variant) -> String {
    let alphabet = variant == .url ? urlAlphabet : standardAlphabet
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    var group: UInt32 = 0
    var held = 0
    for byte in bytes {
      group = group << 8 | UInt32(byte)
      held += 1
      if held == 3 {
        text.append(alphabet[Int(group >> 18)])
        text.append(alphabet[Int(group >> 12 & 63)])
        text.append(alphabet[Int(group >> 6 & 63)])
        text.append(alphabet[Int(group & 63)])
        group = 0
        held = 0
      }
    }
    if held > 0 {
      group <<= UInt32(8 * (3 - held))
      for index in 0...held { text.append(alphabet[Int(group >> UInt32(18 - 6 * index) & 63)]) }
      if variant == .standard { text.append(contentsOf: repeatElement(UInt8(ascii: "="), count: 3 - held)) }
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func decoded(_ text: [UInt8], _ variant: Variant) -> [UInt8]? {
    var digits = text
    if variant == .standard {
      guard digits.count % 4 == 0 else { return nil }
      var padding = 0
      while padding < 2, digits.last == UInt8(ascii: "=") {
        digits.removeLast()
        padding += 1
      }
      guard digits.count % 4 == (4 - padding) % 4 else { return nil }
    }
    guard digits.count % 4 != 1 else { return nil }
    let table = variant == .url ? urlValues : standardValues
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count * 3 / 4)
    var group: UInt32 = 0
    var bits: UInt32 = 0
    for digit in digits {
      let value = table[Int(digit)]
      guard value < 64 else { return nil }
      group = group << 6 | UInt32(value)
      bits += 6
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: group >> bits))
        group &= (1 << bits) - 1
      }
    }
    return group == 0 ? bytes : nil
  }

  private static let standardAlphabet = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let urlAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
  private static let standardValues = values(of: standardAlphabet)
  private static let urlValues = values(of: urlAlphabet)

  private static func values(of alphabet: [UInt8]) -> [UInt8] {
    var table = [UInt8](repeating: 255, count: 256)
    for (index, digit) in alphabet.enumerated() { table[Int(digit)] = UInt8(index) }
    return table
  }
}
