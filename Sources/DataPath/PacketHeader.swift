/// The head of an IP packet, read in place: exists only if the header is whole and the packet lies within its buffer.
///
/// Addresses are numbers in host order; an IPv4 address takes the low 32 bits.
struct PacketHeader {
  let isIPv4: Bool
  /// The packet's own length, without the padding behind it.
  let length: Int
  let source: UInt128
  let destination: UInt128
  /// What follows the header, by its number: an extension header, with IPv6.
  let next: UInt8

  @inline(__always)
  init?(_ bytes: UnsafeRawPointer, count: Int) {
    guard count >= 20 else { return nil }
    switch bytes.load(as: UInt8.self) >> 4 {
    case 4:
      let length = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
      let header = Int(bytes.load(as: UInt8.self) & 15) &* 4
      guard header >= 20, header <= length, length <= count else { return nil }
      self.isIPv4 = true
      self.length = length
      source = UInt128(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
      destination = UInt128(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self)))
      next = bytes.load(fromByteOffset: 9, as: UInt8.self)
    case 6:
      let length = 40 &+ Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)))
      guard length <= count else { return nil }
      self.isIPv4 = false
      self.length = length
      source = UInt128(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt128.self))
      destination = UInt128(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt128.self))
      next = bytes.load(fromByteOffset: 6, as: UInt8.self)
    default:
      return nil
    }
  }
}

/// What a packet is to a filter: the protocol, its ports, and whether it begins something.
struct PacketKind: Equatable {
  /// A part of a packet whose first part was, or was not, let in.
  static let laterFragment: UInt8 = 255
  /// Nothing to judge it by. It never passes a filter with an opinion.
  static let unknown: UInt8 = 0

  static let icmp4: UInt8 = 1
  static let tcp: UInt8 = 6
  static let udp: UInt8 = 17
  static let icmp6: UInt8 = 58
  /// What machines of a mesh tell each other inside the tunnel: nothing of it is for the system.
  static let notice: UInt8 = 99
  static let sctp: UInt8 = 132
  /// Routing, authentication and destination options: extension headers of IPv6 that nobody needs here.
  @inline(__always)
  private static func hides(_ number: UInt8) -> Bool { number == 43 || number == 51 || number == 60 }

  var number: UInt8
  var sourcePort: UInt16 = 0
  var destinationPort: UInt16 = 0
  /// A TCP segment that does not open a connection, an ICMP echo reply or an ICMP error: it answers something.
  var isAnswer = false

  /// The packet begins at `bytes`; its header is checked.
  init(_ bytes: UnsafeRawPointer, _ header: PacketHeader) {
    var next: UInt8
    var start: Int
    var fragment: UInt16 = 0
    if header.isIPv4 {
      next = bytes.load(fromByteOffset: 9, as: UInt8.self)
      start = Int(bytes.load(as: UInt8.self) & 15) &* 4
      fragment = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self)) & 0x1fff
    } else {
      next = bytes.load(fromByteOffset: 6, as: UInt8.self)
      start = 40
      if next == 44 {
        guard header.length >= 48 else {
          self.init(number: PacketKind.unknown)
          return
        }
        next = bytes.load(fromByteOffset: 40, as: UInt8.self)
        fragment = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 42, as: UInt16.self)) >> 3
        start = 48
      }
    }
    if fragment != 0 {
      // One that begins within the longest header could replace ports that were judged already.
      self.init(number: fragment < 10 ? PacketKind.unknown : PacketKind.laterFragment)
      return
    }
    let body = bytes + start
    let count = header.length &- start
    let least =
      switch next {
      case PacketKind.tcp: 20
      case PacketKind.udp: 8
      case PacketKind.sctp: 12
      case PacketKind.icmp4, PacketKind.icmp6: 4
      default: 0
      }
    // The system takes such headers off, and delivers what is behind them past every rule about it.
    let hides = !header.isIPv4 && PacketKind.hides(next)
    self.init(
      number: next == PacketKind.laterFragment || count < least || hides ? PacketKind.unknown : next)
    switch number {
    case PacketKind.tcp:
      readPorts(body)
      isAnswer = body.load(fromByteOffset: 13, as: UInt8.self) & 0x12 != 0x02
    case PacketKind.udp, PacketKind.sctp:
      readPorts(body)
    case PacketKind.icmp4 where header.isIPv4, PacketKind.icmp6 where !header.isIPv4:
      guard count >= 8 else { break }
      let type = body.load(as: UInt8.self)
      let code = body.load(fromByteOffset: 1, as: UInt8.self)
      isAnswer =
        header.isIPv4
        ? (type == 0 && code == 0) || type == 3 || type == 11 || type == 12
        : (type == 129 && code == 0) || (1...4).contains(type)
    default:
      break
    }
  }

  private init(number: UInt8) { self.number = number }

  private mutating func readPorts(_ body: UnsafeRawPointer) {
    sourcePort = UInt16(bigEndian: body.loadUnaligned(as: UInt16.self))
    destinationPort = UInt16(bigEndian: body.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
  }
}
