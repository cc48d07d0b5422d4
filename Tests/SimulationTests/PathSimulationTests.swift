import TestSupport
import Testing
import Traversal
import Wire

/// How a pair ends, given time.
enum Expectation { case direct, relay, either }

extension HostKind {
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
    return [first, right.place(1, sharing: left == .cgnat && right == .cgnat ? first.nat : nil)]
  }

  @Test("every pair talks at once, directly where it can and through the relay where it must", arguments: pairs)
  func pair(left: HostKind, right: HostKind) throws {
    for seed in 1...3 as ClosedRange<UInt64> {
      let simulation = PathSimulation(places(left, right), seed: seed)
      simulation.talk(for: .seconds(30))
      simulation.run(for: .seconds(30))
      let lost = (0..<600).filter { !simulation.wasAnswered($0) }
      // What was sent in the last moments is still on its way.
      #expect(lost.allSatisfy { $0 > 595 }, "\(left) and \(right), seed \(seed): lost \(lost.prefix(10))")
      for link in simulation.links {
        switch HostKind.expectation(left, right) {
        case .direct: #expect(link.route.isDirect, "\(left) and \(right): \(link.route)")
        case .relay: #expect(link.route == .relayed, "\(left) and \(right): \(link.route)")
        case .either: break
        }
        #expect(link.violations.isEmpty, "sent to what had not proved itself: \(link.violations)")
      }
    }
  }

  @Test("two that can talk directly do so within a second of the first packet", arguments: pairs)
  func quick(left: HostKind, right: HostKind) throws {
    guard HostKind.expectation(left, right) == .direct else { return }
    let simulation = PathSimulation(places(left, right))
    simulation.talk(for: .seconds(1))
    simulation.run(for: .seconds(1))
    #expect(simulation.links.allSatisfy { $0.route.isDirect }, "\(simulation.links.map(\.route))")
  }

  @Test("a lossy network changes nothing of where a pair ends", arguments: 1...10)
  func loss(seed: Int) throws {
    let simulation = PathSimulation(places(.portRestricted, .addressRestricted), seed: UInt64(seed))
    simulation.loss = 20
    simulation.talk(for: .seconds(60))
    simulation.run(for: .seconds(60))
    #expect(simulation.links.allSatisfy { $0.route.address != nil }, "\(simulation.links.map(\.route))")
  }

  @Test("a pair whose routers restart talks on through the relay, and is direct again soon", arguments: 1...5)
  func restart(seed: Int) throws {
    let simulation = PathSimulation(places(.portRestricted, .portRestricted), seed: UInt64(seed))
    simulation.talk(for: .seconds(40))
    simulation.run(for: .seconds(10))
    #expect(simulation.links.allSatisfy { $0.route.isDirect })
    for place in simulation.internet.places { place.nat?.forget() }
    simulation.run(for: .seconds(31))
    let lost = (0..<800).filter { !simulation.hasArrived($0, at: 1, from: 0) }
    #expect(lost.count <= 40, "more than two seconds were lost: \(lost.count) packets")
    #expect(simulation.links.allSatisfy { $0.route.isDirect }, "\(simulation.links.map(\.route))")
  }

  @Test("a host that moves is reached again within a second", arguments: HostKind.allCases)
  func moves(kind: HostKind) throws {
    let simulation = PathSimulation(places(.portRestricted, kind))
    simulation.talk(for: .seconds(20))
    simulation.run(for: .seconds(10))
    simulation.move(0, to: HostKind.fullCone.place(7))
    simulation.run(for: .seconds(11))
    let lost = (0..<400).filter { !simulation.wasAnswered($0) }
    #expect(lost.count <= 22, "\(kind): \(lost.count) packets of 50 ms each")
    #expect(simulation.links.allSatisfy { $0.violations.isEmpty })
  }

  @Test(
    "without a relay, open holes are found by asking nobody", arguments: [HostKind.open, .fullCone, .portRestricted])
  func withoutRelay(kind: HostKind) throws {
    let simulation = PathSimulation(places(.portRestricted, kind), hasRelay: false)
    simulation.talk(for: .seconds(60))
    simulation.run(for: .seconds(60))
    #expect(simulation.links.allSatisfy { $0.route.isDirect }, "\(kind): \(simulation.links.map(\.route))")
  }

  @Test("an idle pair sends nothing")
  func idle() throws {
    let simulation = PathSimulation(places(.portRestricted, .open))
    simulation.talk(for: .seconds(5))
    simulation.run(for: .seconds(120))
    let before = simulation.discoSent
    simulation.run(for: .seconds(600))
    #expect(simulation.discoSent == before)
    #expect(simulation.hosts.allSatisfy { $0.finder.nextDeadline == nil })
    // And it wakes up by the next packet.
    simulation.talk(for: .seconds(2))
    simulation.run(for: .seconds(2))
    #expect(simulation.links.allSatisfy { $0.route.isDirect })
  }

  @Test("a path is as wide as the packets that arrive on it", arguments: [1280, 1359, 1360, 1400, 1499, 1500])
  func mtu(wire: Int) throws {
    let simulation = PathSimulation(places(.open, .portRestricted))
    simulation.wireMTU = wire
    simulation.talk(for: .seconds(10))
    simulation.run(for: .seconds(10))
    let expected = [1280, 1360, 1400, 1500].last { $0 <= wire } ?? 0
    for link in simulation.links {
      #expect(link.route.isDirect)
      #expect(link.wireMTU == expected)
    }
  }

  @Test(
    "a path that becomes narrower while it is used is found out at both its ends", arguments: [1280, 1400], [0, 1])
  func narrows(wire: Int, sender: Int) throws {
    let simulation = PathSimulation(places(.open, .portRestricted))
    simulation.talk(for: .seconds(60), from: sender, to: 1 - sender)
    simulation.run(for: .seconds(20))
    #expect(simulation[sender, to: 1 - sender].wireMTU == 1500)
    simulation.wireMTU = wire
    simulation.run(for: .seconds(3))
    #expect(simulation[sender, to: 1 - sender].wireMTU == wire)
    simulation.run(for: .seconds(30))
    #expect(simulation[sender, to: 1 - sender].wireMTU == wire && simulation[sender, to: 1 - sender].route.isDirect)
    // One every 50 ms.
    #expect((24 * 20..<52 * 20).allSatisfy { simulation.hasArrived($0, at: 1 - sender, from: sender) })
    // The other one hears all the time, and so has no doubt; its heartbeats are as long as its packets.
    #expect(simulation.links.allSatisfy { $0.wireMTU == wire })
    #expect((30 * 20..<52 * 20).allSatisfy { simulation.hasArrived(-1 - $0, at: sender, from: 1 - sender) })
  }

  @Test("a path that does not carry 1280 bytes is none")
  func tooNarrow() throws {
    let simulation = PathSimulation(places(.open, .portRestricted))
    simulation.wireMTU = 1279
    simulation.talk(for: .seconds(60))
    simulation.run(for: .seconds(60))
    #expect(simulation.links.allSatisfy { $0.route == .relayed }, "\(simulation.links.map(\.route))")
  }
}

extension Route {
  var isDirect: Bool { if case .direct = self { true } else { false } }
}
