/// The header that stands before every packet on a TUN with offloads (virtio 1.2 §5.1.6.1, without the number of buffers).
/// Numbers are in the machine's own order.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 1 | flags: 1, the checksum is still to be computed |
/// | 1 | 1 | kind of super-packet: 0 none, 1 TCP over IPv4, 4 TCP over IPv6, 5 UDP; 128 added: with ECN |
/// | 2 | 2 | length of the headers, a hint that is not believed |
/// | 4 | 2 | payload of each segment |
/// | 6 | 2 | where the checksummed part begins, from the packet's first byte |
/// | 8 | 2 | where in it the checksum lies |
struct VirtioHeader: Equatable {
  static let length = 10
  static let none: UInt8 = 0
  static let tcp4: UInt8 = 1
  static let tcp6: UInt8 = 4
  static let udp: UInt8 = 5
  private static let withECN: UInt8 = 0x80

  var needsChecksum = false
  var kind = VirtioHeader.none
  var headerLength: UInt16 = 0
  var segmentSize: UInt16 = 0
  var checksumStart: UInt16 = 0
  var checksumOffset: UInt16 = 0

  /// A packet that is whole.
  init() {}

  @inline(__always)
  init(reading bytes: UnsafeRawPointer) {
    needsChecksum = bytes.load(as: UInt8.self) & 1 != 0
    kind = bytes.load(fromByteOffset: 1, as: UInt8.self) & ~VirtioHeader.withECN
    headerLength = bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
    segmentSize = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
    checksumStart = bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
    checksumOffset = bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
  }

  @inline(__always)
  func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: needsChecksum ? 1 : 0, as: UInt8.self)
    bytes.storeBytes(of: kind, toByteOffset: 1, as: UInt8.self)
    bytes.storeBytes(of: headerLength, toByteOffset: 2, as: UInt16.self)
    bytes.storeBytes(of: segmentSize, toByteOffset: 4, as: UInt16.self)
    bytes.storeBytes(of: checksumStart, toByteOffset: 6, as: UInt16.self)
    bytes.storeBytes(of: checksumOffset, toByteOffset: 8, as: UInt16.self)
  }
}
