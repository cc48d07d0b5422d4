import CLinux
import Glibc
import TestSupport
import Testing
import Wire

@testable import DataPath

/// TCP and UDP packets with everything filled in.
struct FullPacket: Equatable {
  var isIPv4 = true
  var isTCP = true
  var ports: (UInt16, UInt16) = (1000, 2000)
  var tos: UInt8 = 0
  var ttl: UInt8 = 64
  var id: UInt16 = 7
  var fragment: UInt16 = 0x4000
  var networkOptions: [UInt8] = []
  var sequence: UInt32 = 1_000_000
  var acknowledgement: UInt32 = 5
  var flags: UInt8 = TCPFlags.ack
  var window: UInt16 = 500
  var urgent: UInt16 = 0
  var options: [UInt8] = []
  var payload: [UInt8] = []
  var hasChecksum = true

  static func == (a: FullPacket, b: FullPacket) -> Bool { a.bytes == b.bytes }

  private static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
  private static func big(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
  }

  /// Straight from the RFCs: sixteen bits at a time.
  static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[index]) << 8 | UInt32(index + 1 < bytes.count ? bytes[index + 1] : 0)
      if sum > 0xffff { sum = (sum & 0xffff) + 1 }
    }
    return ~UInt16(sum)
  }

  var bytes: [UInt8] {
    let source: [UInt8] = isIPv4 ? [10, 200, 0, 1] : [0xfd] + [UInt8](repeating: 1, count: 15)
    let destination: [UInt8] = isIPv4 ? [10, 200, 0, 2] : [0xfd] + [UInt8](repeating: 2, count: 15)
    var transport = Self.big(ports.0) + Self.big(ports.1)
    if isTCP {
      transport += Self.big(sequence) + Self.big(acknowledgement) + [UInt8((20 + options.count) / 4) << 4, flags]
      transport += Self.big(window) + [0, 0] + Self.big(urgent) + options
    } else {
      transport += Self.big(UInt16(8 + payload.count)) + [0, 0]
    }
    transport += payload
    let number: UInt8 = isTCP ? 6 : 17
    let pseudo = source + destination + Self.big(UInt32(transport.count)) + [0, 0, 0, number]
    if hasChecksum {
      let sum = Self.checksum(pseudo + transport)
      let field = isTCP ? 16 : 6
      transport.replaceSubrange(field..<field + 2, with: Self.big(sum == 0 ? 0xffff : sum))
    }
    if isIPv4 {
      let header = 20 + networkOptions.count
      var network = [UInt8(0x40 | header / 4), tos] + Self.big(UInt16(header + transport.count)) + Self.big(id)
      network += Self.big(fragment) + [ttl, number, 0, 0] + source + destination + networkOptions
      network.replaceSubrange(10..<12, with: Self.big(Self.checksum(network)))
      return network + transport
    }
    let next = networkOptions.isEmpty ? number : 60
    return [0x60 | tos >> 4, tos << 4, 0, 0] + Self.big(UInt16(networkOptions.count + transport.count)) + [next, ttl]
      + source + destination + networkOptions + transport
  }

  /// The kernel's form: one packet with all the payload, its checksum left open.
  func superPacket(segmentSize: Int) -> (virtio: VirtioHeader, bytes: [UInt8]) {
    var bytes = bytes
    let start = (isIPv4 ? 20 : 40) + networkOptions.count
    var virtio = VirtioHeader()
    virtio.needsChecksum = true
    virtio.kind = isTCP ? (isIPv4 ? VirtioHeader.tcp4 : VirtioHeader.tcp6) : VirtioHeader.udp
    virtio.segmentSize = UInt16(segmentSize)
    virtio.checksumStart = UInt16(start)
    virtio.checksumOffset = isTCP ? 16 : 6
    // Whatever is there: cutting computes it anew.
    bytes[start + Int(virtio.checksumOffset)] ^= 0x55
    return (virtio, bytes)
  }

  /// What the kernel would have sent without offloads.
  func segments(of size: Int) -> [[UInt8]] {
    stride(from: 0, to: payload.count, by: size).enumerated().map { index, offset in
      var segment = self
      segment.payload = Array(payload[offset..<min(offset + size, payload.count)])
      segment.id &+= UInt16(index)
      segment.sequence &+= UInt32(offset)
      let isLast = offset + size >= payload.count
      if !isLast { segment.flags &= ~(TCPFlags.fin | TCPFlags.psh) }
      if index > 0 { segment.flags &= ~TCPFlags.cwr }
      return segment.bytes
    }
  }
}

private func pattern(_ count: Int, _ seed: UInt8 = 1) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8)) &+ seed }
}

@Suite("offloads")
struct OffloadTests {
  @Test("the checksum agrees with the plain one at every length and offset")
  func checksums() {
    let random = SeededRandom(11)
    let bytes = (0..<2048).map { _ in UInt8(truncatingIfNeeded: random.uint32()) }
    bytes.withUnsafeBytes { memory in
      for offset in 0..<9 {
        for count in Array(0...140) + [1280, 1419, 1420, 2000] {
          var sum = InternetChecksum()
          sum.add(memory.baseAddress! + offset, count: count)
          #expect(UInt16(bigEndian: ~sum.folded) == FullPacket.checksum(Array(bytes[offset..<offset + count])))
        }
      }
    }
  }

  /// Cuts with the product's code, collecting copies.
  private func cut(_ virtio: VirtioHeader, _ bytes: [UInt8]) -> [[UInt8]]? {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: bytes.count + 64 + SuperPacket.longestHeader, alignment: 16)
    defer { memory.deallocate() }
    memory.copyMemory(from: bytes, byteCount: bytes.count)
    guard
      var superPacket = SuperPacket(memory, length: bytes.count, virtio, scratch: memory + bytes.count + 64)
    else { return nil }
    var result: [[UInt8]] = []
    let count = superPacket.count
    while let segment = superPacket.next() {
      result.append(Array(UnsafeRawBufferPointer(start: segment.packet, count: segment.length)))
    }
    #expect(result.count == count)
    return result
  }

  @Test("a super-packet is cut into what the kernel would have sent", arguments: [true, false], [true, false])
  func cuts(isIPv4: Bool, isTCP: Bool) {
    for size in [1, 7, 100, 536, 1228, 1368] {
      for total in [size + 1, size * 3, size * 5 + size / 2] where total < 60_000 {
        for options in [[], [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]] as [[UInt8]] {
          var packet = FullPacket()
          packet.isIPv4 = isIPv4
          packet.isTCP = isTCP
          packet.flags = TCPFlags.ack | TCPFlags.psh | TCPFlags.fin | TCPFlags.cwr
          packet.sequence = .max - 100
          packet.id = .max - 1
          packet.options = options
          packet.payload = pattern(total)
          let (virtio, bytes) = packet.superPacket(segmentSize: size)
          #expect(cut(virtio, bytes) == packet.segments(of: size), "\(size) \(total)")
        }
      }
    }
  }

  @Test("IP options and extension headers are repeated in every segment", arguments: [true, false])
  func cutsOptions(isIPv4: Bool) {
    var packet = FullPacket()
    packet.isIPv4 = isIPv4
    packet.networkOptions = isIPv4 ? [1, 1, 1, 0] : [6, 0, 1, 4, 0, 0, 0, 0]
    packet.payload = pattern(3000)
    let (virtio, bytes) = packet.superPacket(segmentSize: 1000)
    #expect(cut(virtio, bytes) == packet.segments(of: 1000))
  }

  @Test("headers that contradict the packet are refused")
  func refusesNonsense() {
    var packet = FullPacket()
    packet.payload = pattern(3000)
    let (good, bytes) = packet.superPacket(segmentSize: 1000)
    var changes: [VirtioHeader] = []
    for change in 0..<6 {
      var header = good
      switch change {
      case 0: header.segmentSize = 0
      case 1: header.checksumStart = 10
      case 2: header.checksumStart = 24
      case 3: header.checksumOffset = 6
      case 4: header.kind = VirtioHeader.tcp6
      default: header.checksumStart = 4000
      }
      changes.append(header)
    }
    for header in changes { #expect(cut(header, bytes) == nil, "\(header)") }
    var short = bytes
    short[32] = 0x20
    #expect(cut(good, short) == nil)
    #expect(cut(good, Array(bytes[..<40])) == nil)
  }

  @Test("a checksum that the kernel left open is computed, never as zero", arguments: [true, false], [true, false])
  func completes(isIPv4: Bool, isTCP: Bool) {
    for size in 0..<200 {
      var packet = FullPacket()
      packet.isIPv4 = isIPv4
      packet.isTCP = isTCP
      packet.payload = pattern(size, UInt8(size))
      var (virtio, open) = packet.superPacket(segmentSize: 1)
      virtio.kind = VirtioHeader.none
      let start = Int(virtio.checksumStart)
      let field = start + Int(virtio.checksumOffset)
      open[field] = 0
      open[field + 1] = 0
      // The kernel puts the pseudo-header's sum there.
      var pseudo = InternetChecksum()
      open.withUnsafeBytes {
        pseudo.addPseudoHeader(
          of: $0.baseAddress!, isIPv4: isIPv4, protocol: isTCP ? 6 : 17, length: $0.count - start)
      }
      let length = open.count
      let isDone = open.withUnsafeMutableBytes {
        $0.storeBytes(of: pseudo.folded, toByteOffset: field, as: UInt16.self)
        return SuperPacket.completeChecksum($0.baseAddress!, length: length, virtio)
      }
      #expect(isDone && open == packet.bytes)
    }
  }

  // MARK: Joining

  /// What the product writes to a device for these packets: each record is a header and a packet.
  private func join(
    _ packets: [[UInt8]], offloads: Offloads = [.tso, .uso]
  ) throws -> [(virtio: VirtioHeader, bytes: [UInt8])] {
    var pair: [CInt] = [0, 0]
    // A pair of datagram sockets would hold ten packets.
    #expect(socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
    defer { for descriptor in pair { close(descriptor) } }
    var size: CInt = 4 << 20
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, socklen_t(MemoryLayout<CInt>.size))
    let drops = DropCounters()
    defer { drops.deallocate() }
    var coalescer = Coalescer(tun: pair[0], hasHeaders: true, offloads: offloads, drops: drops)
    defer { coalescer.deallocate() }
    let room = 2048
    let memory = UnsafeMutableRawPointer.allocate(byteCount: packets.count * room + 16, alignment: 16)
    defer { memory.deallocate() }
    var written: [(virtio: VirtioHeader, bytes: [UInt8])] = []
    func readAll() {
      var buffer = [UInt8](repeating: 0, count: 70_000)
      while true {
        let count = read(pair[1], &buffer, buffer.count)
        guard count >= VirtioHeader.length else { return }
        let virtio = buffer.withUnsafeBytes { VirtioHeader(reading: $0.baseAddress!) }
        written.append((virtio, Array(buffer[VirtioHeader.length..<count])))
      }
    }
    for (index, packet) in packets.enumerated() {
      let place = memory + index * room + 16
      place.copyMemory(from: packet, byteCount: packet.count)
      coalescer.add(place, length: packet.count, isIPv4: packet[0] >> 4 == 4)
      readAll()
    }
    coalescer.flush()
    readAll()
    return written
  }

  /// What a kernel makes of it again.
  private func expand(_ written: [(virtio: VirtioHeader, bytes: [UInt8])]) -> [[UInt8]] {
    written.flatMap { virtio, bytes in
      virtio.kind == VirtioHeader.none ? [bytes] : cut(virtio, bytes) ?? []
    }
  }

  @Test(
    "a row of segments becomes one super-packet, and cutting it gives them back", arguments: [true, false],
    [true, false])
  func joins(isIPv4: Bool, isTCP: Bool) throws {
    var packet = FullPacket()
    packet.isIPv4 = isIPv4
    packet.isTCP = isTCP
    packet.flags = TCPFlags.ack | TCPFlags.psh
    packet.options = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]
    packet.fragment = 0
    packet.payload = pattern(10 * 1200 + 77)
    let segments = packet.segments(of: 1200)
    let written = try join(segments)
    #expect(written.count == 1)
    #expect(written.first?.virtio.segmentSize == 1200)
    #expect(expand(written) == segments)
  }

  @Test("two flows that alternate become two super-packets")
  func joinsInterleaved() throws {
    var one = FullPacket()
    one.payload = pattern(6000)
    var other = one
    other.ports = (1001, 2000)
    other.isTCP = false
    let (a, b) = (one.segments(of: 1000), other.segments(of: 1000))
    let written = try join(zip(a, b).flatMap { [$0, $1] })
    #expect(written.count == 2)
    #expect(expand(written) == a + b)
  }

  /// Ways in which a second segment differs from what would continue the first.
  static let differences: [(String, @Sendable (inout FullPacket) -> Void)] = [
    ("SYN", { $0.flags |= 0x02 }), ("URG", { $0.flags |= 0x20 }), ("FIN", { $0.flags |= 0x01 }),
    ("RST", { $0.flags |= 0x04 }), ("CWR", { $0.flags |= 0x80 }), ("ECE", { $0.flags |= 0x40 }),
    ("no ACK", { $0.flags = 0 }), ("another TOS", { $0.tos = 4 }), ("congestion experienced", { $0.tos = 3 }),
    ("another TTL", { $0.ttl = 63 }), ("a timestamp that goes back", { $0.options[7] -= 1 }),
    ("other options", { $0.options = [1, 1, 1, 1] + $0.options }),
    ("another acknowledgement", { $0.acknowledgement += 1 }),
    ("another window", { $0.window += 1 }), ("a gap", { $0.sequence += 1 }), ("an overlap", { $0.sequence -= 1 }),
    ("a longer payload", { $0.payload.append(1) }), ("no payload", { $0.payload = [] }),
    ("a first fragment", { $0.fragment = 0x2000 }), ("a later fragment", { $0.fragment = 0x0010 }),
    ("fragments allowed now", { $0.fragment = 0 }), ("IP options", { $0.networkOptions = [1, 1, 1, 0] }),
    ("a wrong checksum", { $0.hasChecksum = false }), ("other ports", { $0.ports.1 = 2001 }),
  ]

  @Test("what cutting would not give back is not joined, and nothing is changed", arguments: differences.map(\.0))
  func doesNotJoin(name: String) throws {
    let change = try #require(OffloadTests.differences.first { $0.0 == name }?.1)
    var first = FullPacket()
    first.options = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]
    first.payload = pattern(1000)
    var second = first
    second.sequence += 1000
    second.id += 1
    var third = second
    third.sequence += 1000
    third.id += 1
    change(&second)
    let packets = [first.bytes, second.bytes, third.bytes]
    let written = try join(packets)
    #expect(written.count == 3, "\(name)")
    #expect(written.map(\.bytes) == packets)
    #expect(written.allSatisfy { $0.virtio == VirtioHeader() })
  }

  @Test("a push ends a run, and so does a short segment")
  func ends() throws {
    for isPush in [true, false] {
      var packet = FullPacket()
      packet.payload = pattern(1000)
      var packets: [[UInt8]] = []
      for index in 0..<6 {
        packet.flags = TCPFlags.ack | (isPush && index == 2 ? TCPFlags.psh : 0)
        packet.payload = pattern(!isPush && index == 2 ? 999 : 1000)
        packets.append(packet.bytes)
        packet.sequence += UInt32(packet.payload.count)
        packet.id += 1
      }
      let written = try join(packets)
      #expect(written.count == 2)
      #expect(expand(written) == packets)
    }
  }

  @Test("UDP without a checksum, empty, or of another length than it says stays as it is")
  func leavesStrangeUDP() throws {
    var packet = FullPacket()
    packet.isTCP = false
    packet.payload = pattern(500)
    var bare = packet
    bare.hasChecksum = false
    var empty = packet
    empty.payload = []
    var lying = packet.bytes
    lying[25] -= 1
    for strange in [bare.bytes, empty.bytes, lying] {
      let written = try join([strange, strange])
      #expect(written.map(\.bytes) == [strange, strange])
    }
  }

  @Test("no packet of a flow overtakes another, whatever stands between, and none is lost or changed")
  func keepsOrder() throws {
    let random = SeededRandom(77)
    for _ in 0..<20 {
      var flows = (0..<3).map { number in
        var flow = FullPacket()
        flow.ports = (UInt16(1000 + number), 80)
        flow.isIPv4 = number != 1
        flow.isTCP = number != 2
        return flow
      }
      var packets: [[UInt8]] = []
      for _ in 0..<200 {
        let index = Int(random.uniform(below: 3))
        let choice = random.uniform(below: 10)
        flows[index].payload = pattern(choice == 0 ? 1 + Int(random.uniform(below: 900)) : 900, UInt8(choice))
        flows[index].flags = TCPFlags.ack | (choice == 1 ? TCPFlags.psh : 0)
        if choice == 2 { flows[index].options = flows[index].options.isEmpty ? [1, 1, 1, 1] : [] }
        flows[index].fragment = choice == 3 ? 0x2000 : 0x4000
        packets.append(flows[index].bytes)
        flows[index].sequence &+= UInt32(flows[index].payload.count)
        flows[index].id &+= 1
      }
      let result = expand(try join(packets))
      func key(_ bytes: [UInt8]) -> [UInt8] { Array(bytes[(bytes[0] >> 4 == 4 ? 20 : 40)...].prefix(2)) }
      for port in [1000, 1001, 1002] as [UInt16] {
        let name = [UInt8(port >> 8), UInt8(port & 255)]
        let isSame = result.filter { key($0) == name } == packets.filter { key($0) == name }
        #expect(isSame, "flow \(port)")
      }
    }
  }

  @Test("without offloads every packet is written as it came")
  func withoutOffloads() throws {
    var packet = FullPacket()
    packet.payload = pattern(3000)
    let segments = packet.segments(of: 1000)
    #expect(try join(segments, offloads: []).map(\.bytes) == segments)
  }
}
