/// An address block in CIDR form. Host bits are always zero.
public struct IPPrefix: Hashable, Sendable {
  public let address: IPAddress
  /// 0…32 or 0…128.
  public let length: Int

  /// Clears the host bits; `nil` if the length does not fit the family.
  public init?(_ address: IPAddress, length: Int) {
    guard length >= 0, length <= address.family.bits else { return nil }
    self.length = length
    let masked = address.value & Self.mask(address.family, length)
    self.address = address.family == .v4 ? IPAddress(v4: UInt32(masked)) : IPAddress(v6: masked)
  }

  /// The block of one address.
  public init(host address: IPAddress) {
    self.address = address
    self.length = address.family.bits
  }

  /// `10.0.0.0/8`, or an address alone for its own block. Host bits are cleared.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, let address = IPAddress(first) else { return nil }
    if parts.count == 1 {
      self.init(host: address)
    } else {
      guard parts.count == 2, (1...3).contains(parts[1].utf8.count),
        parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
        let length = Int(parts[1])
      else { return nil }
      self.init(address, length: length)
    }
  }

  public var family: IPAddress.Family { address.family }
  public var isHost: Bool { length == family.bits }

  /// The address with all host bits set.
  public var last: IPAddress {
    family == .v4
      ? IPAddress(v4: UInt32(address.value) | UInt32.max >> UInt32(length))
      : IPAddress(v6: address.value | UInt128.max >> UInt128(length))
  }

  /// Whether all of it lies within one of the blocks of private addresses.
  public var isPrivate: Bool { address.isPrivate && last.isPrivate }

  public func contains(_ other: IPAddress) -> Bool {
    other.family == family && other.value & Self.mask(family, length) == address.value
  }

  public func contains(_ other: IPPrefix) -> Bool {
    other.length >= length && contains(other.address)
  }

  /// The network mask as a number of the family's width.
  public static func mask(_ family: IPAddress.Family, _ length: Int) -> UInt128 {
    let all: UInt128 = family == .v4 ? 0xffff_ffff : .max
    return length == 0 ? 0 : all & ~(length == family.bits ? 0 : all >> UInt128(length))
  }
}

extension IPPrefix: Comparable {
  public static func < (a: IPPrefix, b: IPPrefix) -> Bool {
    a.address == b.address ? a.length < b.length : a.address < b.address
  }
}

extension IPPrefix: CustomStringConvertible {
  public var description: String { "\(address)/\(length)" }
}
