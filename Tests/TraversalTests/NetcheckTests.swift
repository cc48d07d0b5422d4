import TestSupport
import Testing
import Wire

import Netmap
@testable import Traversal

/// A check against relays that a test makes up: each has a delay, and a NAT between gives out addresses by a rule.
private struct SimulatedNetwork {
  var check: Netcheck
  var now: Instant
  /// By address; a server that is missing never answers.
  var delays: [SocketAddress: Duration] = [:]
  /// What a server sees.
  var mapping: @Sendable (SocketAddress) -> SocketAddress = { target in
    target.ip.family == .v4 ? SocketAddress("203.0.113.9:41641")! : SocketAddress("[2001:db8:9::1]:41641")!
  }
  var hairpins = false
  var https: [UInt16: Duration] = [:]

  private let random = SeededRandom(81)
  private var underWay: [(at: Instant, bytes: [UInt8])] = []
  private(set) var sent: [SocketAddress] = []
  private(set) var report: NetcheckReport?
  private(set) var askedOverHTTPS: [UInt16] = []

  init(_ check: Netcheck, at now: Instant) {
    self.check = check
    self.now = now
  }

  /// Runs until the check says that it is finished.
  mutating func run() throws -> NetcheckReport {
    perform(check.advance(at: now, random))
    for _ in 0..<10_000 {
      if let report { return report }
      let next = ([check.deadline] + underWay.map { $0.at }).compactMap(\.self).min()
      now = max(now, try #require(next, "the check waits for nothing"))
      if let index = underWay.firstIndex(where: { $0.at <= now }) {
        let bytes = underWay.remove(at: index).bytes
        perform(check.receive(bytes, at: now, random) ?? [])
      } else {
        perform(check.advance(at: now, random))
      }
    }
    throw Endless()
  }

  struct Endless: Error {}

  private mutating func perform(_ actions: [Netcheck.Action]) {
    for action in actions {
      switch action {
      case .send(let bytes, let target):
        sent.append(target)
        var server = STUNServer()
        guard let delay = delays[target], let answer = server.answer(bytes, from: mapping(target), at: now) else {
          continue
        }
        underWay.append((now + delay, answer))
      case .sendFromElsewhere(let bytes, _):
        if hairpins { underWay.append((now + .milliseconds(1), bytes)) }
      case .measureOverHTTPS(let relays):
        askedOverHTTPS += relays
        for relay in relays { perform(check.measured(relay, https[relay])) }
      case .finished(let report): self.report = report
      }
    }
  }
}

@Suite("A check of the network")
struct NetcheckTests {
  private static let start = Instant(nanoseconds: 5_000_000_000_000)

  private static func address(_ relay: UInt16, _ port: UInt16 = 3478) -> SocketAddress {
    SocketAddress(IPAddress(v4: 0xc633_6400 + UInt32(relay)), port: port)
  }

  private static func address6(_ relay: UInt16) -> SocketAddress {
    SocketAddress(IPAddress(v6: UInt128(0x2001_0db8) << 96 | UInt128(relay)), port: 3478)
  }

  private static func relay(_ id: UInt16, secondPort: Bool = false, hasIPv6: Bool = false) -> ProbeRegion {
    let ports = [address(id)] + (secondPort ? [address(id, 3479)] : [])
    return ProbeRegion(id: id, nodes: [.init(name: "\(id)", ipv4: ports, ipv6: hasIPv6 ? [address6(id)] : [])])
  }

  private static func network(
    _ relays: [ProbeRegion], hasIPv6: Bool = false, previous: NetcheckReport? = nil, home: UInt16? = nil
  ) -> SimulatedNetwork {
    let check = Netcheck(relays, hasIPv4: true, hasIPv6: hasIPv6, previous: previous, home: home, at: start)
    var network = SimulatedNetwork(check, at: start)
    for relay in relays {
      for target in relay.nodes.flatMap({ $0.ipv4 + $0.ipv6 }) { network.delays[target] = .milliseconds(Int(relay.id)) }
    }
    return network
  }

  @Test("one relay with two ports tells the address, the delay and how the NAT maps")
  func oneRelay() throws {
    var network = Self.network([Self.relay(20, secondPort: true)])
    let report = try network.run()
    #expect(report.latencies == [20: .init(ipv4: .milliseconds(20))])
    #expect(report.globalIPv4 == SocketAddress("203.0.113.9:41641"))
    #expect(report.mapping == .endpointIndependent)
    #expect(report.hairpin == false)
    // The first probe was answered before a second was due; the second port was asked once.
    #expect(network.sent == [Self.address(20), Self.address(20, 3479)])
    #expect(network.now - Self.start < .milliseconds(300))
  }

  @Test("two ports that see two addresses tell of a NAT that maps by whom it speaks to")
  func endpointDependent() throws {
    var network = Self.network([Self.relay(20, secondPort: true)])
    network.mapping = { SocketAddress(IPAddress("203.0.113.9")!, port: 40_000 + $0.port) }
    let networkReport = try network.run()
    #expect(networkReport.mapping == .endpointDependent)
  }

  @Test("of three relays that see this machine the nearest that lies decides nothing, in whatever order they answer")
  func liar() throws {
    for liar in [10, 20, 30] as [UInt16] {
      var network = Self.network([Self.relay(10, secondPort: true), Self.relay(20), Self.relay(30)])
      network.mapping = { target in
        let isLie = target.ip == Self.address(liar).ip
        return SocketAddress(isLie ? "198.18.0.1:7" : "203.0.113.9:41641")!
      }
      let report = try network.run()
      #expect(report.globalIPv4 == SocketAddress("203.0.113.9:41641"), "\(liar) lies")
      #expect(report.mapping == .endpointIndependent, "\(liar) lies")
      #expect(report.addresses == [SocketAddress("203.0.113.9:41641")!], "\(liar) lies")
    }
  }

  @Test("a NAT that shows all ports of one host the same address, and each host another one, maps by whom it speaks to")
  func byHost() throws {
    var network = Self.network([Self.relay(10, secondPort: true), Self.relay(20, secondPort: true)])
    network.mapping = { SocketAddress(IPAddress("203.0.113.9")!, port: UInt16(40_000 + $0.ip.value % 1000)) }
    let report = try network.run()
    #expect(report.mapping == .endpointDependent)
    #expect(report.globalIPv4 == network.mapping(Self.address(10)))
  }

  @Test("two relays tell it as well, and one with one port leaves it open")
  func twoRelays() throws {
    var dependent = Self.network([Self.relay(20), Self.relay(30)])
    dependent.mapping = { SocketAddress(IPAddress("203.0.113.9")!, port: UInt16(40_000 + $0.ip.value % 1000)) }
    let report = try dependent.run()
    #expect(report.mapping == .endpointDependent)
    #expect(report.addresses.count == 1)
    var independent = Self.network([Self.relay(20), Self.relay(30)])
    let independentReport = try independent.run()
    #expect(independentReport.mapping == .endpointIndependent)
    var one = Self.network([Self.relay(20)])
    let oneReport = try one.run()
    #expect(oneReport.mapping == nil)
  }

  @Test("a second port that is silent is asked three times, and the check ends in time without it")
  func silentPort() throws {
    var network = Self.network([Self.relay(20, secondPort: true)])
    network.delays[Self.address(20, 3479)] = nil
    let report = try network.run()
    #expect(report.mapping == nil)
    #expect(network.sent.count { $0.port == 3479 } == 3)
    #expect(network.now - Self.start <= .seconds(3))
  }

  @Test("a router that sends back what is meant for the own address is found out")
  func hairpin() throws {
    var network = Self.network([Self.relay(20, secondPort: true)])
    network.hairpins = true
    let networkReport = try network.run()
    #expect(networkReport.hairpin == true)
  }

  @Test("both families are measured, and the nearest relay's view counts")
  func families() throws {
    var network = Self.network([Self.relay(40, hasIPv6: true), Self.relay(10, hasIPv6: true)], hasIPv6: true)
    network.mapping = { target in
      target.ip.family == .v6
        ? SocketAddress(IPAddress(v6: UInt128(0x2001_0db8_0009) << 80 | target.ip.value & 0xff), port: 1)
        : SocketAddress("203.0.113.9:41641")!
    }
    let report = try network.run()
    #expect(report.latencies[10] == .init(ipv4: .milliseconds(10), ipv6: .milliseconds(10)))
    #expect(report.latencies[40]?.ipv4 == .milliseconds(40))
    #expect(report.globalIPv6 == SocketAddress(IPAddress(v6: UInt128(0x2001_0db8_0009) << 80 | 10), port: 1))
  }

  @Test("three that answer make the check end soon, though others are silent")
  func enough() throws {
    let relays = [10, 20, 30, 40, 50].map { Self.relay($0) }
    var network = Self.network(relays)
    network.delays[Self.address(40)] = nil
    network.delays[Self.address(50)] = nil
    let report = try network.run()
    #expect(report.latencies.count == 3)
    #expect(network.now - Self.start <= .milliseconds(300))
  }

  @Test("the next check asks the fastest and the home, and no hairpin")
  func incremental() throws {
    let relays = [10, 20, 30, 40, 50].map { Self.relay($0) }
    var first = Self.network(relays)
    let previous = try first.run()
    var second = Self.network(relays, previous: previous, home: 50)
    let report = try second.run()
    #expect(Set(report.latencies.keys).isSubset(of: [10, 20, 30, 50]))
    #expect(report.latencies[50] != nil || second.now - Self.start <= .milliseconds(60))
    #expect(report.hairpin == nil)
  }

  @Test("where UDP does not get through, relays are measured over HTTPS")
  func blocked() throws {
    var network = Self.network([Self.relay(10), Self.relay(20)])
    network.delays = [:]
    network.https = [20: .milliseconds(80)]
    let report = try network.run()
    #expect(!report.hasUDP && report.addresses.isEmpty)
    #expect(Set(network.askedOverHTTPS) == [10, 20])
    #expect(report.latencies == [20: .init(https: .milliseconds(80))])
    #expect(network.now - Self.start == .seconds(3))
  }

  /// Answers no STUN, as its record says.
  private static func silentRelay(_ id: UInt16) -> ProbeRegion {
    ProbeRegion(id: id, nodes: [.init(name: "\(id)", ipv4: [], ipv6: [])])
  }

  @Test("a relay without STUN is measured over HTTPS beside those that answer, in every check")
  func withoutSTUN() throws {
    let relays = [Self.relay(10), Self.silentRelay(20)]
    var first = Self.network(relays)
    first.https = [10: .milliseconds(50), 20: .milliseconds(20)]
    let report = try first.run()
    #expect(report.latencies == [10: .init(ipv4: .milliseconds(10)), 20: .init(https: .milliseconds(20))])
    #expect(report.hasUDP && first.askedOverHTTPS == [20])
    var second = Self.network(relays, previous: report, home: 10)
    second.https = first.https
    let again = try second.run()
    #expect(again.latencies == report.latencies)
    #expect(second.askedOverHTTPS == [20])
  }

  @Test("a relay whose STUN is silent for a second is asked over HTTPS, and the check takes no longer for it")
  func filtered() throws {
    var network = Self.network([Self.relay(10), Self.relay(20)])
    network.delays[Self.address(20)] = nil
    network.https = [20: .milliseconds(20)]
    let report = try network.run()
    #expect(report.latencies[20] == .init(https: .milliseconds(20)))
    #expect(network.askedOverHTTPS == [20])
    #expect(network.now - Self.start <= .seconds(3))
    let random = SeededRandom(85)
    var check = Netcheck([Self.relay(1)], hasIPv4: true, hasIPv6: false, previous: nil, home: nil, at: Self.start)
    var asked: [Duration] = []
    while let due = check.deadline, asked.isEmpty {
      let actions = check.advance(at: due, random)
      if actions.contains(.measureOverHTTPS([1])) { asked.append(due - Self.start) }
    }
    #expect(asked == [.seconds(1)])
  }

  @Test("a relay that is doubted is asked over HTTPS whatever its STUN says, and what is no relay never is")
  func doubted() throws {
    var doubted = Self.relay(10)
    doubted.isDoubted = true
    var server = Self.relay(20)
    server.speaksHTTPS = false
    var silent = Self.relay(30)
    silent.speaksHTTPS = false
    var network = Self.network([doubted, server, silent])
    network.delays[Self.address(30)] = nil
    let report = try network.run()
    #expect(network.askedOverHTTPS == [10])
    #expect(report.latencies == [10: .init(ipv4: .milliseconds(10)), 20: .init(ipv4: .milliseconds(20))])
  }

  @Test("until two relays answer all are asked, and where none of the fastest is left, the others are")
  func tooFew() throws {
    let relays = [Self.relay(10)] + [20, 30, 40, 50].map { Self.silentRelay($0) }
    var previous = NetcheckReport(startedAt: Self.start)
    previous.latencies = [10: .init(ipv4: .milliseconds(10))]
    var network = Self.network(relays, previous: previous, home: 10)
    network.https = [50: .milliseconds(50)]
    let report = try network.run()
    #expect(report.latencies == [10: .init(ipv4: .milliseconds(10)), 50: .init(https: .milliseconds(50))])
    previous.latencies = [10: .init(ipv4: .milliseconds(10)), 20: .init(https: .milliseconds(20))]
    var later = Self.network(relays, previous: previous, home: 10)
    later.delays = [:]
    later.https = [50: .milliseconds(50)]
    let found = try later.run()
    #expect(found.latencies == [50: .init(https: .milliseconds(50))])
    #expect(later.askedOverHTTPS.sorted() == [10, 20, 30, 40, 50], "each once")
  }

  @Test("a check that nobody tells of HTTPS ends after five seconds")
  func nobodyMeasures() {
    let random = SeededRandom(82)
    var check = Netcheck([Self.relay(1)], hasIPv4: true, hasIPv6: false, previous: nil, home: nil, at: Self.start)
    _ = check.advance(at: Self.start, random)
    let asked = check.advance(at: Self.start + .seconds(3), random)
    #expect(asked.last == .measureOverHTTPS([1]))
    #expect(check.deadline == Self.start + .seconds(5))
    let actions = check.advance(at: Self.start + .seconds(5), random)
    guard case .finished? = actions.first else {
      Issue.record("\(actions)")
      return
    }
    #expect(check.deadline == nil)
    let late = check.measured(1, .milliseconds(1))
    #expect(late.isEmpty)
  }

  @Test("without relays there is nothing to wait for")
  func noRelays() throws {
    var network = Self.network([])
    let report = try network.run()
    #expect(report.latencies.isEmpty)
    #expect(network.now == Self.start)
  }

  @Test(
    "a server that answers nonsense has said nothing",
    arguments: ["127.0.0.1:1", "224.0.0.1:1", "169.254.1.1:1", "255.255.255.255:1", "[2001:db8::1]:1"])
  func nonsense(text: String) throws {
    let address = try #require(SocketAddress(text))
    var network = Self.network([Self.relay(10)])
    network.mapping = { _ in address }
    let report = try network.run()
    #expect(report.latencies.isEmpty && report.globalIPv4 == nil)
    #expect(report.troubles == [10: .impossible(address)])
    #expect(report.troubledFamilies == [.v4])
  }

  @Test(
    "an answer that cannot be read is told as nonsense, beside what others say",
    arguments: [
      [0x01, 0x11, 0, 0], [0x01, 0x01, 0, 0], [0x01, 0x01, 0, 12], [0x01, 0x01, 0, 4, 0, 0x20, 0, 99],
      [0x3f, 0xff, 0, 0],
    ] as [[UInt8]])
  func unreadable(head: [UInt8]) throws {
    let random = SeededRandom(84)
    var servers = [Self.relay(1), Self.relay(2)]
    for index in servers.indices { servers[index].speaksHTTPS = false }
    var check = Netcheck(servers, hasIPv4: true, hasIPv6: false, previous: nil, home: nil, at: Self.start)
    for case .send(let request, let target) in check.advance(at: Self.start, random) {
      let id = try #require(TransactionID(Array(request[8..<20])))
      let garbage = Array(head.prefix(4) + request[4..<20] + head.dropFirst(4))
      let answer = STUNResponse.bytes(id, to: SocketAddress("203.0.113.1:1")!)
      _ = check.receive(target == Self.address(1) ? garbage : answer, at: Self.start, random)
    }
    let actions = check.advance(at: Self.start + .seconds(3), random)
    guard case .finished(let report)? = actions.last else {
      Issue.record("\(actions)")
      return
    }
    #expect(report.troubles == [1: .nonsense])
    #expect(report.troubledFamilies == [.v4])
    #expect(Set(report.latencies.keys) == [2])
  }

  @Test("answers that nobody asked for, or that come twice, change nothing")
  func unasked() throws {
    let random = SeededRandom(83)
    var check = Netcheck([Self.relay(1)], hasIPv4: true, hasIPv6: false, previous: nil, home: nil, at: Self.start)
    let stranger = STUNResponse.bytes(TransactionID(random: random), to: SocketAddress("203.0.113.1:1")!)
    let ignored = check.receive(stranger, at: Self.start, random)
    #expect(ignored == nil)
    guard case .send(let request, _)? = check.advance(at: Self.start, random).first else {
      Issue.record("nothing was sent")
      return
    }
    let id = try #require(TransactionID(Array(request[8..<20])))
    let answer = STUNResponse.bytes(id, to: SocketAddress("203.0.113.1:1")!)
    let first = check.receive(answer, at: Self.start, random)
    let second = check.receive(answer, at: Self.start, random)
    #expect(first != nil && second == nil)
  }
}
