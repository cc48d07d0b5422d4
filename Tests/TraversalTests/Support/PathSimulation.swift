import Cryptography
import Netmap
import TestSupport
import Traversal
import Wire

/// Machines with a `PathFinder` each, a virtual internet between them, a relay, and a clock that jumps from event to event. One seed
/// reproduces a run.
final class PathSimulation {
  static let start = Instant(nanoseconds: 1_000_000_000_000)
  static let server = SocketAddress("192.0.2.1:3478")!
  static let serverIPv6 = SocketAddress("[2001:db8:ffff::1]:3478")!

  struct Host {
    let key: X25519PrivateKey
    let disco: X25519PrivateKey
    let finder: PathFinder
    var route: Route = .none
    var wireMTU = 1280
    var endpoints: [SocketAddress] = []
    var lastSent: Instant?
    var lastReceived: Instant?
    /// Numbers of the data packets that arrived.
    var received: Set<Int> = []
    /// Addresses from which a pong of the peer came.
    var proved: Set<SocketAddress> = []
    /// Data that went to an address that had not proved itself.
    var violations: [SocketAddress] = []
  }

  private enum Event {
    case datagram([UInt8], to: Int, from: SocketAddress)
    case relayed([UInt8], to: Int, from: Int)
    case ownEndpoints(Int)
    case data(from: Int, number: Int)
    case arrived(Int, at: Int, from: SocketAddress?)
    case run(@Sendable (PathSimulation) -> Void)
  }

  var internet = VirtualInternet()
  private(set) var hosts: [Host] = []
  private(set) var now = start
  var hasRelay = true
  /// Of datagrams, in percent.
  var loss: UInt64 = 0
  /// The longest IP packet that gets through.
  var wireMTU = 1500
  var pings = 0
  private let random: SeededRandom
  private var queue: [(at: Instant, order: Int, event: Event)] = []
  private var order = 0
  private let delay: Duration = .milliseconds(20)
  private let relayDelay: Duration = .milliseconds(35)

  init(_ places: [VirtualPlace], seed: UInt64 = 1, hasRelay: Bool = true) {
    random = SeededRandom(seed)
    self.hasRelay = hasRelay
    internet.places = places
    for _ in places {
      let key = X25519PrivateKey(random: random)
      let disco = X25519PrivateKey(random: random)
      hosts.append(
        Host(
          key: key, disco: disco,
          finder: PathFinder(nodeKey: key.publicKey, discoKey: disco, random: random, now: now)))
    }
    for index in hosts.indices { learnOwnEndpoints(index) }
    for index in hosts.indices { applyNetmap(index) }
    for index in hosts.indices { perform(hosts[index].finder.setHasRelay(hasRelay, now: now), of: index) }
  }

  /// What the record of a host says is what it knew when this was called.
  func applyNetmap(_ index: Int) {
    let peers = hosts.indices.filter { $0 != index }.map { other in
      Peer(
        key: hosts[other].key.publicKey, name: "host \(other)", addresses: [], allowedIPs: [],
        endpoints: hosts[other].endpoints, discoKey: hosts[other].disco.publicKey)
    }
    let node = LocalNode(
      name: "host \(index)", key: hosts[index].key.publicKey, addresses: [],
      meshPrefixes: [IPPrefix("10.200.0.0/16")!])
    perform(hosts[index].finder.apply(Netmap(networkName: "home", node: node, peers: peers), now: now), of: index)
  }

  // MARK: What a test makes happen

  /// The first host sends packets to the second, one every 50 ms, and each is answered.
  func talk(for duration: Duration, from: Int = 0) {
    for number in 0..<Int(duration / .milliseconds(50)) {
      at(.milliseconds(50) * number, .data(from: from, number: number))
    }
  }

  func after(_ delay: Duration, _ body: @escaping @Sendable (PathSimulation) -> Void) { at(delay, .run(body)) }

  /// The host has another address now, and knows it.
  func move(_ index: Int, to place: VirtualPlace) {
    internet.places[index] = place
    learnOwnEndpoints(index)
    perform(hosts[index].finder.networkChanged(now: now), of: index)
  }

  func run(for duration: Duration) {
    let end = now + duration
    var steps = 0
    while steps < 1_000_000 {
      steps += 1
      let timers = hosts.indices.compactMap { index in hosts[index].finder.nextDeadline.map { (max($0, now), index) } }
      let timer = timers.min { $0 < $1 }
      if let next = queue.first, next.at <= (timer?.0 ?? end), next.at <= end {
        queue.removeFirst()
        now = max(now, next.at)
        handle(next.event)
      } else if let timer, timer.0 <= end {
        now = max(now, timer.0)
        let host = hosts[timer.1]
        perform(host.finder.advance(now: now) { _ in (host.lastSent, host.lastReceived) }, of: timer.1)
      } else {
        break
      }
    }
    precondition(steps < 1_000_000, "the simulation does not end")
    now = end
  }

  /// Whether the packet for which `number` stands has arrived.
  func hasArrived(_ number: Int, at index: Int) -> Bool { hosts[index].received.contains(number) }

  // MARK: What happens

  private func at(_ delay: Duration, _ event: Event) {
    order += 1
    let entry = (at: now + delay, order: order, event: event)
    let place = queue.firstIndex { ($0.at, $0.order) > (entry.at, entry.order) } ?? queue.endIndex
    queue.insert(entry, at: place)
  }

  private func learnOwnEndpoints(_ index: Int) {
    let seen = [Self.server, Self.serverIPv6].compactMap { internet.observed(index, by: $0) }
    let own = internet.places[index].addresses
    hosts[index].endpoints = seen + own.filter { !seen.contains($0) }
    perform(hosts[index].finder.setOwnEndpoints(hosts[index].endpoints, now: now), of: index)
  }

  private func handle(_ event: Event) {
    switch event {
    case .datagram(let bytes, let index, let source):
      notePong(bytes, at: index, from: source)
      perform(hosts[index].finder.receive(bytes, .datagram(from: source), now: now), of: index)
    case .relayed(let bytes, let index, let sender):
      perform(
        hosts[index].finder.receive(bytes, .relayed(from: hosts[sender].key.publicKey), now: now), of: index)
    case .ownEndpoints(let index): learnOwnEndpoints(index)
    case .data(let sender, let number): sendData(number, from: sender)
    case .arrived(let number, let index, let source):
      hosts[index].lastReceived = now
      if let source, source != hosts[index].route.address {
        perform(hosts[index].finder.heard(peerKey(of: index), from: source, now: now), of: index)
      }
      guard hosts[index].received.insert(number).inserted, number >= 0 else { return }
      // The answer, with a number of its own.
      sendData(-1 - number, from: index)
    case .run(let body): body(self)
    }
  }

  private func sendData(_ number: Int, from index: Int) {
    hosts[index].lastSent = now
    perform(hosts[index].finder.wantsToSend(to: peerKey(of: index), now: now), of: index)
    let route = hosts[index].route
    if let address = route.address {
      if !hosts[index].proved.contains(address) { hosts[index].violations.append(address) }
      // Packets are as long as they may be.
      if hosts[index].wireMTU <= wireMTU, !isLost, let (host, source) = internet.deliver(from: index, to: address) {
        at(delay, .arrived(number, at: host, from: source))
      }
    }
    if route.usesRelay, hasRelay { at(relayDelay, .arrived(number, at: 1 - index, from: nil)) }
  }

  private func perform(_ actions: [PathAction], of index: Int) {
    for action in actions {
      switch action {
      case .send(let bytes, let address):
        pings += 1
        let headers = address.ip.family == .v6 ? 48 : 28
        guard bytes.count + headers <= wireMTU, !isLost,
          let (host, source) = internet.deliver(from: index, to: address)
        else { continue }
        at(delay, .datagram(bytes, to: host, from: source))
      case .sendRelayed(let bytes, let key):
        guard hasRelay, let host = hosts.firstIndex(where: { $0.key.publicKey == key }) else { continue }
        at(relayDelay, .relayed(bytes, to: host, from: index))
      case .setRoute(_, let route, let mtu):
        hosts[index].route = route
        hosts[index].wireMTU = mtu
      case .refreshOwnEndpoints: at(.milliseconds(40), .ownEndpoints(index))
      case .observed, .answered, .openProbeSockets, .closeProbeSockets: break
      }
    }
  }

  private func notePong(_ bytes: [UInt8], at index: Int, from source: SocketAddress) {
    guard let sender = DiscoEnvelope.sender(of: bytes), let box = NaClBox(hosts[index].disco, sender),
      case .pong = DiscoEnvelope.open(bytes, in: box)
    else { return }
    hosts[index].proved.insert(source)
  }

  private var isLost: Bool { loss > 0 && random.uniform(below: 100) < loss }

  private func peerKey(of index: Int) -> X25519PublicKey { hosts[1 - index].key.publicKey }
}
