import Wire

/// The host of a URL: a domain, an IPv4 address or an IPv6 address under a special scheme, an IPv6 address or opaque
/// text under another (WHATWG URL 3).
///
/// Domains are ASCII here: what is not so after percent-decoding is refused, where the standard would convert it.
/// Labels with `xn--` are not decoded, and stay as they are.
enum URLHost {
  /// WHATWG URL 3.5 (host parsing), then serialized. `nil` for a failure.
  static func parse(_ text: ArraySlice<UInt8>, isSpecial: Bool) -> String? {
    if text.first == UInt8(ascii: "[") {
      guard text.count > 1, text.last == UInt8(ascii: "]") else { return nil }
      return ipv6(text.dropFirst().dropLast())
    }
    guard isSpecial else {
      // Printable ASCII is outside the C0 control percent-encode set.
      return text.contains(where: forbidden.contains) ? nil : String(decoding: text, as: UTF8.self)
    }
    let domain = percentDecoded(text).map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
    guard domain.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "%") && !forbidden.contains($0) }) else {
      return nil
    }
    let parts = labels(domain)
    return endsInNumber(parts) ? ipv4(parts) : String(decoding: domain, as: UTF8.self)
  }

  /// The forbidden host code points (WHATWG URL 3.2) that are printable.
  private static let forbidden = Set("#/:<>?@[\\]^|".utf8)

  /// WHATWG URL 1.3. A `%` that no two digits follow stays.
  private static func percentDecoded(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var rest = text
    while let first = rest.popFirst() {
      if first == UInt8(ascii: "%"), rest.count >= 2, let high = digit(rest[rest.startIndex], radix: 16),
        let low = digit(rest[rest.startIndex + 1], radix: 16)
      {
        result.append(UInt8(high << 4 | low))
        rest = rest.dropFirst(2)
      } else {
        result.append(first)
      }
    }
    return result
  }

  static func digit(_ byte: UInt8, radix: Int) -> Int? {
    let value =
      switch byte {
      case 0x30...0x39: Int(byte - 0x30)
      case 0x41...0x46: Int(byte - 0x41) + 10
      case 0x61...0x66: Int(byte - 0x61) + 10
      default: radix
      }
    return value < radix ? value : nil
  }
}

// MARK: - IPv4

extension URLHost {
  /// What stands between dots. One dot at the end does not count.
  private static func labels(_ domain: [UInt8]) -> [ArraySlice<UInt8>] {
    var parts = domain.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    if parts.count > 1, parts.last?.isEmpty == true { parts.removeLast() }
    return parts
  }

  /// The ends-in-a-number checker: such a domain is an IPv4 address or a failure.
  private static func endsInNumber(_ parts: [ArraySlice<UInt8>]) -> Bool {
    guard let last = parts.last, !last.isEmpty else { return false }
    return last.allSatisfy { digit($0, radix: 10) != nil } || number(last) != nil
  }

  /// The IPv4 parser: up to four parts, of which the last takes the bytes that are left.
  private static func ipv4(_ parts: [ArraySlice<UInt8>]) -> String? {
    guard parts.count <= 4 else { return nil }
    var value: UInt32 = 0
    for (index, part) in parts.enumerated() {
      let bits = index == parts.count - 1 ? 8 * (4 - index) : 8
      guard let number = number(part), number < 1 << bits else { return nil }
      value |= UInt32(number) << UInt32(32 - 8 * index - bits)
    }
    return IPAddress(v4: value).description
  }

  /// The IPv4 number parser: decimal, octal after `0`, hexadecimal after `0x`. Whatever is above 32 bits is 2³².
  private static func number(_ text: ArraySlice<UInt8>) -> UInt64? {
    guard !text.isEmpty else { return nil }
    var digits = text
    var radix = 10
    if text.starts(with: "0x".utf8) {
      digits = text.dropFirst(2)
      radix = 16
    } else if text.count > 1, text.first == UInt8(ascii: "0") {
      digits = text.dropFirst()
      radix = 8
    }
    var value: UInt64 = 0
    for byte in digits {
      guard let digit = digit(byte, radix: radix) else { return nil }
      value = min(value * UInt64(radix) + UInt64(digit), 1 << 32)
    }
    return value
  }
}

// MARK: - IPv6

extension URLHost {
  /// In brackets. The standard reads what RFC 4291 writes, and writes as RFC 5952 does, but never with a dotted quad.
  private static func ipv6(_ text: ArraySlice<UInt8>) -> String? {
    guard let address = IPAddress(String(decoding: text, as: UTF8.self)), address.family == .v6 else { return nil }
    let pieces = (0..<8).map { UInt16(truncatingIfNeeded: address.value >> UInt128(112 - 16 * $0)) }
    func hex(_ pieces: ArraySlice<UInt16>) -> String { pieces.map { String($0, radix: 16) }.joined(separator: ":") }
    guard let zeros = longestZeros(pieces) else { return "[\(hex(pieces[...]))]" }
    return "[\(hex(pieces[..<zeros.lowerBound]))::\(hex(pieces[zeros.upperBound...]))]"
  }

  /// The first of the longest runs of two zeros or more.
  private static func longestZeros(_ pieces: [UInt16]) -> Range<Int>? {
    var longest: Range<Int>?
    var start = 0
    for (index, piece) in pieces.enumerated() {
      if piece != 0 {
        start = index + 1
      } else if index + 1 - start > max(1, longest?.count ?? 0) {
        longest = start..<(index + 1)
      }
    }
    return longest
  }
}
