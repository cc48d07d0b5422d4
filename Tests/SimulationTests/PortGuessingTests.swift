import Testing
import Traversal
import Wire

@Suite("ports are guessed in a virtual internet")
struct PortGuessingTests {
  @Test(
    "a symmetric NAT and one that filters by port get together by guessing",
    arguments: [HostKind.portRestricted, .double, .cgnat], [0, 1])
  func together(kind: HostKind, talker: Int) {
    var direct = 0
    for seed in 1...5 as ClosedRange<UInt64> {
      let simulation = PathSimulation(
        [HostKind.symmetric.place(0), kind.place(1)], seed: seed, probesPorts: true)
      simulation.talk(for: .seconds(40), from: talker, to: 1 - talker)
      simulation.run(for: .seconds(41))
      if simulation.links.allSatisfy({ $0.route.isDirect }) { direct += 1 }
      #expect(simulation.links.allSatisfy { $0.violations.isEmpty })
      #expect((0..<800).allSatisfy { simulation.wasAnswered($0, from: talker, to: 1 - talker) }, "seed \(seed)")
      // What is open and what is guessed have bounds.
      for host in simulation.hosts {
        #expect(host.probeSockets.count <= 1 && host.guesses <= 1024 && host.strays.isEmpty)
      }
    }
    // 256 open ports and 1,024 guesses meet in 98 of 100 cases.
    #expect(direct >= 4, "\(direct) of 5")
  }

  @Test("a machine guesses for one peer after the other, and never faster than a hundred in a second")
  func oneAfterTheOther() {
    let places = [HostKind.portRestricted.place(0)] + (1...3).map { HostKind.symmetric.place($0) }
    let simulation = PathSimulation(places, seed: 3, probesPorts: true)
    for peer in 1...3 { simulation.talk(for: .seconds(80), from: 0, to: peer, every: .milliseconds(200)) }
    for _ in 0..<80 {
      let before = simulation.hosts[0].guesses
      simulation.run(for: .seconds(1))
      #expect(simulation.hosts[0].guesses - before <= 110)
    }
    #expect((1...3).count { simulation[0, to: $0].route.isDirect && simulation[$0, to: 0].route.isDirect } >= 2)
    for peer in 1...3 {
      #expect((0..<390).allSatisfy { simulation.wasAnswered($0, from: 0, to: peer) }, "peer \(peer)")
    }
  }

  @Test("two symmetric NATs, and machines that are told not to guess, stay with the relay")
  func withoutGuessing() {
    for (kind, probes) in [(HostKind.symmetric, true), (.portRestricted, false)] {
      let simulation = PathSimulation([HostKind.symmetric.place(0), kind.place(1)], probesPorts: probes)
      simulation.talk(for: .seconds(40))
      simulation.run(for: .seconds(41))
      #expect(simulation.links.allSatisfy { $0.route == .relayed })
      #expect(simulation.hosts.allSatisfy { $0.guesses == 0 && $0.probeSockets.isEmpty })
    }
  }
}
