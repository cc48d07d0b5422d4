public import Cryptography
public import Wire

/// A machine's disco key as it tells its peers inside the tunnel: an IP packet of protocol 99, whose sender the tunnel vouches for
/// (`traversal.md` 2.6). It is news where records cannot be.
public struct DiscoAdvertisement: Equatable, Sendable {
  /// Of the packets by which machines talk to each other inside the tunnel. None of them is for the system.
  public static let protocolNumber: UInt8 = 99
  /// What follows the IP header: the kind, and the key.
  private static let kind: UInt8 = 0x61
  private static let payloadLength = 33
  private static let hopLimit: UInt8 = 64

  /// Of one family.
  public var source: IPAddress
  public var destination: IPAddress
  public var key: X25519PublicKey

  public init(source: IPAddress, destination: IPAddress, key: X25519PublicKey) {
    self.source = source
    self.destination = destination
    self.key = key
  }

  /// - Parameter packet: a whole IP packet, without options or extension headers. `nil`: it is something else.
  public init?(packet: [UInt8]) {
    let addresses: (start: Int, length: Int)
    switch (packet.first ?? 0, packet.count) {
    case (0x45, 20 + Self.payloadLength) where packet[9] == Self.protocolNumber: addresses = (12, 4)
    case (0x60...0x6f, 40 + Self.payloadLength) where packet[6] == Self.protocolNumber: addresses = (8, 16)
    default: return nil
    }
    let middle = addresses.start + addresses.length
    let end = middle + addresses.length
    guard packet[end] == Self.kind, let source = IPAddress(bytes: packet[addresses.start..<middle]),
      let destination = IPAddress(bytes: packet[middle..<end]), let key = X25519PublicKey(packet[(end + 1)...])
    else { return nil }
    self.init(source: source, destination: destination, key: key)
  }

  /// The IP packet.
  public var packet: [UInt8] {
    var writer = ByteWriter()
    if source.family == .v4 {
      writer.append([0x45, 0])
      writer.bigEndian(UInt16(20 + Self.payloadLength))
      writer.append([0, 0, 0, 0, Self.hopLimit, Self.protocolNumber])
      writer.bigEndian(headerChecksum)
    } else {
      writer.append([0x60, 0, 0, 0])
      writer.bigEndian(UInt16(Self.payloadLength))
      writer.append([Self.protocolNumber, Self.hopLimit])
    }
    writer.append(source.bytes)
    writer.append(destination.bytes)
    writer.append(byte: Self.kind)
    writer.append(key.bytes.array)
    return writer.bytes
  }

  /// Of the IPv4 header above (RFC 791 §3.1).
  private var headerChecksum: UInt16 {
    var sum: UInt32 =
      0x4500 + UInt32(20 + Self.payloadLength) + UInt32(Self.hopLimit) << 8 + UInt32(Self.protocolNumber)
    for address in [source.value, destination.value] {
      sum += UInt32(truncatingIfNeeded: address >> 16 & 0xffff) + UInt32(truncatingIfNeeded: address & 0xffff)
    }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(truncatingIfNeeded: sum)
  }
}
