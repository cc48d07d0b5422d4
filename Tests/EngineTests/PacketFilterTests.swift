import TestSupport
import Testing
import Wire

@testable import DataPath

/// IP packets of tests, with only the fields that anybody looks at.
enum SamplePacket {
  static func make(
    from source: String, to destination: String, protocol number: UInt8, ports: (UInt16, UInt16) = (0, 0),
    flags: UInt8 = 0x02, body: [UInt8] = []
  ) -> [UInt8] {
    let from = IPAddress(source)!
    let to = IPAddress(destination)!
    var payload: [UInt8]
    switch number {
    case 6:
      payload = [UInt8](repeating: 0, count: 20)
      payload[12] = 0x50
      payload[13] = flags
    case 17, 132: payload = [UInt8](repeating: 0, count: 12)
    default: payload = [UInt8](repeating: 0, count: 8)
    }
    if [6, 17, 132].contains(number) {
      payload[0] = UInt8(ports.0 >> 8)
      payload[1] = UInt8(ports.0 & 255)
      payload[2] = UInt8(ports.1 >> 8)
      payload[3] = UInt8(ports.1 & 255)
    }
    payload += body
    if from.family == .v4 {
      let length = UInt16(20 + payload.count)
      return [0x45, 0, UInt8(length >> 8), UInt8(length & 255), 0, 0, 0, 0, 64, number, 0, 0] + from.bytes + to.bytes
        + payload
    }
    let length = UInt16(payload.count)
    return [0x60, 0, 0, 0, UInt8(length >> 8), UInt8(length & 255), number, 64] + from.bytes + to.bytes + payload
  }
}

@Suite("the packet filter")
struct PacketFilterTests {
  static let file = "engine/packet_filter.json"

  private let flows = FlowTable(flows: 1024, random: SeededRandom(5))

  private func admits(_ filter: PacketFilter, _ packet: [UInt8], at seconds: UInt64 = 1000) -> Bool {
    packet.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress, let header = PacketHeader(base, count: bytes.count) else { return false }
      return filter.view.admits(base, header, flows: flows.view, at: seconds)
    }
  }

  private func send(_ packet: [UInt8], at seconds: UInt64 = 1000) {
    packet.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress, let header = PacketHeader(base, count: bytes.count) else { return }
      let kind = PacketKind(base, header)
      if kind.number == PacketKind.udp || kind.number == PacketKind.sctp {
        flows.view.record(header, kind, at: seconds)
      }
    }
  }

  private static func blocks(_ text: String) -> [IPPrefix] {
    if text == "*" { return [IPPrefix("0.0.0.0/0")!, IPPrefix("::/0")!] }
    if text == "cap:ssh-ok" { return [IPPrefix("100.64.0.7")!] }
    let ends = text.split(separator: "-").compactMap { IPAddress($0) }
    guard ends.count == 2 else { return [IPPrefix(text)!] }
    return (ends[0].value...ends[1].value).map { IPPrefix(host: IPAddress(v4: UInt32($0))) }
  }

  /// The vectors' rules have one list of addresses with ports; each becomes a rule of ours.
  private static func filter(_ rules: [JSONValue]) -> PacketFilter {
    var translated: [PacketFilter.Rule] = []
    for rule in rules {
      let sources = (rule["SrcIPs"]?.array ?? []).flatMap { blocks($0.string ?? "") }
      for destination in rule["DstPorts"]?.array ?? [] {
        let first = UInt16(destination["Ports"]?["First"]?.integer ?? 0)
        let last = UInt16(destination["Ports"]?["Last"]?.integer ?? 0)
        translated.append(
          PacketFilter.Rule(
            accepts: true, sources: sources, sourcePorts: [0...UInt16.max],
            destinations: blocks(destination["IP"]?.string ?? ""), destinationPorts: [first...last],
            protocols: rule["IPProto"]?.array?.compactMap { $0.integer.map { UInt8($0) } } ?? [1, 6, 17, 58]))
      }
    }
    return PacketFilter(rules: translated, acceptsByDefault: false)
  }

  /// What is decided before the filter, or above it.
  private static func isDecidedElsewhere(_ note: String) -> Bool {
    ["empty packet", "tsmp"].contains(note) || note.contains("local") || note.contains("multicast")
      || note.contains("subnet destination")
  }

  @Test(
    "decides the vectors as they say", .enabled(if: Fixtures.have(PacketFilterTests.file), "\(Fixtures.skipped)"),
    arguments: ["steps", "shields_up_steps"])
  func decidesVectors(steps: String) throws {
    let json = try Fixtures.json(PacketFilterTests.file)
    let filter = steps == "steps" ? PacketFilterTests.filter(json["rules"]?.array ?? []) : .denyAll
    for step in try #require(json[steps]?.array) {
      let note = step["note"]?.string ?? ""
      let packet = try #require(Hex.decode(step["packet"]?.string ?? ""))
      if step["dir"]?.string == "out" {
        send(packet)
      } else if !PacketFilterTests.isDecidedElsewhere(note) {
        #expect(admits(filter, packet) == (step["want"]?.string == "Accept"), "\(note)")
      }
    }
  }

  @Test("the first rule that matches decides, and the default when none does")
  func firstMatch() {
    func rule(_ accepts: Bool, _ source: String, _ port: ClosedRange<UInt16>) -> PacketFilter.Rule {
      PacketFilter.Rule(
        accepts: accepts, sources: [IPPrefix(source)!], sourcePorts: [0...UInt16.max],
        destinations: [IPPrefix("10.200.0.1")!], destinationPorts: [port], protocols: [6])
    }
    func syn(_ source: String, _ port: UInt16) -> [UInt8] {
      SamplePacket.make(from: source, to: "10.200.0.1", protocol: 6, ports: (4000, port))
    }
    let filter = PacketFilter(
      rules: [rule(false, "10.200.0.7", 22...22), rule(true, "10.200.0.0/24", 22...80)], acceptsByDefault: false)
    #expect(!admits(filter, syn("10.200.0.7", 22)))
    #expect(admits(filter, syn("10.200.0.7", 80)))
    #expect(admits(filter, syn("10.200.0.8", 22)))
    #expect(!admits(filter, syn("10.200.0.8", 81)))
    #expect(!admits(filter, syn("10.200.1.8", 22)))
    let open = PacketFilter(rules: [rule(false, "10.200.0.7", 22...22)], acceptsByDefault: true)
    #expect(!admits(open, syn("10.200.0.7", 22)))
    #expect(admits(open, syn("10.200.0.7", 23)))
  }

  @Test("source ports are looked at")
  func sourcePorts() {
    let filter = PacketFilter(
      rules: [
        PacketFilter.Rule(
          accepts: true, sources: [IPPrefix("::/0")!], sourcePorts: [100...200, 300...300],
          destinations: [IPPrefix("::/0")!], destinationPorts: [0...UInt16.max], protocols: nil)
      ], acceptsByDefault: false)
    for (port, isIn) in [(99, false), (100, true), (200, true), (201, false), (300, true)] as [(UInt16, Bool)] {
      let packet = SamplePacket.make(from: "fd00::2", to: "fd00::1", protocol: 17, ports: (port, 53))
      #expect(admits(filter, packet) == isIn, "\(port)")
    }
  }

  @Test("accept-all admits what has no name, and deny-all admits only answers")
  func extremes() {
    let strange = SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 200)
    let request = SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 1, body: [])
    #expect(admits(.acceptAll, strange))
    #expect(!admits(.denyAll, strange))
    // Type 0 is an echo reply.
    #expect(admits(.denyAll, request))
    let opening = SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 6, ports: (1, 2))
    let answer = SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 6, ports: (1, 2), flags: 0x12)
    #expect(!admits(.denyAll, opening))
    #expect(admits(.denyAll, answer))
  }

  @Test("an answer by UDP comes in for three minutes after the last packet out, and only to that flow")
  func answers() {
    let out = SamplePacket.make(from: "10.200.0.1", to: "10.200.0.2", protocol: 17, ports: (5000, 53))
    let answer = SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 17, ports: (53, 5000))
    let other = SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 17, ports: (54, 5000))
    #expect(!admits(.denyAll, answer))
    send(out)
    #expect(admits(.denyAll, answer))
    #expect(admits(.denyAll, answer, at: 1176))
    #expect(!admits(.denyAll, answer, at: 1190))
    #expect(!admits(.denyAll, other))
    send(out, at: 1190)
    #expect(admits(.denyAll, answer, at: 1190))
  }

  @Test(
    "what a packet hides behind extension headers passes no filter that has rules", arguments: [43, 51, 60] as [UInt8])
  func hiddenProtocol(header: UInt8) throws {
    let all = Self.blocks("*")
    let ports = UInt16.min...UInt16.max
    let filter = PacketFilter(
      rules: [
        .init(
          accepts: false, sources: all, sourcePorts: [ports], destinations: all, destinationPorts: [22...22],
          protocols: [6])
      ], acceptsByDefault: true)
    let open = SamplePacket.make(from: "fd01::1", to: "fd01::2", protocol: 6, ports: (1000, 22))
    #expect(!admits(filter, open))
    var hidden = open
    hidden[6] = header
    hidden[5] += 8
    hidden.insert(contentsOf: [6, 0, 1, 4, 0, 0, 0, 0], at: 40)
    #expect(!admits(filter, hidden))
    #expect(admits(.acceptAll, hidden))
  }

  @Test("a full set of flows forgets the oldest")
  func forgetsOldest() {
    let small = FlowTable(flows: 4, random: SeededRandom(9))
    func flow(_ port: UInt16) -> (out: [UInt8], back: [UInt8]) {
      (
        SamplePacket.make(from: "10.200.0.1", to: "10.200.0.2", protocol: 17, ports: (port, 53)),
        SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 17, ports: (53, port))
      )
    }
    func with<R>(_ packet: [UInt8], _ body: (PacketHeader, PacketKind) -> R) -> R {
      packet.withUnsafeBytes { bytes in
        let header = PacketHeader(bytes.baseAddress!, count: bytes.count)!
        return body(header, PacketKind(bytes.baseAddress!, header))
      }
    }
    for port in 1...5 as ClosedRange<UInt16> {
      with(flow(port).out) { small.view.record($0, $1, at: 1000 + UInt64(port) * 8) }
    }
    let known = (1...5).map { port in
      with(flow(UInt16(port)).back) { small.view.answers($0, $1, at: 1040) }
    }
    #expect(known == [false, true, true, true, true])
  }
}
