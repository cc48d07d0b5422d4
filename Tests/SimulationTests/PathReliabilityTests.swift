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
}
