/// Base58 with Bitcoin's alphabet: the text form of keys in `did:key` (after the multibase letter `z`).
///
/// Both directions cost the square of the length, so decoding takes a bound.
public enum Base58 {
  private static let alphabet = Array("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".utf8)

  public static func encode(_ bytes: some Collection<UInt8>) -> String {
    var digits: [UInt8] = []
    for byte in bytes {
      var carry = Int(byte)
      for index in digits.indices {
        carry += Int(digits[index]) << 8
        digits[index] = UInt8(carry % 58)
        carry /= 58
      }
      while carry > 0 {
        digits.append(UInt8(carry % 58))
        carry /= 58
      }
    }
    let zeros = bytes.prefix { $0 == 0 }.count
    return String(
      decoding: repeatElement(alphabet[0], count: zeros) + digits.reversed().map { alphabet[Int($0)] }, as: UTF8.self)
  }

  /// `nil` for a foreign character or a text longer than `limit`.
  public static func decode(_ text: some StringProtocol, limit: Int = 128) -> [UInt8]? {
    guard text.utf8.count <= limit else { return nil }
    var bytes: [UInt8] = []
    for digit in text.utf8 {
      guard let value = alphabet.firstIndex(of: digit) else { return nil }
      var carry = value
      for index in bytes.indices {
        carry += Int(bytes[index]) * 58
        bytes[index] = UInt8(carry & 255)
        carry >>= 8
      }
      while carry > 0 {
        bytes.append(UInt8(carry & 255))
        carry >>= 8
      }
    }
    let zeros = text.utf8.prefix { $0 == alphabet[0] }.count
    return [UInt8](repeating: 0, count: zeros) + bytes.reversed()
  }
}
