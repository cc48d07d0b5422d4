#if canImport(Glibc)
  import Glibc
#endif

/// An IPv4 or IPv6 address. IPv4-mapped IPv6 addresses are kept as they are; `unmapped` turns them into IPv4.
public struct IPAddress: Hashable, Sendable {
  public enum Family: UInt8, Sendable, CaseIterable {
    case v4 = 4
    case v6 = 6

    /// 32 or 128.
    public var bits: Int { self == .v4 ? 32 : 128 }
  }

  public let family: Family
  /// The address as a number: the low 32 bits for IPv4.
  public let value: UInt128

  public init(v4 value: UInt32) {
    self.family = .v4
    self.value = UInt128(value)
  }

  public init(v6 value: UInt128) {
    self.family = .v6
    self.value = value
  }

  /// Four or sixteen bytes in network order, else `nil`.
  public init?(bytes: some Collection<UInt8>) {
    switch bytes.count {
    case 4: self.init(v4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
    case 16: self.init(v6: bytes.reduce(0) { $0 << 8 | UInt128($1) })
    default: return nil
    }
  }

  /// Strict: dotted quad with decimal parts and no leading zeros, or RFC 4291 text without a zone.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
    let string = String(text)
    var four = in_addr()
    if inet_pton(AF_INET, string, &four) == 1 {
      self.init(v4: UInt32(bigEndian: four.s_addr))
      return
    }
    var six = in6_addr()
    guard inet_pton(AF_INET6, string, &six) == 1 else { return nil }
    self.init(v6: withUnsafeBytes(of: six) { $0.reduce(0) { $0 << 8 | UInt128($1) } })
  }

  /// Network order, 4 or 16 bytes.
  public var bytes: [UInt8] {
    let count = family.bits / 8
    return (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt128(8 * (count - 1 - $0))) }
  }

  public var isUnspecified: Bool { value == 0 }

  public var isLoopback: Bool {
    family == .v4 ? value >> 24 == 127 : value == 1
  }

  public var isLinkLocal: Bool {
    family == .v4 ? value >> 16 == 0xa9fe : value >> 118 == 0x3fa
  }

  public var isMulticast: Bool {
    family == .v4 ? value >> 28 == 0xe : value >> 120 == 0xff
  }

  /// RFC 1918, RFC 4193, and the shared space of RFC 6598.
  public var isPrivate: Bool {
    switch family {
    case .v4: value >> 24 == 10 || value >> 20 == 0xac1 || value >> 16 == 0xc0a8 || value >> 22 == 0x191
    case .v6: value >> 121 == 0x7e
    }
  }

  /// The IPv4 address within an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2), else the address itself.
  public var unmapped: IPAddress {
    family == .v6 && value >> 32 == 0xffff ? IPAddress(v4: UInt32(truncatingIfNeeded: value)) : self
  }
}

extension IPAddress: Comparable {
  /// IPv4 before IPv6, then by number.
  public static func < (a: IPAddress, b: IPAddress) -> Bool {
    a.family == b.family ? a.value < b.value : a.family.rawValue < b.family.rawValue
  }
}

extension IPAddress: CustomStringConvertible {
  /// Dotted quad, or the form of RFC 5952.
  public var description: String {
    if family == .v4 { return bytes.map(String.init).joined(separator: ".") }
    var address = in6_addr()
    withUnsafeMutableBytes(of: &address) { $0.copyBytes(from: bytes) }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
