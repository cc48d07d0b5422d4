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

  @Test("the other side opens 256 ports within a second, and lets go of them after a while")
  func opening() {
    begin(.endpointIndependent, own: .endpointDependent)
    let steps = run(to: .seconds(30))
    let opened = opened(steps)
    #expect(opened.reduce(0) { $0 + $1.count } == 256 && opened.allSatisfy { $0.count <= 32 })
    #expect(opened.allSatisfy { $0.at >= .seconds(2) && $0.at < .seconds(3) })
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

  @Test(
    "a peer that hides its disco key and shows it again, and a new network of this machine, begin no ten minutes anew",
    arguments: [NATMapping.endpointDependent, .endpointIndependent])
  func onceInTenMinutes(theirs: NATMapping) {
    let own: NATMapping = theirs == .endpointDependent ? .endpointIndependent : .endpointDependent
    begin(theirs, own: own)
    #expect(!steered(run(to: .seconds(4))).isEmpty)
    for second in stride(from: 4, to: 600, by: 20) {
      let now = start + .seconds(second)
      var hidden = netmap([home], theirs)
      hidden.peers[0].discoKey = nil
      let end = finder.apply(hidden, now: now)
      #expect(second > 4 || theirs == .endpointDependent || end.contains(.closeProbeSockets(for: peer.publicKey)))
      _ = finder.apply(netmap([home], theirs), now: now)
      _ = finder.networkChanged(now: now)
      _ = finder.wantsToSend(to: peer.publicKey, now: now)
      #expect(tellsWhereItIs(now))
      #expect(steered(run(from: .seconds(second), to: .seconds(second + 6))).isEmpty, "after \(second) s")
    }
    let later = start + .seconds(610)
    _ = finder.apply(netmap([home], theirs), now: later)
    _ = finder.networkChanged(now: later)
    _ = finder.wantsToSend(to: peer.publicKey, now: later)
    #expect(tellsWhereItIs(later))
    #expect(!steered(run(from: .seconds(610), to: .seconds(614))).isEmpty)
  }

  @Test("guesses and ports that are opened count among the four hundred of all pings", arguments: [true, false])
  func common(isGuessing: Bool) {
    let (hard, easy) = (NATMapping.endpointDependent, NATMapping.endpointIndependent)
    begin(isGuessing ? hard : easy, own: isGuessing ? easy : hard)
    // Somebody else has used them up.
    let (from, end) = (Duration.milliseconds(1950), Duration.milliseconds(3500))
    var time = from
    while time < end {
      let now = start + time
      for _ in 0..<PathConstants.pingsPerSecond {
        _ = finder.pingBudget.take(leaving: PathConstants.pingsKeptForWays, at: now)
      }
      #expect(steered([(time, finder.advance(now: now) { _ in (now, now) })]).isEmpty)
      time += .milliseconds(50)
    }
    #expect(!steered(run(from: end, to: .seconds(6))).isEmpty)
  }

  /// The peer is called, which begins the guessing.
  private func tellsWhereItIs(_ now: Instant) -> Bool {
    finder.setOwnEndpoints([SocketAddress("192.0.2.5:41641")!], now: now)
      .contains { if case .sendRelayed = $0 { true } else { false } }
  }

  /// What goes to ports that nobody named, or from ports opened for it.
  private func steered(_ steps: [(at: Duration, actions: [PathAction])]) -> [Duration] {
    guesses(steps).map(\.at) + opened(steps).map(\.at)
  }

  @Test("nothing is guessed when that is switched off")
  func switchedOff() {
    finder.probesPorts = false
    begin(.endpointDependent, own: .endpointIndependent)
    #expect(guesses(run(to: .seconds(20))).isEmpty)
  }
}
