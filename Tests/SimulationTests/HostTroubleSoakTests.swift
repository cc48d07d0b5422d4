import TestSupport
import Testing
import Traversal
import Wire

/// Stops, restarts, routers that forget and relays that go away, in any order, to either of two hosts.
@Suite("whatever happens to two hosts", .timeLimit(.minutes(Soak.minutes(short: 10))))
struct HostTroubleSoakTests {
  private static let kinds: [(HostKind, HostKind)] = [
    (.open, .open), (.open, .portRestricted), (.fullCone, .addressRestricted), (.portRestricted, .portRestricted),
    (.double, .portRestricted), (.ipv6Only, .open), (.open, .symmetric), (.fullCone, .symmetric),
  ]

  @Test("both ends are direct soon after it, while packets are sent", arguments: kinds)
  func anything(left: HostKind, right: HostKind) {
    for round in Soak.rounds(short: 4) {
      let seed = UInt64(round + 1)
      let simulation = PathSimulation([left.place(0), right.place(1)], seed: seed)
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
