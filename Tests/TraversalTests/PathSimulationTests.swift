import TestSupport
import Testing
import Traversal
import Wire

/// The kinds of host that the lab builds too.
enum HostKind: String, CaseIterable, Sendable, CustomStringConvertible {
  case open, fullCone, addressRestricted, portRestricted, symmetric, double, cgnat, blocked, ipv6Only

  var description: String { rawValue }

  func place(_ number: UInt32, sharing: VirtualNAT? = nil) -> VirtualPlace {
    let inner = SocketAddress(IPAddress(v4: 0xc0a8_0002 + number << 8), port: 41641)
    let outer = IPAddress(v4: 0xc633_6400 + number)
    let ipv6 = SocketAddress(IPAddress(v6: 0x2001_0db8 << 96 | UInt128(number + 1) << 64 | 2), port: 41641)
    func behind(_ behaviour: NATBehaviour) -> VirtualPlace {
      VirtualPlace(
        addresses: [inner], nat: VirtualNAT(behaviour, address: outer, firstPort: UInt16(20_000 + 777 * number)))
    }
    switch self {
    case .open: return VirtualPlace(addresses: [SocketAddress(outer, port: 41641), ipv6])
    case .fullCone: return behind(.fullCone)
    case .addressRestricted: return behind(.addressRestricted)
    case .portRestricted: return behind(.portRestricted)
    case .symmetric: return behind(.symmetric)
    case .double:
      let first = VirtualNAT(.portRestricted, address: outer, firstPort: 30_000)
      return VirtualPlace(
        addresses: [inner],
        nat: VirtualNAT(.portRestricted, address: IPAddress(v4: 0x0a01_0002), behind: first, firstPort: 31_000))
    case .cgnat:
      let shared = sharing ?? VirtualNAT(.portRestricted, address: outer, firstPort: 33_000)
      return VirtualPlace(addresses: [inner], nat: shared)
    case .blocked: return behind(.blocked)
    case .ipv6Only: return VirtualPlace(addresses: [ipv6])
    }
  }

  enum Expectation { case direct, relay, either }

  static func expectation(_ a: HostKind, _ b: HostKind) -> Expectation {
    let pair: Set = [a, b]
    if pair.contains(.blocked) { return .relay }
    if pair.contains(.ipv6Only) { return pair.isSubset(of: [.ipv6Only, .open]) ? .direct : .relay }
    if pair == [.cgnat] || pair == [.symmetric] { return .relay }
    if pair.contains(.symmetric), !pair.isDisjoint(with: [.portRestricted, .double, .cgnat]) { return .either }
    return .direct
  }
}

@Suite("paths in a virtual internet")
struct PathSimulationTests {
  private static let pairs: [(HostKind, HostKind)] = HostKind.allCases.enumerated().flatMap { index, left in
    HostKind.allCases[index...].map { (left, $0) }
  }

  private func places(_ left: HostKind, _ right: HostKind) -> [VirtualPlace] {
    let first = left.place(0)
    return [first, right.place(1, sharing: left == .cgnat ? first.nat : nil)]
  }

  @Test("every pair talks at once, directly where it can and through the relay where it must", arguments: pairs)
  func pair(left: HostKind, right: HostKind) throws {
    for seed in 1...3 as ClosedRange<UInt64> {
      let simulation = PathSimulation(places(left, right), seed: seed)
      simulation.talk(for: .seconds(30))
      simulation.run(for: .seconds(30))
      let lost = (0..<600).filter { !simulation.hasArrived($0, at: 1) || !simulation.hasArrived(-1 - $0, at: 0) }
      // What was sent in the last moments is still on its way.
      #expect(lost.allSatisfy { $0 > 595 }, "\(left) and \(right), seed \(seed): lost \(lost.prefix(10))")
      for host in simulation.hosts {
        switch HostKind.expectation(left, right) {
        case .direct: #expect(host.route.isDirect, "\(left) and \(right): \(host.route)")
        case .relay: #expect(host.route == .relayed, "\(left) and \(right): \(host.route)")
        case .either: break
        }
        #expect(host.violations.isEmpty, "sent to what had not proved itself: \(host.violations)")
      }
    }
  }

  @Test("two that can talk directly do so within a second of the first packet", arguments: pairs)
  func quick(left: HostKind, right: HostKind) throws {
    guard HostKind.expectation(left, right) == .direct else { return }
    let simulation = PathSimulation(places(left, right))
    simulation.talk(for: .seconds(1))
    simulation.run(for: .seconds(1))
    #expect(simulation.hosts.allSatisfy { $0.route.isDirect }, "\(simulation.hosts.map(\.route))")
  }

  @Test("a lossy network changes nothing of where a pair ends", arguments: 1...10)
  func loss(seed: Int) throws {
    let simulation = PathSimulation(places(.portRestricted, .addressRestricted), seed: UInt64(seed))
    simulation.loss = 20
    simulation.talk(for: .seconds(60))
    simulation.run(for: .seconds(60))
    #expect(simulation.hosts.allSatisfy { $0.route.address != nil }, "\(simulation.hosts.map(\.route))")
  }

  @Test("a pair whose routers restart talks on through the relay, and is direct again soon", arguments: 1...5)
  func restart(seed: Int) throws {
    let simulation = PathSimulation(places(.portRestricted, .portRestricted), seed: UInt64(seed))
    simulation.talk(for: .seconds(40))
    simulation.run(for: .seconds(10))
    #expect(simulation.hosts.allSatisfy { $0.route.isDirect })
    for place in simulation.internet.places { place.nat?.forget() }
    simulation.run(for: .seconds(31))
    let lost = (0..<800).filter { !simulation.hasArrived($0, at: 1) }
    #expect(lost.count <= 40, "more than two seconds were lost: \(lost.count) packets")
    #expect(simulation.hosts.allSatisfy { $0.route.isDirect }, "\(simulation.hosts.map(\.route))")
  }

  @Test("a host that moves is reached again within a second", arguments: HostKind.allCases)
  func moves(kind: HostKind) throws {
    let simulation = PathSimulation(places(.portRestricted, kind))
    simulation.talk(for: .seconds(20))
    simulation.run(for: .seconds(10))
    simulation.move(0, to: HostKind.fullCone.place(7))
    simulation.run(for: .seconds(11))
    let lost = (0..<400).filter { !simulation.hasArrived($0, at: 1) || !simulation.hasArrived(-1 - $0, at: 0) }
    #expect(lost.count <= 22, "\(kind): \(lost.count) packets of 50 ms each")
    #expect(simulation.hosts.allSatisfy { $0.violations.isEmpty })
  }

  @Test(
    "without a relay, open holes are found by asking nobody", arguments: [HostKind.open, .fullCone, .portRestricted])
  func withoutRelay(kind: HostKind) throws {
    let simulation = PathSimulation(places(.portRestricted, kind), hasRelay: false)
    simulation.talk(for: .seconds(60))
    simulation.run(for: .seconds(60))
    #expect(simulation.hosts.allSatisfy { $0.route.isDirect }, "\(kind): \(simulation.hosts.map(\.route))")
  }

  @Test("an idle pair sends nothing")
  func idle() throws {
    let simulation = PathSimulation(places(.portRestricted, .open))
    simulation.talk(for: .seconds(5))
    simulation.run(for: .seconds(120))
    let before = simulation.pings
    simulation.run(for: .seconds(600))
    #expect(simulation.pings == before)
    #expect(simulation.hosts.allSatisfy { $0.finder.nextDeadline == nil })
    // And it wakes up by the next packet.
    simulation.talk(for: .seconds(2))
    simulation.run(for: .seconds(2))
    #expect(simulation.hosts.allSatisfy { $0.route.isDirect })
  }

  @Test("a path is as wide as the packets that arrive on it", arguments: [1280, 1359, 1360, 1400, 1499, 1500])
  func mtu(wire: Int) throws {
    let simulation = PathSimulation(places(.open, .portRestricted))
    simulation.wireMTU = wire
    simulation.talk(for: .seconds(10))
    simulation.run(for: .seconds(10))
    let expected = [1280, 1360, 1400, 1500].last { $0 <= wire } ?? 0
    for host in simulation.hosts {
      #expect(host.route.isDirect)
      #expect(host.wireMTU == expected)
    }
  }

  @Test(
    "a path that becomes narrower while it is used is found out at both its ends", arguments: [1280, 1400], [0, 1])
  func narrows(wire: Int, sender: Int) throws {
    let simulation = PathSimulation(places(.open, .portRestricted))
    simulation.talk(for: .seconds(60), from: sender)
    simulation.run(for: .seconds(20))
    #expect(simulation.hosts[sender].wireMTU == 1500)
    simulation.wireMTU = wire
    simulation.run(for: .seconds(3))
    #expect(simulation.hosts[sender].wireMTU == wire)
    simulation.run(for: .seconds(30))
    #expect(simulation.hosts[sender].wireMTU == wire && simulation.hosts[sender].route.isDirect)
    // One every 50 ms.
    #expect((24 * 20..<52 * 20).allSatisfy { simulation.hasArrived($0, at: 1 - sender) })
    // The other one hears all the time, and so has no doubt; its heartbeats are as long as its packets.
    #expect(simulation.hosts.allSatisfy { $0.wireMTU == wire })
    #expect((30 * 20..<52 * 20).allSatisfy { simulation.hasArrived(-1 - $0, at: sender) })
  }

  @Test("a path that does not carry 1280 bytes is none")
  func tooNarrow() throws {
    let simulation = PathSimulation(places(.open, .portRestricted))
    simulation.wireMTU = 1279
    simulation.talk(for: .seconds(60))
    simulation.run(for: .seconds(60))
    #expect(simulation.hosts.allSatisfy { $0.route == .relayed }, "\(simulation.hosts.map(\.route))")
  }
}

extension Route {
  var isDirect: Bool { if case .direct = self { true } else { false } }
}
