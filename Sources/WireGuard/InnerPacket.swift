public import Wire

/// An IP packet that came out of, or goes into, the tunnel: exists only if its header is whole and its length fits.
public struct InnerPacket: Sendable {
  /// The packet's own length, without the padding behind it.
  public let length: Int
  public let source: IPAddress
  public let destination: IPAddress

  /// `nil` unless this begins with an IPv4 or IPv6 packet that lies wholly within it.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 20 else { return nil }
    switch bytes[0] >> 4 {
    case 4:
      length = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
      let header = Int(bytes[0] & 15) * 4
      guard header >= 20, length >= header, length <= bytes.count else { return nil }
      source = IPAddress(v4: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
      destination = IPAddress(v4: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self)))
    case 6:
      length = 40 + Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)))
      guard length <= bytes.count else { return nil }
      source = IPAddress(v6: UInt128(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt128.self)))
      destination = IPAddress(v6: UInt128(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt128.self)))
    default:
      return nil
    }
  }

  public init?(_ bytes: [UInt8]) {
    guard let packet = bytes.withUnsafeBytes({ InnerPacket($0) }) else { return nil }
    self = packet
  }
}
