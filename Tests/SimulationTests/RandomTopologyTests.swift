import TestSupport
import Testing
import Traversal
import Wire

@Suite("random topologies, with loss and reordering")
struct RandomTopologyTests {
  /// Two hosts that talk.
  private struct Pair {
    let from: Int
    let to: Int
  }

  /// Every two hosts talk for a minute through a bad network, and for as long as it takes through a good one.
  private func run(_ topology: RandomTopology, seed: UInt64) -> (simulation: PathSimulation, pairs: [Pair]) {
    let random = SeededRandom(seed)
    let simulation = PathSimulation(topology.places, seed: seed)
    simulation.loss = random.uniform(below: 25)
    simulation.jitter = .milliseconds(Int64(random.uniform(below: 100)))
    let hosts = topology.places.indices
    let pairs = hosts.flatMap { from in hosts[(from + 1)...].map { Pair(from: from, to: $0) } }
    for pair in pairs {
      simulation.talk(for: .seconds(80), from: pair.from, to: pair.to, every: .milliseconds(100))
    }
    simulation.run(for: .seconds(60))
    simulation.loss = 0
    simulation.run(for: .seconds(21))
    return (simulation, pairs)
  }

  @Test("pairs end direct where there is a path, stay connected everywhere, and nothing goes astray", arguments: 1...30)
  func invariants(seed: Int) throws {
    let seed = UInt64(seed)
    let topology = RandomTopology(seed: seed)
    let (simulation, pairs) = run(topology, seed: seed)
    for pair in pairs {
      let (there, back) = (simulation[pair.from, to: pair.to], simulation[pair.to, to: pair.from])
      let what = "seed \(seed): \(topology.names[pair.from]) and \(topology.names[pair.to])"
      if topology.hasDirectPath(pair.from, pair.to) {
        #expect(there.route.isDirect && back.route.isDirect, "\(what): \(there.route), \(back.route)")
      } else {
        #expect(there.route == .relayed && back.route == .relayed, "\(what): \(there.route), \(back.route)")
        let lost = (0..<800).filter { !simulation.wasAnswered($0, from: pair.from, to: pair.to) }
        #expect(lost.isEmpty, "\(what): the relay loses nothing, and \(lost.count) were lost")
      }
      #expect(there.longestSilence <= .seconds(2) && back.longestSilence <= .seconds(2), "\(what)")
      // The last of those that were lost was sent while the network lost any.
      let late = (620..<800).filter { !simulation.wasAnswered($0, from: pair.from, to: pair.to) }
      #expect(late.isEmpty, "\(what): \(late)")
      #expect(
        there.violations.isEmpty && back.violations.isEmpty, "\(what): data to \(there.violations + back.violations)")
    }
    for (name, host) in zip(topology.names, simulation.hosts) {
      #expect(host.strays.isEmpty, "seed \(seed): \(name) sends where nobody is")
      // What may answer is asked once in five seconds, and once more for a reason, for each peer that names it. What belongs to somebody
      // else gets no more than that.
      let most = 2 * (simulation.hosts.count - 1)
      for (address, times) in host.probes {
        #expect(times.count <= 40, "seed \(seed): \(name) sends \(times.count) pings to \(address)")
        for time in times {
          let count = times.count { $0 >= time && $0 - time < .seconds(5) }
          #expect(count <= most, "seed \(seed): \(name) sends \(count) pings to \(address) from \(time) on")
        }
      }
    }
  }
}
