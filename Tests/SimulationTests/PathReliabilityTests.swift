import TestSupport
import Testing
import Traversal
import Wire

/// What must not part two ends for longer than a moment: stops, restarts, cuts, one after the other.
@Suite("ways come back, whatever happens to one end")
struct PathReliabilityTests {
  private func pair(_ left: HostKind, _ right: HostKind, seed: UInt64 = 1) -> PathSimulation {
    PathSimulation([left.place(0), right.place(1)], seed: seed)
  }

  private func expectDirect(_ simulation: PathSimulation, _ comment: String) {
    #expect(
      simulation.links.allSatisfy { $0.route.isDirect },
      "\(comment): \(simulation.links.map(\.route)) at \(simulation.now - PathSimulation.start)")
    #expect(simulation.links.allSatisfy { $0.violations.isEmpty }, "\(comment)")
  }

  @Test(
    "a peer that is stopped for a minute while packets are sent to it is reached directly as soon as it goes on",
    arguments: [0, 1], [true, false])
  func stopped(sender: Int, losesWhatComes: Bool) {
    let simulation = pair(.portRestricted, .portRestricted)
    simulation.talk(for: .seconds(120), from: sender, to: 1 - sender)
    simulation.run(for: .seconds(10))
    simulation.stop(0, for: .seconds(60), losesWhatComes: losesWhatComes)
    simulation.run(for: .seconds(62))
    expectDirect(simulation, "two seconds after it went on")
  }

  @Test(
    "a peer that restarts is reached directly again, also by who cannot meet it at a relay",
    arguments: [HostKind.open, .portRestricted], [1, 4, 8, 30])
  func restarted(kind: HostKind, pause: Int) {
    for hasRelay in [true, false] {
      let simulation = pair(.open, kind)
      simulation.talk(for: .seconds(60))
      simulation.run(for: .seconds(10))
      if !hasRelay { simulation.setHasRelay(false, of: 1) }
      simulation.restart(1, after: .seconds(pause))
      simulation.run(for: .seconds(pause + 2))
      expectDirect(simulation, "two seconds after its start, with a relay: \(hasRelay)")
    }
  }

  @Test("a path that falls silent while its width is asked for is not taken for a narrow one", arguments: 0...20)
  func silentNotNarrow(tenths: Int) {
    let simulation = pair(.open, .portRestricted)
    simulation.talk(for: .seconds(60))
    simulation.run(for: .milliseconds(100 * tenths))
    // Longer than all the tries that ask for the width.
    simulation.stop(1, for: .seconds(10), losesWhatComes: true)
    simulation.run(for: .seconds(14))
    expectDirect(simulation, "after a pause that began at \(tenths) tenths of a second")
    #expect(simulation.links.allSatisfy { $0.wireMTU == 1500 }, "\(simulation.links.map(\.wireMTU))")
  }

  private static let kinds: [(HostKind, HostKind)] = [
    (.open, .open), (.open, .portRestricted), (.fullCone, .addressRestricted), (.portRestricted, .portRestricted),
    (.double, .portRestricted), (.ipv6Only, .open), (.open, .symmetric), (.fullCone, .symmetric),
  ]

  @Test("whatever happens, both ends are direct soon after it, while packets are sent", arguments: kinds)
  func anything(left: HostKind, right: HostKind) {
    for seed in 1...4 as ClosedRange<UInt64> {
      let simulation = pair(left, right, seed: seed)
      let random = SeededRandom(seed &* 7919)
      simulation.loss = random.uniform(below: 3) == 0 ? 5 : 0
      let isAnswered = random.uniform(below: 4) > 0
      let sender = Int(random.uniform(below: 2))
      simulation.talk(
        for: .seconds(400), from: sender, to: 1 - sender, every: .milliseconds(200), isAnswered: isAnswered)
      var story: [Mishap] = []
      for _ in 0..<8 {
        let mishap = Mishap(random)
        mishap.happen(in: simulation)
        story.append(mishap)
        simulation.run(for: mishap.next)
      }
      simulation.loss = 0
      // The last of it may still be going on; then there are ten seconds.
      simulation.run(for: Mishap.longest + .seconds(10))
      for (index, link) in simulation.links.enumerated() where isAnswered || index == sender {
        #expect(
          link.route.isDirect,
          "\(left), \(right), seed \(seed): host \(index) is \(link.route), host \(sender) sends, after \(story)")
      }
      #expect(simulation.links.allSatisfy { $0.violations.isEmpty })
    }
  }
}

/// Something that happens to one of two hosts for a while.
private struct Mishap: CustomStringConvertible {
  enum Kind: UInt64, CaseIterable {
    case stop, sleep, restart, router, relay, routerAndStop
  }

  static let longest: Duration = .seconds(21)

  let kind: Kind
  let host: Int
  let duration: Duration
  /// When the next one happens: maybe before this one is over.
  let next: Duration

  init(_ random: SeededRandom) {
    kind = Kind(rawValue: random.uniform(below: UInt64(Kind.allCases.count))) ?? .stop
    host = Int(random.uniform(below: 2))
    duration = .milliseconds(Int64(100 + random.uniform(below: 20_000)))
    next = .milliseconds(Int64(random.uniform(below: 25_000)))
  }

  var description: String { "\(kind) of \(host) for \(duration), and after \(next)" }

  func happen(in simulation: PathSimulation) {
    switch kind {
    case .stop: simulation.stop(host, for: duration)
    case .sleep: simulation.stop(host, for: duration, losesWhatComes: true)
    case .restart: simulation.restart(host, after: duration)
    case .router: simulation.internet.places[host].nat?.forget()
    case .relay:
      let host = host
      simulation.setHasRelay(false, of: host)
      simulation.after(duration) { $0.setHasRelay(true, of: host) }
    case .routerAndStop:
      simulation.internet.places[host].nat?.forget()
      simulation.stop(host, for: duration)
    }
  }
}
