import Cryptography
import Netmap
import Testing
import Traversal
import Wire

@testable import Engine

@Suite("who is believed about where this machine is")
struct NetworkCheckTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)
  private let peers = (0...1).map { _ in X25519PrivateKey(random: SystemRandom()).publicKey }

  private func address(_ text: String) -> SocketAddress { SocketAddress(text)! }

  /// What servers found out that saw this machine at these addresses.
  private func report(_ seen: [SocketAddress], _ mapping: NATMapping? = nil) -> NetcheckReport {
    var report = NetcheckReport(startedAt: start)
    for address in seen {
      report.observations[address] = 2
      let family = address.ip.family == .v4 ? \NetcheckReport.Latency.ipv4 : \.ipv6
      report.latencies[1, default: .init()][keyPath: family] = .milliseconds(10)
    }
    report.mapping = mapping
    return report
  }

  private func note(_ text: String, by peer: Int = 0, after: Duration = .zero, _ check: inout NetworkCheck) {
    _ = check.note(address(text), by: peers[peer], at: start + after)
  }

  /// Over IPv4, over IPv6, and at all.
  private func openness(
    _ check: NetworkCheck, at now: Instant, asked: Set<IPAddress.Family>,
    host: Set<IPAddress.Family> = [.v4, .v6]
  ) -> [Bool?] {
    let (ipv4, ipv6, udp) = check.openness(at: now, hasHost: host.contains, isAsked: asked.contains)
    return [ipv4, ipv6, udp]
  }

  @Test("relays that name servers which do not answer: what peers see counts")
  func silentServers() {
    var check = NetworkCheck(startedAt: start)
    note("203.0.113.1:7", &check)
    #expect(check.addresses(at: start).isEmpty, "servers have not been asked yet")
    check.take(report([]), at: start)
    #expect(check.addresses(at: start) == [address("203.0.113.1:7")])
  }

  @Test("where servers answer over a family, what peers see of it does not count")
  func servers() {
    var check = NetworkCheck(startedAt: start)
    check.take(report([address("203.0.113.1:7")]), at: start)
    note("203.0.113.1:9", &check)
    note("[2001:db8::1]:9", &check)
    #expect(check.addresses(at: start) == [address("203.0.113.1:7"), address("[2001:db8::1]:9")])
    // They are silent now: what they said is kept for a while, and what peers see stands beside it.
    check.take(report([]), at: start + .seconds(20))
    #expect(
      check.addresses(at: start + .seconds(20))
        == [address("203.0.113.1:7"), address("[2001:db8::1]:9"), address("203.0.113.1:9")])
  }

  @Test("a check that found nothing says where this machine is only if the one before it found nothing either")
  func nothingFound() {
    var check = NetworkCheck(startedAt: start)
    let something = report([address("203.0.113.1:7")])
    // Too early; then there is no UDP; at last a router is just starting again.
    let results = [report([]), report([]), something, report([]), something].map { check.take($0, at: start) }
    #expect(results == [false, true, true, false, true])
  }

  @Test("checks are half a minute apart while something is sent, and ever further where nothing is")
  func plans() {
    var check = NetworkCheck(startedAt: start)
    check.plan(isActive: true, spread: .zero, at: start)
    #expect(check.nextAt == nil, "the first one says when the next is")
    var now = start
    func next(isActive: Bool) -> Duration? {
      check.take(report([]), at: now)
      check.nextAt = nil
      check.plan(isActive: isActive, spread: .seconds(2), at: now)
      return check.nextAt.map { $0 - now }
    }
    #expect(next(isActive: true) == .seconds(22))
    #expect((0..<6).map { _ in next(isActive: false) } == [22, 44, 88, 176, 300, 300].map { .seconds($0) })
    now = now + .seconds(100)
    check.plan(isActive: true, spread: .zero, at: now)
    #expect(check.nextAt == now, "who begins to send does not wait for what was planned before")
    check.nextAt = nil
    check.plan(isActive: false, spread: .zero, at: now)
    #expect(check.nextAt == now, "it begins anew")
  }

  @Test("what is still being asked for when the network changes is not waited for")
  func askedElsewhere() {
    var check = NetworkCheck(startedAt: start)
    check.running = Netcheck([], hasIPv4: true, hasIPv6: false, previous: nil, home: nil, at: start)
    check.isWantedAgain = true
    check.forget()
    #expect(check.running == nil && check.isWantedAgain == nil)
  }

  @Test("one server with one port leaves open how the NAT maps, and pongs of two peers tell")
  func mappingByPeers() {
    var check = NetworkCheck(startedAt: start)
    check.take(report([address("203.0.113.1:7")]), at: start)
    note("203.0.113.1:7", by: 0, &check)
    #expect(check.natMapping == nil)
    note("203.0.113.1:7", by: 1, &check)
    #expect(check.natMapping == .endpointIndependent)
    note("203.0.113.1:8", by: 1, &check)
    #expect(check.natMapping == .endpointDependent)
    check.take(report([address("203.0.113.1:7")], .endpointIndependent), at: start + .seconds(20))
    #expect(check.natMapping == .endpointIndependent, "servers know better")
    note("203.0.113.1:9", by: 0, &check)
    #expect(check.natMapping == .endpointIndependent)
  }

  /// Of a check in which a relay answered, and no STUN came.
  private var answeredOverTCP: NetcheckReport {
    var report = report([])
    report.latencies[1] = .init(https: .milliseconds(20))
    return report
  }

  @Test("whether UDP gets through is not known where nobody could be asked, until a peer outside sees this machine")
  func openness() {
    var check = NetworkCheck(startedAt: start)
    func openness(asked: Set<IPAddress.Family>, host: Set<IPAddress.Family> = [.v4, .v6]) -> [Bool?] {
      self.openness(check, at: start, asked: asked, host: host)
    }
    check.take(report([]), at: start)
    #expect(openness(asked: [.v4, .v6]) == [nil, nil, nil], "who answers over TCP neither may be away")
    check.take(answeredOverTCP, at: start)
    #expect(openness(asked: []) == [nil, nil, nil])
    #expect(openness(asked: [], host: [.v6]) == [false, nil, nil])
    #expect(openness(asked: [], host: []) == [false, false, false])
    #expect(openness(asked: [.v4]) == [false, nil, false])
    #expect(openness(asked: [.v4], host: [.v6]) == [false, nil, nil], "nobody was asked over what the host has not")
    note("192.168.1.9:7", &check)
    #expect(openness(asked: []) == [nil, nil, nil], "a peer in the same network tells nothing of the outside")
    note("203.0.113.1:7", &check)
    #expect(openness(asked: []) == [true, nil, true])
    #expect(check.sighting(over: .v4, at: start) == address("203.0.113.1:7"))
    check.forget()
    #expect(openness(asked: []) == [nil, nil, nil])
  }

  @Test("what a peer said more than a minute ago does not say that UDP gets through now")
  func formerWord() {
    var check = NetworkCheck(startedAt: start)
    note("203.0.113.1:7", &check)
    check.take(answeredOverTCP, at: start)
    let later = start + .seconds(61)
    #expect(openness(check, at: later, asked: [.v4, .v6]) == [false, false, false], "who is asked does not answer")
    #expect(openness(check, at: later, asked: []) == [nil, nil, nil])
    #expect(check.sighting(over: .v4, at: later) == nil)
    #expect(check.addresses(at: later) == [address("203.0.113.1:7")], "to be tried it is good enough")
    note("203.0.113.1:7", after: .seconds(50), &check)
    #expect(openness(check, at: later, asked: [.v4]) == [true, nil, true], "a way in use brings pongs all the time")
    #expect(check.sighting(over: .v4, at: later) == address("203.0.113.1:7"))
  }

  @Test("a server that answers nonsense leaves open whether UDP gets through: something came")
  func nonsense() {
    var check = NetworkCheck(startedAt: start)
    var nonsense = report([])
    nonsense.troubles[1] = .nonsense
    nonsense.troubledFamilies = [.v4]
    check.take(nonsense, at: start)
    #expect(openness(check, at: start, asked: [.v4]) == [nil, nil, nil])
    #expect(openness(check, at: start, asked: [.v4, .v6]) == [nil, false, nil], "over IPv6 nothing came")
    #expect(openness(check, at: start, asked: [.v4], host: [.v4]) == [nil, false, nil])
    // Another server that answers well is believed.
    var both = report([address("203.0.113.1:7")])
    both.globalIPv4 = address("203.0.113.1:7")
    both.troubles[2] = .nonsense
    both.troubledFamilies = [.v4]
    check.take(both, at: start)
    #expect(openness(check, at: start, asked: [.v4]) == [true, nil, true])
  }

  @Test("another public IPv4 address than the last one is news, a port or a private one is not")
  func elsewhere() {
    var check = NetworkCheck(startedAt: start)
    let addresses = [
      "203.0.113.1:7", "203.0.113.1:8", "192.168.1.9:7", "[2001:db8::1]:7", "203.0.113.2:7", "203.0.113.1:7",
    ]
    let news = addresses.map { check.isElsewhere(address($0)) }
    #expect(news == [true, false, false, false, true, true])
  }

  @Test("pongs that are minutes apart say nothing together: the router may have started again between them")
  func apart() {
    var check = NetworkCheck(startedAt: start)
    check.take(report([]), at: start)
    note("203.0.113.1:7", by: 0, &check)
    note("203.0.113.1:8", by: 1, after: .seconds(180), &check)
    #expect(check.natMapping == nil)
    note("203.0.113.1:8", by: 0, after: .seconds(181), &check)
    #expect(check.natMapping == .endpointIndependent)
  }

  @Test("in another network nothing of before counts")
  func otherNetwork() {
    var check = NetworkCheck(startedAt: start)
    check.take(report([]), at: start)
    for peer in 0...1 { note("203.0.113.1:7", by: peer, &check) }
    check.forget()
    check.take(report([]), at: start)
    #expect(check.natMapping == nil && check.addresses(at: start).isEmpty)
  }
}
