/// The ICMP message by which the sender of a packet learns how long its packets may be: "fragmentation needed" (RFC 1191 §4), and
/// "packet too big" (RFC 4443 §3.2).
///
/// It comes from where the packet was going, since that is the one address beyond the tunnel of which the machine surely expects
/// packets on this interface.
enum TooLongNotice {
  /// What the shortest links take that a machine must be able to receive from, and what IPv6 never goes below.
  static let least4 = 576
  static let least6 = 1280
  /// Room that a notice takes at most.
  static let greatestLength = least6

  private static let head4 = 28
  private static let head6 = 48
  private static let hopLimit: UInt8 = 64

  /// Writes a notice about a packet. Its length; 0 if nobody may be told: the packet is itself an ICMP error or a later fragment, or
  /// comes from, or goes to, no single machine (RFC 1122 §3.2.2, RFC 4443 §2.4).
  ///
  /// - Parameters:
  ///   - limit: how long a packet may be; for IPv6 at least `least6`.
  ///   - notice: `greatestLength` bytes.
  static func write(
    about packet: UnsafeRawPointer, _ header: PacketHeader, limit: Int, to notice: UnsafeMutableRawPointer
  ) -> Int {
    guard mayBeTold(packet, header) else { return 0 }
    return header.isIPv4
      ? write4(about: packet, header.length, limit, to: notice)
      : write6(about: packet, header.length, limit, to: notice)
  }

  private static func mayBeTold(_ packet: UnsafeRawPointer, _ header: PacketHeader) -> Bool {
    if header.isIPv4 {
      let start = Int(packet.load(as: UInt8.self) & 15) &* 4
      let isLater = UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 6, as: UInt16.self)) & 0x1fff != 0
      guard !isLater, isUnicast4(header.source), isUnicast4(header.destination) else { return false }
      guard packet.load(fromByteOffset: 9, as: UInt8.self) == PacketKind.icmp4, header.length > start else {
        return true
      }
      switch packet.load(fromByteOffset: start, as: UInt8.self) {
      case 3, 4, 5, 11, 12: return false
      default: return true
      }
    }
    guard isUnicast6(header.source), isUnicast6(header.destination) else { return false }
    let next = packet.load(fromByteOffset: 6, as: UInt8.self)
    if next == IPv6Fragment.headerNumber {
      return header.length >= 48
        && UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 42, as: UInt16.self)) >> 3 == 0
    }
    return next != PacketKind.icmp6 || header.length <= 40 || packet.load(fromByteOffset: 40, as: UInt8.self) >= 128
  }

  private static func isUnicast4(_ address: UInt128) -> Bool {
    let first = UInt8(truncatingIfNeeded: address &>> 24)
    return first != 0 && first != 127 && first < 224
  }

  private static func isUnicast6(_ address: UInt128) -> Bool { address > 1 && address &>> 120 != 0xff }

  private static func write4(
    about packet: UnsafeRawPointer, _ length: Int, _ limit: Int, to notice: UnsafeMutableRawPointer
  ) -> Int {
    let quoted = min(length, least4 &- head4)
    // Precedence "internetwork control", as routers' messages have it; never fragmented, so it needs no number.
    notice.storeBytes(of: (0x45c0 as UInt16).bigEndian, as: UInt16.self)
    notice.storeBytes(of: UInt16(truncatingIfNeeded: head4 &+ quoted).bigEndian, toByteOffset: 2, as: UInt16.self)
    notice.storeBytes(of: (0x4000 as UInt32).bigEndian, toByteOffset: 4, as: UInt32.self)
    notice.storeBytes(of: hopLimit, toByteOffset: 8, as: UInt8.self)
    notice.storeBytes(of: PacketKind.icmp4, toByteOffset: 9, as: UInt8.self)
    notice.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
    notice.storeBytes(of: packet.loadUnaligned(fromByteOffset: 16, as: UInt32.self), toByteOffset: 12, as: UInt32.self)
    notice.storeBytes(of: packet.loadUnaligned(fromByteOffset: 12, as: UInt32.self), toByteOffset: 16, as: UInt32.self)
    var network = InternetChecksum()
    network.add(notice, count: 20)
    notice.storeBytes(of: ~network.folded, toByteOffset: 10, as: UInt16.self)

    let message = notice + 20
    message.storeBytes(of: (0x0304_0000 as UInt32).bigEndian, as: UInt32.self)
    message.storeBytes(of: UInt32(truncatingIfNeeded: limit).bigEndian, toByteOffset: 4, as: UInt32.self)
    (message + 8).copyMemory(from: packet, byteCount: quoted)
    var sum = InternetChecksum()
    sum.add(message, count: 8 &+ quoted)
    message.storeBytes(of: ~sum.folded, toByteOffset: 2, as: UInt16.self)
    return head4 &+ quoted
  }

  private static func write6(
    about packet: UnsafeRawPointer, _ length: Int, _ limit: Int, to notice: UnsafeMutableRawPointer
  ) -> Int {
    let quoted = min(length, least6 &- head6)
    notice.storeBytes(of: (0x6000_0000 as UInt32).bigEndian, as: UInt32.self)
    notice.storeBytes(of: UInt16(truncatingIfNeeded: 8 &+ quoted).bigEndian, toByteOffset: 4, as: UInt16.self)
    notice.storeBytes(of: PacketKind.icmp6, toByteOffset: 6, as: UInt8.self)
    notice.storeBytes(of: hopLimit, toByteOffset: 7, as: UInt8.self)
    (notice + 8).copyMemory(from: packet + 24, byteCount: 16)
    (notice + 24).copyMemory(from: packet + 8, byteCount: 16)

    let message = notice + 40
    message.storeBytes(of: (0x0200_0000 as UInt32).bigEndian, as: UInt32.self)
    message.storeBytes(of: UInt32(truncatingIfNeeded: limit).bigEndian, toByteOffset: 4, as: UInt32.self)
    (message + 8).copyMemory(from: packet, byteCount: quoted)
    var sum = InternetChecksum()
    sum.addPseudoHeader(of: notice, isIPv4: false, protocol: PacketKind.icmp6, length: 8 &+ quoted)
    sum.add(message, count: 8 &+ quoted)
    message.storeBytes(of: ~sum.folded, toByteOffset: 2, as: UInt16.self)
    return head6 &+ quoted
  }
}

/// How often a peer's senders are told: sixteen times in a row, then a hundred times a second. What is told once is known for minutes, and
/// whoever does not listen must not cost more by it.
struct NoticeRate {
  private static let interval: UInt64 = 10_000_000
  private static let burst: UInt64 = 16

  /// When as many would have been told as may be.
  private var spentUntil: UInt64 = 0

  mutating func admits(at nanoseconds: UInt64) -> Bool {
    let start = max(spentUntil, nanoseconds)
    guard start &- nanoseconds < NoticeRate.burst &* NoticeRate.interval else { return false }
    spentUntil = start &+ NoticeRate.interval
    return true
  }
}
