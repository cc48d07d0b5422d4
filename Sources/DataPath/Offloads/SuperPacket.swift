import Glibc

/// A packet from the TUN that the kernel left to be cut: one IP and TCP or UDP header before the payload of many segments.
///
/// The segments come one after the other, each in the place of its own payload with its header before it, over the end of the segment
/// before, which must be done with by then. So nothing moves but headers, and what follows a segment is the payload of the next.
struct SuperPacket {
  /// The longest headers that are taken: IPv6 with extension headers, and TCP with all options.
  static let longestHeader = 512

  private let packet: UnsafeMutableRawPointer
  private let header: UnsafeMutableRawPointer
  private let isIPv4: Bool
  let isTCP: Bool
  /// Where the TCP or UDP header begins, and its length.
  private let start: Int
  private let transportLength: Int
  /// Payload of all segments, and of each but the last.
  private let payload: Int
  private var segmentSize: Int
  private let networkSum: InternetChecksum
  private let pseudoSum: InternetChecksum
  private let firstID: UInt16
  private let firstSequence: UInt32
  private let flags: UInt8
  private var offset = 0

  /// How many segments it has.
  private(set) var count: Int

  /// `nil` if the headers contradict each other or the packet.
  ///
  /// - Parameters:
  ///   - packet: `length` bytes.
  ///   - scratch: `longestHeader` bytes, where the headers are kept while they are written over.
  init?(
    _ packet: UnsafeMutableRawPointer, length: Int, _ virtio: VirtioHeader, scratch: UnsafeMutableRawPointer
  ) {
    guard length >= 20, virtio.segmentSize > 0 else { return nil }
    self.packet = packet
    header = scratch
    isIPv4 = packet.load(as: UInt8.self) >> 4 == 4
    isTCP = virtio.kind != VirtioHeader.udp
    start = Int(virtio.checksumStart)
    guard
      start >= (isIPv4 ? 20 : 40), virtio.checksumOffset == (isTCP ? 16 : 6), start &+ (isTCP ? 20 : 8) <= length,
      virtio.kind == VirtioHeader.udp || virtio.kind == (isIPv4 ? VirtioHeader.tcp4 : VirtioHeader.tcp6),
      !isIPv4 || start == Int(packet.load(as: UInt8.self) & 15) &* 4
    else { return nil }
    let transport = packet + start
    transportLength = isTCP ? Int(transport.load(fromByteOffset: 12, as: UInt8.self) >> 4) &* 4 : 8
    let headerLength = start &+ transportLength
    guard transportLength >= (isTCP ? 20 : 8), headerLength < length, headerLength <= SuperPacket.longestHeader else {
      return nil
    }
    payload = length &- headerLength
    segmentSize = Int(virtio.segmentSize)
    count = (payload &+ segmentSize &- 1) / segmentSize
    memcpy(scratch, packet, headerLength)

    // What changes from segment to segment is zero in the sums of the rest.
    firstID = UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    var network = InternetChecksum()
    if isIPv4 {
      scratch.storeBytes(of: 0, toByteOffset: 2, as: UInt32.self)
      scratch.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
      network.add(scratch, count: start)
    }
    networkSum = network
    var pseudo = InternetChecksum()
    pseudo.addPseudoHeader(of: packet, isIPv4: isIPv4, protocol: isTCP ? PacketKind.tcp : PacketKind.udp, length: 0)
    pseudoSum = pseudo
    scratch.storeBytes(of: 0, toByteOffset: start &+ Int(virtio.checksumOffset), as: UInt16.self)
    firstSequence = UInt32(bigEndian: transport.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    flags = isTCP ? transport.load(fromByteOffset: 13, as: UInt8.self) : 0
  }

  /// How long the longest segment is.
  var segmentLength: Int { start &+ transportLength &+ min(segmentSize, payload) }

  /// Makes segments of at most `limit` bytes, before the first is taken. That is for TCP alone: the kernel has left to us where to cut, and
  /// a stream has no other borders. `false` if the headers leave no room.
  mutating func shorten(to limit: Int) -> Bool {
    let room = limit &- start &- transportLength
    guard room > 0 else { return false }
    segmentSize = min(segmentSize, room)
    count = (payload &+ segmentSize &- 1) / segmentSize
    return true
  }

  /// The next segment, whole and with its checksums. It is there until the next call.
  @inline(__always)
  mutating func next() -> (packet: UnsafeMutableRawPointer, length: Int)? {
    guard offset < payload else { return nil }
    let headerLength = start &+ transportLength
    let size = min(segmentSize, payload &- offset)
    let isFirst = offset == 0
    let isLast = offset &+ size >= payload
    let segment = packet + offset
    let length = headerLength &+ size
    memcpy(segment, header, headerLength)
    if isIPv4 {
      let number = firstID &+ UInt16(truncatingIfNeeded: offset / segmentSize)
      segment.storeBytes(of: UInt16(truncatingIfNeeded: length).bigEndian, toByteOffset: 2, as: UInt16.self)
      segment.storeBytes(of: number.bigEndian, toByteOffset: 4, as: UInt16.self)
      var sum = networkSum
      sum.add(number: length)
      sum.add(number: Int(number))
      segment.storeBytes(of: ~sum.folded, toByteOffset: 10, as: UInt16.self)
    } else {
      segment.storeBytes(of: UInt16(truncatingIfNeeded: length &- 40).bigEndian, toByteOffset: 4, as: UInt16.self)
    }
    let transport = segment + start
    let transportSize = transportLength &+ size
    if isTCP {
      transport.storeBytes(
        of: (firstSequence &+ UInt32(truncatingIfNeeded: offset)).bigEndian, toByteOffset: 4, as: UInt32.self)
      // The end of the data is the last segment's to tell, a reduced window the first one's (RFC 3168 §6.1.2).
      var flags = flags
      if !isLast { flags &= ~TCPFlags.endsData }
      if !isFirst { flags &= ~TCPFlags.cwr }
      transport.storeBytes(of: flags, toByteOffset: 13, as: UInt8.self)
    } else {
      transport.storeBytes(of: UInt16(truncatingIfNeeded: transportSize).bigEndian, toByteOffset: 4, as: UInt16.self)
    }
    var sum = pseudoSum
    sum.add(number: transportSize)
    sum.add(transport, count: transportSize)
    transport.storeBytes(of: isTCP ? ~sum.folded : sum.field, toByteOffset: isTCP ? 16 : 6, as: UInt16.self)
    offset = offset &+ size
    return (segment, length)
  }

  /// Computes the checksum that the kernel left open in a packet of `length` bytes. `false` if it would lie outside.
  @inline(__always)
  static func completeChecksum(_ packet: UnsafeMutableRawPointer, length: Int, _ virtio: VirtioHeader) -> Bool {
    let start = Int(virtio.checksumStart)
    let field = start &+ Int(virtio.checksumOffset)
    guard start >= 20, field &+ 2 <= length else { return false }
    // The field holds the sum of the pseudo-header already.
    var sum = InternetChecksum()
    sum.add(packet + start, count: length &- start)
    packet.storeBytes(of: sum.field, toByteOffset: field, as: UInt16.self)
    return true
  }
}

/// The bits of a TCP header's flags that matter to cutting and joining.
enum TCPFlags {
  static let fin: UInt8 = 0x01
  static let psh: UInt8 = 0x08
  static let ack: UInt8 = 0x10
  static let cwr: UInt8 = 0x80
  static let endsData = fin | psh
}
