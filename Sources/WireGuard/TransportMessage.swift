/// The transport data message (WireGuard §5.4.6), read and written in place. Numbers are little-endian.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | type 4 |
/// | 4 | 4 | receiver index |
/// | 8 | 8 | counter |
/// | 16 | n + 16 | sealed packet, zero-padded to a multiple of 16, and its tag |
///
/// With n = 0 it is a keepalive.
public enum TransportMessage {
  /// The type word, as a number.
  public static let type: UInt32 = 4
  /// Bytes before the sealed packet.
  public static let headerLength = 16
  /// Bytes that the message adds to the padded packet: header and tag. A keepalive is exactly this long.
  public static let overhead = 32

  /// Whether the datagram is long enough and of this type. The other functions ask for one that is.
  @inlinable
  public static func isTransport(_ datagram: UnsafeRawPointer, count: Int) -> Bool {
    count >= overhead && UInt32(littleEndian: datagram.loadUnaligned(as: UInt32.self)) == type
  }

  @inlinable
  public static func receiverIndex(of datagram: UnsafeRawPointer) -> UInt32 {
    UInt32(littleEndian: datagram.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
  }

  @inlinable
  public static func counter(of datagram: UnsafeRawPointer) -> UInt64 {
    UInt64(littleEndian: datagram.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
  }

  /// Writes the first 16 bytes.
  @inlinable
  public static func writeHeader(receiverIndex: UInt32, counter: UInt64, to datagram: UnsafeMutableRawPointer) {
    datagram.storeBytes(of: type.littleEndian, as: UInt32.self)
    datagram.storeBytes(of: receiverIndex.littleEndian, toByteOffset: 4, as: UInt32.self)
    datagram.storeBytes(of: counter.littleEndian, toByteOffset: 8, as: UInt64.self)
  }

  /// The length of a packet with its padding: the next multiple of 16, but not beyond the tunnel's MTU.
  ///
  /// A packet above the MTU, which only a misconfigured interface gives, is padded like its last MTU-sized part.
  @inlinable
  public static func paddedLength(of count: Int, mtu: Int) -> Int {
    guard mtu > 0 else { return (count &+ 15) & ~15 }
    let last = count > mtu ? count % mtu : count
    return count &- last &+ min((last &+ 15) & ~15, mtu)
  }
}
