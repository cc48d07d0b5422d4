import Cryptography
import Traversal
import Wire

/// What happens to single hosts: stops, restarts, relays that cannot be reached.
extension PathSimulation {
  /// As many events as a socket holds.
  private static let socketRoom = 200
  /// Until a host knows that its relay went away, or came.
  private static let relayDelay: Duration = .seconds(1)
  /// A timer that is so late was asleep.
  private static let wakeUp: Duration = .seconds(2)

  /// The host's program is stopped, and goes on later: with what came meanwhile before it looks at its clock, or with none of it.
  func stop(_ index: Int, for duration: Duration, losesWhatComes: Bool = false) {
    guard hosts[index].activity == .running else { return }
    hosts[index].activity = .stopped(since: now)
    after(duration) { $0.resume(index, losesWhatComes: losesWhatComes) }
  }

  private func resume(_ index: Int, losesWhatComes: Bool) {
    guard case .stopped(let since) = hosts[index].activity else { return }
    hosts[index].activity = .running
    let events = hosts[index].waiting
    hosts[index].waiting = []
    if !losesWhatComes { for event in events { handle(event) } }
    perform(hosts[index].finder.setHasRelay(hosts[index].hasRelay, now: now), of: index)
    if now - since > Self.wakeUp { perform(hosts[index].finder.networkChanged(now: now), of: index) }
  }

  /// The host's program is killed, and comes back with the same keys and the same port, knowing what the others' records say.
  func restart(_ index: Int, after pause: Duration) {
    guard hosts[index].activity == .running else { return }
    hosts[index].activity = .gone
    after(pause) { $0.start(index) }
  }

  private func start(_ index: Int) {
    let former = hosts[index]
    hosts[index] = SimulatedHost(
      key: former.key, disco: former.disco,
      finder: PathFinder(nodeKey: former.key.publicKey, discoKey: former.disco, random: random),
      hasRelay: former.hasRelay, published: former.published,
      links: [SimulatedHost.Link](repeating: SimulatedHost.Link(), count: former.links.count))
    tellOfNAT(index)
    learnOwnEndpoints(index)
    applyNetmap(index)
    perform(hosts[index].finder.setHasRelay(hosts[index].hasRelay, now: now), of: index)
    // WireGuard wants a session with everybody.
    for peer in hosts.indices where peer != index {
      perform(hosts[index].finder.wantsToSend(to: hosts[peer].key.publicKey, now: now), of: index)
    }
  }

  /// The host cannot reach the relay any more, or can again. A moment later it knows.
  func setHasRelay(_ hasRelay: Bool, of index: Int) {
    hosts[index].hasRelay = hasRelay
    after(Self.relayDelay) { simulation in
      guard simulation.hosts[index].activity == .running else { return }
      let told = simulation.hosts[index].hasRelay
      simulation.perform(simulation.hosts[index].finder.setHasRelay(told, now: simulation.now), of: index)
    }
  }

  func meetAtRelay(_ one: Int, _ other: Int) -> Bool {
    hasRelay && [one, other].allSatisfy { hosts[$0].hasRelay && hosts[$0].activity != .gone }
  }

  /// Whether something that came is looked at now.
  func isReady(for event: Event) -> Bool {
    let index: Int
    switch event {
    case .datagram(_, let to, _, _), .relayed(_, let to, _), .fromGateway(_, let to), .ownEndpoints(let to),
      .arrived(_, let to, _, _, _):
      index = to
    // What others do, and what those who send do whether or not anything takes it.
    case .published, .talk, .run: return true
    }
    switch hosts[index].activity {
    case .running: return true
    case .stopped:
      if hosts[index].waiting.count < Self.socketRoom { hosts[index].waiting.append(event) }
      return false
    case .gone: return false
    }
  }
}
