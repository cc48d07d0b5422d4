import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

@Suite("the head of an IP packet")
struct PacketHeaderTests {
  static let file = "engine/packet_classification.json"

  @Test("classifies the vectors", .enabled(if: Fixtures.have(PacketHeaderTests.file), "\(Fixtures.skipped)"))
  func classifiesVectors() throws {
    let cases = try #require(try Fixtures.json(PacketHeaderTests.file)["ip_packets"]?.array)
    #expect(!cases.isEmpty)
    for vector in cases {
      let name = vector["name"]?.string ?? ""
      let packet = try #require(Hex.decode(vector["packet"]?.string ?? ""))
      let number = try #require(vector["proto"]?.integer)
      packet.withUnsafeBytes { bytes in
        guard let header = PacketHeader(bytes.baseAddress!, count: bytes.count) else {
          #expect(number == 0, "\(name)")
          return
        }
        let kind = PacketKind(bytes.baseAddress!, header)
        // The vectors' parser knows no hop-by-hop header; ours names it by its number, which is 0 as well.
        #expect(Int64(kind.number) == number, "\(name)")
        guard number != 0, number != 255, let source = vector["src"]?.string, let destination = vector["dst"]?.string
        else { return }
        let family: (UInt128) -> IPAddress = {
          header.isIPv4 ? IPAddress(v4: UInt32($0)) : IPAddress(v6: $0)
        }
        #expect(SocketAddress(family(header.source), port: kind.sourcePort).description == source, "\(name)")
        #expect(
          SocketAddress(family(header.destination), port: kind.destinationPort).description == destination, "\(name)")
        if let flags = vector["tcp_flags"]?.integer { #expect(kind.isAnswer == (flags & 0x12 != 2), "\(name)") }
      }
    }
  }

  @Test(
    "agrees with the reading of the protocol core on random bytes, and never reads beyond them", arguments: [11, 12])
  func agreesWithReference(seed: UInt64) {
    let random = SeededRandom(seed)
    for _ in 0..<50_000 {
      var packet = random.bytes(Int(random.uniform(below: 90)))
      if packet.count > 6, random.uniform(below: 4) > 0 {
        // Make it likely to pass the first checks.
        packet[0] = random.uniform(below: 2) == 0 ? 0x45 + UInt8(random.uniform(below: 3)) : 0x60
        packet[2] = 0
        packet[3] = UInt8(random.uniform(below: UInt64(packet.count + 3)))
        packet[4] = 0
        packet[5] = UInt8(random.uniform(below: 60))
      }
      let reference = InnerPacket(packet)
      packet.withUnsafeBytes { bytes in
        // A copy of exactly this size: a sanitizer sees a read behind its end.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 16)
        defer { memory.deallocate() }
        if let base = bytes.baseAddress { memory.copyMemory(from: base, byteCount: bytes.count) }
        let header = PacketHeader(memory, count: bytes.count)
        #expect(header?.length == reference?.length, "seed \(seed)")
        guard let header, let reference else { return }
        #expect(header.source == reference.source.value && header.destination == reference.destination.value)
        #expect(header.isIPv4 == (reference.source.family == .v4))
        _ = PacketKind(memory, header)
      }
    }
  }
}
