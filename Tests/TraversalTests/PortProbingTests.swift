import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

/// One `PathFinder` with one peer, of whose NATs one gives out another address for everybody.
@Suite("guessing ports of hard NATs")
struct PortProbingTests: FinderSuite {
  let world: FinderWorld

  init() throws {
    world = try FinderWorld()
    finder.probesPorts = true
  }

  /// The peer's NAT and this machine's.
  private func begin(_ theirs: NATMapping?, own: NATMapping?, isMapped: Bool = false, hasMappedPort: Bool = false) {
    finder.setOwnMapping(own, hasMappedPort: hasMappedPort)
    _ = finder.apply(netmap([home], theirs, isMapped), now: start)
    _ = finder.wantsToSend(to: peer.publicKey, now: start)
  }

  /// Lets time pass, packets being sent all along; what was done in each step.
  private func run(from: Duration = .zero, to end: Duration) -> [(at: Duration, actions: [PathAction])] {
    var result: [(at: Duration, actions: [PathAction])] = []
    var time = from
    while time <= end {
      let now = start + time
      result.append((time, finder.advance(now: now) { _ in (now, now) }))
      time += .milliseconds(50)
    }
    return result
  }

  private func guesses(_ steps: [(at: Duration, actions: [PathAction])]) -> [(at: Duration, to: SocketAddress)] {
    steps.flatMap { step in
      pings(step.actions).filter { $0.to.ip == home.ip && $0.to.port != home.port }.map { (step.at, $0.to) }
    }
  }

  private func opened(_ steps: [(at: Duration, actions: [PathAction])]) -> [(at: Duration, count: Int)] {
    steps.flatMap { step in
      step.actions.compactMap { action in
        guard case .openProbeSockets(let messages, home, peer.publicKey) = action else { return nil }
        return (step.at, messages.count)
      }
    }
  }

  @Test(
    "the side whose NAT keeps its address guesses: after two seconds, a hundred a second, 1,024 at most, once in ten minutes"
  )
  func guessing() {
    begin(.endpointDependent, own: .endpointIndependent)
    let steps = run(to: .seconds(60))
    let guesses = guesses(steps)
    #expect(guesses.count == 1024)
    #expect(guesses.first.map { $0.at >= .seconds(2) && $0.at < .milliseconds(2200) } == true)
    #expect(guesses.allSatisfy { $0.to.port >= 1024 })
    for second in 2..<12 {
      let count = guesses.count { $0.at >= .seconds(second) && $0.at < .seconds(second + 1) }
      #expect(count <= 110, "in second \(second)")
    }
    #expect(opened(steps).isEmpty)
    _ = finder.wantsToSend(to: peer.publicKey, now: start + .seconds(61))
    #expect(self.guesses(run(from: .seconds(61), to: .seconds(90))).isEmpty)
  }

  @Test("the other side opens 256 ports, and lets go of them after a while")
  func opening() {
    begin(.endpointIndependent, own: .endpointDependent)
    let steps = run(to: .seconds(30))
    #expect(opened(steps).map(\.count) == [256])
    #expect(guesses(steps).isEmpty)
    #expect(steps.contains { $0.actions.contains(.closeProbeSockets(for: peer.publicKey)) && $0.at >= .seconds(15) })
  }

  @Test("a guess that is answered is the way")
  func hit() throws {
    begin(.endpointDependent, own: .endpointIndependent)
    var answered: SocketAddress?
    for step in run(to: .milliseconds(2500)) {
      guard answered == nil, let ping = pings(step.actions).first(where: { $0.to.port != home.port }) else { continue }
      answered = ping.to
      _ = finder.receive(sealed(.pong(ping.id, source: home)), .datagram(from: ping.to), now: start + step.at)
    }
    let address = try #require(answered)
    #expect(finder.route(to: peer.publicKey) == .direct(address))
    #expect(guesses(run(from: .milliseconds(2600), to: .seconds(5))).allSatisfy { $0.to == address })
  }

  @Test(
    "nothing is guessed where it cannot help, or need not",
    arguments: [
      (NATMapping.endpointDependent, NATMapping.endpointDependent, false, false),
      (.endpointIndependent, .endpointIndependent, false, false), (.endpointDependent, nil, false, false),
      (nil, .endpointDependent, false, false), (.endpointDependent, .endpointIndependent, true, false),
      (.endpointDependent, .endpointIndependent, false, true),
    ] as [(NATMapping?, NATMapping?, Bool, Bool)])
  func nothing(theirs: NATMapping?, ours: NATMapping?, isMapped: Bool, hasMappedPort: Bool) {
    begin(theirs, own: ours, isMapped: isMapped, hasMappedPort: hasMappedPort)
    let steps = run(to: .seconds(20))
    #expect(guesses(steps).isEmpty && opened(steps).isEmpty)
  }

  @Test("nothing is guessed when that is switched off")
  func switchedOff() {
    finder.probesPorts = false
    begin(.endpointDependent, own: .endpointIndependent)
    #expect(guesses(run(to: .seconds(20))).isEmpty)
  }
}
