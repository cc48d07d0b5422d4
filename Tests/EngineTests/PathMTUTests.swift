import CLinux
import Glibc
import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

@Suite("packets that are too long for their way")
struct PathMTUTests {
  private func bytes(_ hex: String) throws -> [UInt8] { try #require(Hex.decode(hex)) }

  private func notice(_ packet: [UInt8], limit: Int) -> [UInt8] {
    var room = [UInt8](repeating: 0xaa, count: TooLongNotice.greatestLength)
    let length = packet.withUnsafeBytes { packet in
      room.withUnsafeMutableBytes { room in
        guard let header = PacketHeader(packet.baseAddress!, count: packet.count) else { return 0 }
        return TooLongNotice.write(about: packet.baseAddress!, header, limit: limit, to: room.baseAddress!)
      }
    }
    return Array(room[..<length])
  }

  /// The fragments; `nil` if the packet may not be cut.
  private func cut(_ packet: [UInt8], limit: Int, identification: UInt32 = 1) -> [[UInt8]]? {
    packet.withUnsafeBytes { packet in
      guard let header = PacketHeader(packet.baseAddress!, count: packet.count),
        var fragments = PacketFragments(
          packet.baseAddress!, header, limit: limit, identification: identification)
      else { return nil }
      var result: [[UInt8]] = []
      var room = [UInt8](repeating: 0xaa, count: limit)
      while case let length = room.withUnsafeMutableBytes({ fragments.next(into: $0.baseAddress!) }), length > 0 {
        result.append(Array(room[..<length]))
      }
      return result
    }
  }

  // MARK: Telling

  @Test("a sender of IPv4 is told by ICMP from where it sent to, with the limit and its packet")
  func tells4() throws {
    #expect(
      notice(try bytes("4500002000074000401125340ac800010ac8000203e807d0000cfdbd6d657368"), limit: 1220)
        == (try bytes(
          "45c0003c000040004001246f0ac800020ac8000103040de8000004c4"
            + "4500002000074000401125340ac800010ac8000203e807d0000cfdbd6d657368")))
  }

  @Test("a sender of IPv6 is told by ICMPv6")
  func tells6() throws {
    let packet =
      "60000000000c1140fd010101010101010101010101010101fd020202020202020202020202020202"
      + "03e807d0000c04376d657368"
    #expect(
      notice(try bytes(packet), limit: 1280)
        == (try bytes(
          "60000000003c3a40fd020202020202020202020202020202fd010101010101010101010101010101"
            + "0200784000000500" + packet)))
  }

  @Test("of a long packet as much is quoted as surely arrives, with right checksums", arguments: [true, false])
  func quotes(isIPv4: Bool) {
    for size in [540, 1200, 1201, 1300, 1400] {
      var packet = FullPacket()
      packet.isIPv4 = isIPv4
      packet.payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      let notice = notice(packet.bytes, limit: 1280)
      #expect(notice.count == min(isIPv4 ? 576 : 1280, packet.bytes.count + (isIPv4 ? 28 : 48)))
      let message = Array(notice[(isIPv4 ? 20 : 40)...])
      #expect(packet.bytes.starts(with: message[8...]))
      let pseudo = notice[8..<40] + [0, 0, UInt8(message.count >> 8), UInt8(message.count & 255), 0, 0, 0, 58]
      #expect(FullPacket.checksum(isIPv4 ? message : pseudo + message) == 0)
      if isIPv4 { #expect(FullPacket.checksum(Array(notice[..<20])) == 0) }
    }
  }

  @Test("nobody is told of errors, of later fragments, and of packets from or to no single machine")
  func tellsNobody() {
    var later = FullPacket()
    later.fragment = 0x4001
    #expect(notice(later.bytes, limit: 1200).isEmpty)
    func isTold(from: String, to: String, protocol number: UInt8 = 17, first: UInt8 = 0) -> Bool {
      var packet = SamplePacket.make(from: from, to: to, protocol: number)
      packet[packet[0] >> 4 == 4 ? 20 : 40] = first
      return !notice(packet, limit: 1280).isEmpty
    }
    #expect(isTold(from: "10.200.0.1", to: "10.200.0.2"))
    #expect(!isTold(from: "0.0.0.0", to: "10.200.0.2"))
    #expect(!isTold(from: "127.0.0.1", to: "10.200.0.2"))
    #expect(!isTold(from: "10.200.0.1", to: "224.0.0.1"))
    #expect(!isTold(from: "10.200.0.1", to: "255.255.255.255"))
    #expect(isTold(from: "10.200.0.1", to: "10.200.0.2", protocol: 1, first: 8))
    for type in [3, 11, 12] as [UInt8] {
      #expect(!isTold(from: "10.200.0.1", to: "10.200.0.2", protocol: 1, first: type))
    }
    #expect(isTold(from: "fd00::1", to: "fd00::2"))
    #expect(!isTold(from: "::", to: "fd00::2") && !isTold(from: "fd00::1", to: "ff02::1"))
    #expect(isTold(from: "fd00::1", to: "fd00::2", protocol: 58, first: 128))
    #expect(!isTold(from: "fd00::1", to: "fd00::2", protocol: 58, first: 2))
  }

  @Test("a peer's senders are told sixteen times in a row, and then a hundred times a second")
  func rate() {
    var rate = NoticeRate()
    let start: UInt64 = 5_000_000_000
    #expect((0..<100).count { _ in rate.admits(at: start) } == 16)
    #expect((0..<1000).count { rate.admits(at: start + UInt64($0 + 1) * 1_000_000) } == 100)
    #expect((0..<100).count { _ in rate.admits(at: start + 60_000_000_000) } == 16)
  }

  // MARK: Cutting

  @Test("fragments of IPv4 have the options that are to be copied, and blanks for the others")
  func cuts4() throws {
    let packet = try bytes(
      "470000301234000040c8b1370ac800010ac800029404000007040400000102030405060708090a0b0c0d0e0f10111213")
    #expect(
      cut(packet, limit: 44) == [
        try bytes("4700002c1234200040c8913b0ac800010ac800029404000007040400000102030405060708090a0b0c0d0e0f"),
        try bytes("470000201234000240c8ba470ac800010ac80002940400000101010110111213"),
      ])
  }

  @Test("fragments of IPv6 have their header behind the options for all nodes on the way")
  func cuts6() throws {
    let addresses = "fd010101010101010101010101010101fd020202020202020202020202020202"
    let packet = try bytes(
      "60000000001c0040" + addresses + "c800050200000100000102030405060708090a0b0c0d0e0f10111213")
    #expect(
      cut(packet, limit: 72, identification: 0xabcd_ef01) == [
        try bytes(
          "6000000000200040" + addresses + "2c00050200000100c8000001abcdef01000102030405060708090a0b0c0d0e0f"),
        try bytes("6000000000140040" + addresses + "2c00050200000100c8000010abcdef0110111213"),
      ])
  }

  @Test("what a destination makes of the fragments is the packet, also if some of them are cut once more")
  func reassembles() throws {
    let random = SeededRandom(21)
    for round in 0..<300 {
      var packet = FullPacket()
      packet.isIPv4 = round % 2 == 0
      packet.fragment = 0
      packet.id = UInt16(round)
      packet.payload = (0..<Int(1 + random.uniform(below: 4000))).map { UInt8(truncatingIfNeeded: $0 &* 13) }
      let limit = 576 + Int(random.uniform(below: 800))
      var pieces = try #require(cut(packet.bytes, limit: limit))
      #expect(pieces.allSatisfy { $0.count <= limit })
      if packet.bytes.count > limit {
        let again = Int(random.uniform(below: UInt64(pieces.count)))
        let narrow = 100 + Int(random.uniform(below: 400))
        pieces.replaceSubrange(again...again, with: try #require(cut(pieces[again], limit: narrow)))
      }
      #expect(Reassembly.join(pieces) == packet.bytes, "round \(round)")
    }
  }

  @Test("what may not be cut is not, and nonsense neither")
  func refusesToCut() throws {
    var packet = FullPacket()
    packet.payload = [UInt8](repeating: 1, count: 1301)
    #expect(cut(packet.bytes, limit: 1200) == nil)
    // A fragment that is followed by others and ends between two units of eight bytes.
    packet.fragment = 0x2000
    #expect(cut(packet.bytes, limit: 1200) == nil)
    // Extension headers beyond the packet, and longer than any that are taken.
    packet.isIPv4 = false
    for length in [200, 80] as [UInt8] {
      packet.networkOptions = [6, length] + [UInt8](repeating: 0, count: 6)
      #expect(cut(packet.bytes, limit: 1200) == nil, "\(length)")
    }
    // As long as the field goes: the last of it would lie beyond what a packet can be.
    var last = FullPacket()
    last.fragment = 0x1fff
    last.payload = [UInt8](repeating: 1, count: 1300)
    #expect(cut(last.bytes, limit: 1200) == nil)
  }

  // MARK: On the way

  /// All that one machine's device gets until something has been there for a moment.
  private func receiveAll(_ machine: Machine) -> [[UInt8]] {
    var packets: [[UInt8]] = []
    while let packet = machine.receive(within: packets.isEmpty ? 2000 : 100) { packets.append(packet) }
    return packets
  }

  @Test("IPv4 that may be cut arrives in pieces, and no datagram is longer than the way takes")
  func sendsPieces4() throws {
    let link = try Link()
    link.publishBoth(.both, innerLimit: 1220)
    let packet = link.packet(link.a, link.b, (0..<1248).map { UInt8(truncatingIfNeeded: $0) })
    link.a.send(packet)
    let pieces = receiveAll(link.b)
    #expect(pieces.count == 2)
    #expect(Reassembly.join(pieces).map { $0[20...] } == packet[20...])
    #expect(link.a.collect { link.a.relayed.count == 2 })
    #expect(link.a.relayed.allSatisfy { $0.datagram.count <= 1220 + TransportMessage.overhead })
  }

  @Test("padding does not make a datagram longer than the way takes")
  func padsNoFurther() throws {
    let link = try Link()
    link.publishBoth(.relayed, innerLimit: 1220)
    // 32 bytes are the packet's headers.
    link.a.send(link.packet(link.a, link.b, [UInt8](repeating: 1, count: 1220 - 32)))
    #expect(link.a.collect { !link.a.relayed.isEmpty })
    #expect(link.a.relayed.map(\.datagram.count) == [1220 + TransportMessage.overhead])
  }

  @Test("IPv4 that may not be cut is dropped, and its sender told the limit", arguments: [false, true])
  func refuses4(hasHeaders: Bool) throws {
    let link = try Link(offloads: hasHeaders ? .all : [])
    link.publishBoth(innerLimit: 1220)
    let prefix = [UInt8](repeating: 0, count: hasHeaders ? VirtioHeader.length : 0)
    var packet = link.packet(link.a, link.b, [UInt8](repeating: 1, count: 1248))
    packet[6] = 0x40
    link.a.send(prefix + packet)
    let told = try #require(link.a.receive())
    #expect(Array(told[prefix.count...]) == notice(packet, limit: 1220))
    #expect(link.a.dataPath.drops(.packetTooLong) == 1)
    #expect(link.b.receive(within: 50) == nil)
  }

  @Test("IPv6 arrives in pieces up to 1280, and above that its sender is told 1280")
  func sends6() throws {
    let link = try Link(("fd00::1", "fd00::2"))
    link.publishBoth(innerLimit: 1200)
    // The sample's UDP header has four more bytes than it needs.
    let packet = link.packet(link.a, link.b, (0..<1228).map { UInt8(truncatingIfNeeded: $0) })
    #expect(packet.count == 1280)
    link.a.send(packet)
    let pieces = receiveAll(link.b)
    #expect(pieces.count == 2 && pieces.allSatisfy { $0.count <= 1200 })
    #expect(Reassembly.join(pieces) == packet)
    let long = link.packet(link.a, link.b, [UInt8](repeating: 1, count: 1229))
    link.a.send(long)
    #expect(link.a.receive() == notice(long, limit: 1280))
    #expect(link.a.dataPath.drops(.packetTooLong) == 1)
  }

  @Test("a packet that waited for a session is cut like any other")
  func staged() throws {
    let link = try Link()
    link.publishBoth(innerLimit: 1220)
    let packet = link.packet(link.a, link.b, (0..<1248).map { UInt8(truncatingIfNeeded: $0) })
    #expect(link.a.dataPath.seal(packet, for: PeerID(1)))
    #expect(Reassembly.join(receiveAll(link.b)).map { $0[20...] } == packet[20...])
  }

  @Test("the segments of a TCP super-packet are cut shorter, and nothing is lost", arguments: [true, false])
  func shortensTCP(isIPv4: Bool) throws {
    let link = try Link(isIPv4 ? ("10.200.0.1", "10.200.0.2") : ("fd01::1", "fd02::2"), offloads: .all)
    var packet = FullPacket()
    packet.isIPv4 = isIPv4
    packet.payload = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
    var (virtio, bytes) = packet.superPacket(segmentSize: 1240)
    for (place, machine) in [(0, link.a), (1, link.b)] {
      let start = isIPv4 ? 12 + place * 4 : 8 + place * 16
      bytes.replaceSubrange(start..<start + (isIPv4 ? 4 : 16), with: machine.address.bytes)
    }
    virtio.headerLength = 0
    link.publishBoth(.both, innerLimit: 1200)
    var header = [UInt8](repeating: 0, count: VirtioHeader.length)
    header.withUnsafeMutableBytes { virtio.write(to: $0.baseAddress!) }
    link.a.send(header + bytes)
    let headers = isIPv4 ? 40 : 60
    var payload: [UInt8] = []
    while payload.count < packet.payload.count, let joined = link.b.receive() {
      payload += joined[(VirtioHeader.length + headers)...]
    }
    #expect(payload == packet.payload)
    let segments = (20_000 + 1200 - headers - 1) / (1200 - headers)
    #expect(link.a.collect { link.a.relayed.count == segments })
    #expect(link.a.relayed.allSatisfy { $0.datagram.count <= 1200 + TransportMessage.overhead })
    #expect(DropReason.allCases.filter { link.a.dataPath.drops($0) > 0 } == [])
  }

  @Test("the segments of a UDP super-packet keep their borders, each in pieces of its own")
  func cutsUDPSegments() throws {
    let link = try Link(offloads: .all)
    link.publishBoth(innerLimit: 700)
    var packet = FullPacket()
    packet.isTCP = false
    packet.fragment = 0
    packet.payload = (0..<3000).map { UInt8(truncatingIfNeeded: $0) }
    let (virtio, bytes) = packet.superPacket(segmentSize: 1000)
    var header = [UInt8](repeating: 0, count: VirtioHeader.length)
    header.withUnsafeMutableBytes { virtio.write(to: $0.baseAddress!) }
    link.a.send(header + bytes)
    let pieces = receiveAll(link.b).map { Array($0[VirtioHeader.length...]) }
    #expect(pieces.count == 6)
    let joined = stride(from: 0, to: pieces.count, by: 2).map { Reassembly.join(Array(pieces[$0..<$0 + 2])) }
    #expect(joined == packet.segments(of: 1000))
  }

  @Test("the sockets never fragment, and forbid it on the way", arguments: [AF_INET, AF_INET6])
  func probes(family: CInt) {
    let socket = clinux_udp_open(family, 0, 1 << 16)
    guard socket >= 0 else { return }
    defer { close(socket) }
    var value: CInt = -1
    var length = socklen_t(MemoryLayout<CInt>.size)
    let (level, option) =
      family == AF_INET6 ? (IPPROTO_IPV6, IPV6_MTU_DISCOVER) : (IPPROTO_IP, IP_MTU_DISCOVER)
    #expect(getsockopt(socket, CInt(level), option, &value, &length) == 0)
    #expect(value == (family == AF_INET6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE))
  }
}

/// A destination: puts fragments together as the RFCs say, whatever their order.
enum Reassembly {
  private struct Piece {
    var offset: Int
    var isLast: Bool
    var payload: [UInt8]
  }

  /// The packet; `nil` if a piece is missing, overlaps another or contradicts it. Headers: no IPv4 options, of IPv6 none but the
  /// fragment's.
  static func join(_ fragments: [[UInt8]]) -> [UInt8]? {
    guard let first = fragments.first else { return nil }
    let isIPv4 = first[0] >> 4 == 4
    if !isIPv4, fragments.count == 1, first[6] != 44 { return first }
    var pieces: [Piece] = []
    for fragment in fragments {
      func word(_ at: Int) -> Int { Int(fragment[at]) << 8 | Int(fragment[at + 1]) }
      guard word(isIPv4 ? 2 : 4) == fragment.count - (isIPv4 ? 0 : 40) else { return nil }
      if isIPv4 {
        guard FullPacket.checksum(Array(fragment[..<20])) == 0, fragment[4..<6] == first[4..<6] else { return nil }
        pieces.append(
          Piece(offset: (word(6) & 0x1fff) * 8, isLast: word(6) & 0x2000 == 0, payload: Array(fragment[20...])))
      } else {
        guard fragment[6] == 44, fragment[40] == first[40], fragment[44..<48] == first[44..<48] else { return nil }
        pieces.append(Piece(offset: word(42) & ~7, isLast: word(42) & 1 == 0, payload: Array(fragment[48...])))
      }
    }
    pieces.sort { $0.offset < $1.offset }
    var payload: [UInt8] = []
    for (index, piece) in pieces.enumerated() {
      guard piece.offset == payload.count, piece.isLast == (index == pieces.count - 1) else { return nil }
      payload += piece.payload
    }
    var header = Array(first[..<(isIPv4 ? 20 : 40)])
    let length = payload.count + (isIPv4 ? 20 : 0)
    header.replaceSubrange((isIPv4 ? 2..<4 : 4..<6), with: [UInt8(length >> 8), UInt8(length & 255)])
    if isIPv4 {
      header.replaceSubrange(6..<8, with: [0, 0])
      header.replaceSubrange(10..<12, with: [0, 0])
      let sum = FullPacket.checksum(header)
      header.replaceSubrange(10..<12, with: [UInt8(sum >> 8), UInt8(sum & 255)])
    } else {
      header[6] = first[40]
    }
    return header + payload
  }
}
