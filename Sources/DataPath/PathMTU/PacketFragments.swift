import Glibc

/// A packet that is longer than the way to its peer takes, cut by the rules of its own protocol (RFC 791 §3.2, RFC 8200 §4.5): its
/// destination puts it together again, and nobody on the way has to cut the datagrams around it.
///
/// What is a fragment already is cut further, as part of the same packet.
struct PacketFragments {
  private let packet: UnsafeRawPointer
  private let isIPv4: Bool
  /// What stands before the payload of every fragment, and what of it is new.
  private let headerLength: Int
  private let addedLength: Int
  /// Where the payload begins, and how much of it there is, in all and in each fragment but the last.
  private let start: Int
  private let payload: Int
  private let size: Int
  /// Where the whole packet's payload has this payload, in units of 8 bytes, and whether more of it follows.
  private let base: UInt16
  private let isFollowed: Bool
  private let identification: UInt32
  /// IPv6: where the field is that says what stands behind the headers which every fragment has, and what that is.
  private let field: Int
  private let next: UInt8
  private var offset = 0

  /// `nil` if it may not be cut, or its headers leave nothing to cut.
  ///
  /// - Parameters:
  ///   - packet: stays as it is, and where it is, until the last fragment is made.
  ///   - limit: what each fragment may be long, at least `TooLongNotice.least4`.
  ///   - identification: what tells its fragments from those of others, for one of IPv6 that is whole.
  init?(_ packet: UnsafeRawPointer, _ header: PacketHeader, limit: Int, identification: UInt32) {
    self.packet = packet
    isIPv4 = header.isIPv4
    if isIPv4 {
      let flags = UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
      guard flags & 0x4000 == 0 else { return nil }
      headerLength = Int(packet.load(as: UInt8.self) & 15) &* 4
      addedLength = 0
      start = headerLength
      base = flags & 0x1fff
      isFollowed = flags & 0x2000 != 0
      self.identification = 0
      field = 0
      next = 0
    } else {
      guard let place = IPv6Fragment.place(packet, length: header.length) else { return nil }
      field = place.field
      headerLength = place.offset
      let following = packet.load(fromByteOffset: field, as: UInt8.self)
      addedLength = IPv6Fragment.headerLength
      if following == IPv6Fragment.headerNumber {
        guard place.offset &+ IPv6Fragment.headerLength < header.length else { return nil }
        let former = packet + place.offset
        let word = UInt16(bigEndian: former.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        start = place.offset &+ IPv6Fragment.headerLength
        next = former.load(as: UInt8.self)
        base = word >> 3
        isFollowed = word & 1 != 0
        self.identification = UInt32(bigEndian: former.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
      } else {
        start = place.offset
        next = following
        base = 0
        isFollowed = false
        self.identification = identification
      }
    }
    payload = header.length &- start
    size = (limit &- headerLength &- addedLength) & ~7
    // What is followed by more and is no multiple of 8 long would not fit to the rest.
    guard payload > 0, size > 0, Int(base) &* 8 &+ payload <= 65_535, !isFollowed || payload & 7 == 0 else {
      return nil
    }
  }

  /// Writes the next fragment, `limit` bytes at most. Its length; 0 when there is none left.
  mutating func next(into fragment: UnsafeMutableRawPointer) -> Int {
    guard offset < payload else { return 0 }
    let count = min(size, payload &- offset)
    let isLast = offset &+ count == payload && !isFollowed
    let length = headerLength &+ addedLength &+ count
    fragment.copyMemory(from: packet, byteCount: headerLength)
    if isIPv4 {
      completeHeader4(fragment, length, isLast: isLast)
    } else {
      completeHeaders6(fragment, length, isLast: isLast)
    }
    (fragment + headerLength + addedLength).copyMemory(from: packet + start + offset, byteCount: count)
    offset = offset &+ count
    return length
  }

  private var position: UInt16 { base &+ UInt16(truncatingIfNeeded: offset &>> 3) }

  private func completeHeader4(_ header: UnsafeMutableRawPointer, _ length: Int, isLast: Bool) {
    header.storeBytes(of: UInt16(truncatingIfNeeded: length).bigEndian, toByteOffset: 2, as: UInt16.self)
    header.storeBytes(of: (position | (isLast ? 0 : 0x2000)).bigEndian, toByteOffset: 6, as: UInt16.self)
    if offset > 0 { PacketFragments.blankOptions(header, headerLength) }
    header.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
    var sum = InternetChecksum()
    sum.add(header, count: headerLength)
    header.storeBytes(of: ~sum.folded, toByteOffset: 10, as: UInt16.self)
  }

  /// Puts "no operation" in the place of options that belong into the first fragment alone.
  private static func blankOptions(_ header: UnsafeMutableRawPointer, _ end: Int) {
    var position = 20
    while position < end {
      let kind = header.load(fromByteOffset: position, as: UInt8.self)
      if kind == 0 { return }
      var count = 1
      if kind != 1 {
        guard position &+ 1 < end else { return }
        count = Int(header.load(fromByteOffset: position &+ 1, as: UInt8.self))
        guard count >= 2, position &+ count <= end else { return }
      }
      if kind & 0x80 == 0 { memset(header + position, 1, count) }
      position = position &+ count
    }
  }

  private func completeHeaders6(_ headers: UnsafeMutableRawPointer, _ length: Int, isLast: Bool) {
    headers.storeBytes(of: UInt16(truncatingIfNeeded: length &- 40).bigEndian, toByteOffset: 4, as: UInt16.self)
    headers.storeBytes(of: IPv6Fragment.headerNumber, toByteOffset: field, as: UInt8.self)
    let header = headers + headerLength
    header.storeBytes(of: next, as: UInt8.self)
    header.storeBytes(of: 0, toByteOffset: 1, as: UInt8.self)
    header.storeBytes(of: (position &<< 3 | (isLast ? 0 : 1)).bigEndian, toByteOffset: 2, as: UInt16.self)
    header.storeBytes(of: identification.bigEndian, toByteOffset: 4, as: UInt32.self)
  }
}

/// The fragment header of IPv6 (RFC 8200 §4.5).
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 1 | what stands behind it |
/// | 1 | 1 | zero |
/// | 2 | 2 | where in the packet, in units of 8 bytes, shifted by 3; and 1: more follow |
/// | 4 | 4 | identification |
enum IPv6Fragment {
  static let headerNumber: UInt8 = 44
  static let headerLength = 8

  private static let hopByHop: UInt8 = 0
  private static let routing: UInt8 = 43
  private static let destinationOptions: UInt8 = 60

  /// Where a fragment header stands, or would stand: behind all headers that the nodes on the way look at; and where the field is that
  /// says so. `nil` if the headers contradict the packet's length, or are longer than any that are taken.
  static func place(_ packet: UnsafeRawPointer, length: Int) -> (offset: Int, field: Int)? {
    var place = (offset: 40, field: 6)
    var header = 40
    var number = packet.load(fromByteOffset: 6, as: UInt8.self)
    while number == hopByHop || number == routing || number == destinationOptions {
      guard header &+ 8 <= length else { return nil }
      let end = header &+ 8 &+ Int(packet.load(fromByteOffset: header &+ 1, as: UInt8.self)) &* 8
      guard end <= length, end <= SuperPacket.longestHeader else { return nil }
      // Options for the destination are for the nodes on the way only if a routing header follows.
      if number != destinationOptions { place = (end, header) }
      number = packet.load(fromByteOffset: header, as: UInt8.self)
      header = end
    }
    return place
  }
}
