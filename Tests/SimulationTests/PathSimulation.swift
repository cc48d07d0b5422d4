import Cryptography
import Netmap
import TestSupport
import Traversal
import Wire

/// Machines with a `PathFinder` each, and a `PortMapper` where a router maps ports; a virtual internet between them, a relay, and a clock
/// that jumps from event to event. One seed reproduces a run.
final class PathSimulation {
  static let start = Instant(nanoseconds: 1_000_000_000_000)
  static let server = SocketAddress("192.0.2.1:3478")!
  static let serverIPv6 = SocketAddress("[2001:db8:ffff::1]:3478")!

  enum Event {
    case datagram([UInt8], to: Int, port: UInt16, from: SocketAddress)
    case relayed([UInt8], to: Int, from: Int)
    case fromGateway([UInt8], to: Int)
    case ownEndpoints(Int)
    case published(Int)
    case talk(Talk, number: Int)
    /// Data, whose source is `nil` if it came over the relay.
    case arrived(number: Int, at: Int, from: Int, source: SocketAddress?, isAnswered: Bool)
    case run(@Sendable (PathSimulation) -> Void)
  }

  /// One host that sends packets to another.
  struct Talk {
    let from: Int
    let to: Int
    let interval: Duration
    let count: Int
    let isAnswered: Bool
  }

  var internet = VirtualInternet()
  var hosts: [SimulatedHost] = []
  private(set) var now = start
  var hasRelay = true
  /// Of datagrams, in percent.
  var loss: UInt64 = 0
  /// Up to this is added to the time that a datagram takes, which reorders.
  var jitter: Duration = .zero
  /// The longest IP packet that gets through.
  var wireMTU = 1500
  /// Disco datagrams that were sent.
  private(set) var discoSent = 0
  let random: SeededRandom
  private var queue: [(at: Instant, order: Int, event: Event)] = []
  private var order = 0
  private let delay: Duration = .milliseconds(20)
  private let relayDelay: Duration = .milliseconds(35)
  /// From what a host has to publish to the other hosts' netmaps.
  private let publication: Duration = .milliseconds(500)

  /// Whether hosts guess ports where nothing else helps.
  let probesPorts: Bool

  init(_ places: [VirtualPlace], seed: UInt64 = 1, hasRelay: Bool = true, probesPorts: Bool = false) {
    random = SeededRandom(seed)
    self.hasRelay = hasRelay
    self.probesPorts = probesPorts
    internet.places = places
    for _ in places {
      let key = X25519PrivateKey(random: random)
      let disco = X25519PrivateKey(random: random)
      hosts.append(
        SimulatedHost(
          key: key, disco: disco,
          finder: PathFinder(nodeKey: key.publicKey, discoKey: disco, random: random),
          hasRelay: hasRelay, links: [SimulatedHost.Link](repeating: SimulatedHost.Link(), count: places.count)))
    }
    for index in hosts.indices {
      tellOfNAT(index)
      learnOwnEndpoints(index)
      hosts[index].published = hosts[index].endpoints
    }
    for index in hosts.indices { applyNetmap(index) }
    for index in hosts.indices { perform(hosts[index].finder.setHasRelay(hasRelay, now: now), of: index) }
    for index in hosts.indices { askGateway(index) }
  }

  /// One host's way to another.
  subscript(_ from: Int, to peer: Int) -> SimulatedHost.Link { hosts[from].links[peer] }

  /// All ways there could be, in both directions.
  var links: [SimulatedHost.Link] {
    hosts.indices.flatMap { from in hosts.indices.filter { $0 != from }.map { self[from, to: $0] } }
  }

  // MARK: What a test makes happen

  /// A host sends packets to another, one in every interval, and each is answered if any is.
  func talk(
    for duration: Duration, from: Int = 0, to peer: Int = 1, every interval: Duration = .milliseconds(50),
    isAnswered: Bool = true
  ) {
    let talk = Talk(from: from, to: peer, interval: interval, count: Int(duration / interval), isAnswered: isAnswered)
    at(.zero, .talk(talk, number: 0))
  }

  func after(_ delay: Duration, _ body: @escaping @Sendable (PathSimulation) -> Void) { at(delay, .run(body)) }

  /// The host has another address now, and knows it. Its record is late.
  func move(_ index: Int, to place: VirtualPlace) {
    internet.places[index] = place
    for peer in hosts.indices { hosts[index].links[peer].proved = [] }
    askGateway(index)
    learnOwnEndpoints(index)
    perform(hosts[index].finder.networkChanged(now: now), of: index)
  }

  func run(for duration: Duration) {
    let end = now + duration
    var steps = 0
    while steps < 1_000_000 {
      steps += 1
      let timer = hosts.indices.compactMap { index in deadline(of: index).map { (at: max($0, now), host: index) } }
        .min { $0 < $1 }
      if let next = queue.first, next.at <= (timer?.at ?? end), next.at <= end {
        queue.removeFirst()
        now = max(now, next.at)
        handle(next.event)
      } else if let timer, timer.at <= end {
        now = max(now, timer.at)
        advance(timer.host)
      } else {
        break
      }
    }
    precondition(steps < 1_000_000, "the simulation does not end")
    now = end
  }

  /// Whether the data packet with this number has arrived.
  func hasArrived(_ number: Int, at index: Int, from peer: Int) -> Bool {
    hosts[index].links[peer].received.contains(number)
  }

  /// Whether it has arrived, and its answer too.
  func wasAnswered(_ number: Int, from index: Int = 0, to peer: Int = 1) -> Bool {
    hasArrived(number, at: peer, from: index) && hasArrived(-1 - number, at: index, from: peer)
  }

  // MARK: Time

  private func deadline(of index: Int) -> Instant? {
    guard hosts[index].activity == .running else { return nil }
    return [hosts[index].finder.nextDeadline, hosts[index].mapper?.deadline].compactMap { $0 }.min()
  }

  private func advance(_ index: Int) {
    let host = hosts[index]
    let actions = host.finder.advance(now: now) { [hosts] key in
      guard let peer = hosts.firstIndex(where: { $0.key.publicKey == key }) else { return (nil, nil) }
      return (host.links[peer].lastSent, host.links[peer].lastReceivedDirectly)
    }
    perform(actions, of: index)
    if let deadline = host.mapper?.deadline, deadline <= now {
      perform(hosts[index].mapper?.advance(at: now, random) ?? [], of: index)
    }
  }

  private func at(_ delay: Duration, _ event: Event) {
    order += 1
    let time = now + delay
    // Most of what happens later was also decided later.
    let place = queue.lastIndex { $0.at <= time }.map { $0 + 1 } ?? 0
    queue.insert((at: time, order: order, event: event), at: place)
  }

  func handle(_ event: Event) {
    guard isReady(for: event) else { return }
    switch event {
    case .datagram(let bytes, let index, let port, let source): receive(bytes, at: index, port: port, from: source)
    case .relayed(let bytes, let index, let sender):
      if case .callMeMaybe(let endpoints) = open(bytes, at: index) { hosts[index].named.formUnion(endpoints) }
      perform(
        hosts[index].finder.receive(bytes, .relayed(from: hosts[sender].key.publicKey), now: now), of: index)
    case .fromGateway(let bytes, let index):
      guard let gateway = internet.places[index].nat?.gateway else { return }
      let source = SocketAddress(gateway, port: Self.gatewayPort)
      perform(hosts[index].mapper?.receive(bytes, from: source, at: now, random) ?? [], of: index)
    case .ownEndpoints(let index): learnOwnEndpoints(index)
    case .published(let index):
      hosts[index].published = hosts[index].endpoints
      for other in hosts.indices where other != index { applyNetmap(other) }
    case .talk(let talk, let number):
      guard number < talk.count else { return }
      if hosts[talk.from].activity == .running {
        sendData(number, from: talk.from, to: talk.to, isAnswered: talk.isAnswered)
      }
      at(talk.interval, .talk(talk, number: number + 1))
    case .arrived(let number, let index, let sender, let source, let isAnswered):
      receiveData(number, at: index, from: sender, source)
      if isAnswered, number >= 0, hosts[index].links[sender].answered.insert(number).inserted {
        // The answer has a number of its own.
        sendData(-1 - number, from: index, to: sender, isAnswered: false)
      }
    case .run(let body): body(self)
    }
  }

  // MARK: What a host knows of the network

  func applyNetmap(_ index: Int) {
    let peers = hosts.indices.filter { $0 != index }.map { other in
      Peer(
        key: hosts[other].key.publicKey, name: "host \(other)", addresses: [], allowedIPs: [],
        endpoints: hosts[other].published, discoKey: hosts[other].disco.publicKey,
        natMapping: natMapping(of: other), hasMappedPort: internet.places[other].hasMappedPort)
    }
    hosts[index].named.formUnion(peers.flatMap(\.endpoints))
    let node = LocalNode(
      name: "host \(index)", key: hosts[index].key.publicKey, addresses: [],
      meshPrefixes: [IPPrefix("10.200.0.0/16")!])
    perform(hosts[index].finder.apply(Netmap(networkName: "home", node: node, peers: peers), now: now), of: index)
  }

  func learnOwnEndpoints(_ index: Int) {
    let mapped = hosts[index].mapper?.mappings.map(\.external) ?? []
    let seen = [Self.server, Self.serverIPv6].compactMap { internet.observed(index, by: $0) }
    let place = internet.places[index]
    hosts[index].endpoints = (mapped + seen + place.addresses + place.claims).reduce(into: []) { result, address in
      if !result.contains(address) { result.append(address) }
    }
    perform(hosts[index].finder.setOwnEndpoints(hosts[index].endpoints, now: now), of: index)
  }

  // MARK: The router

  private static let gatewayPort: UInt16 = 5351

  /// A router that maps ports is asked for one.
  private func askGateway(_ index: Int) {
    let place = internet.places[index]
    guard let gateway = place.nat?.gateway, let own = place.addresses.first,
      let mapper = PortMapper(gateway: gateway, host: own.ip)
    else {
      hosts[index].mapper = nil
      return
    }
    hosts[index].mapper = mapper
    perform(hosts[index].mapper?.want([PortMapping.Port(.udp, own.port)], at: now, random) ?? [], of: index)
  }

  private func perform(_ actions: [PortMapper.Action], of index: Int) {
    let place = internet.places[index]
    for action in actions {
      switch action {
      case .send(let bytes, let address):
        guard let nat = place.nat, let own = place.addresses.first,
          address == nat.gateway.map({ SocketAddress($0, port: Self.gatewayPort) }),
          let answer = nat.answer(bytes, from: own.ip)
        else { continue }
        at(.milliseconds(1), .fromGateway(answer, to: index))
      case .changed:
        learnOwnEndpoints(index)
        at(publication, .published(index))
      // The router speaks NAT-PMP, and no UPnP.
      case .http: break
      }
    }
  }

  // MARK: Disco

  func perform(_ actions: [PathAction], of index: Int) {
    for action in actions {
      switch action {
      case .send(let bytes, let address):
        sendDisco(bytes, from: index, port: probePort(of: index, for: address), to: address)
      case .sendRelayed(let bytes, let key):
        guard let host = hosts.firstIndex(where: { $0.key.publicKey == key }), meetAtRelay(index, host) else {
          continue
        }
        at(relayDelay, .relayed(bytes, to: host, from: index))
      case .setRoute(let key, let route, let mtu):
        guard let peer = hosts.firstIndex(where: { $0.key.publicKey == key }) else { continue }
        if let former = hosts[index].links[peer].route.address, former != route.address {
          closeProbeSockets(of: index) { $0.isProven && $0.address == former }
        }
        hosts[index].links[peer].route = route
        hosts[index].links[peer].wireMTU = mtu
      case .refreshOwnEndpoints: at(delay * 2, .ownEndpoints(index))
      // The relay of the simulation is there, or is not, for everybody to see.
      case .askRelays: break
      case .openProbeSockets(let messages, let address, let key):
        openProbeSockets(messages, from: index, to: address, for: key)
      case .closeProbeSockets(let key):
        closeProbeSockets(of: index) { socket in
          hosts[socket.peer].key.publicKey == key
            && !(socket.isProven && socket.address == hosts[index].links[socket.peer].route.address)
        }
      case .proved(_, let address):
        if let port = hosts[index].answeringPort, hosts[index].probeSockets[port]?.address == address {
          prove(port, of: index)
        }
      case .observed, .answered: break
      }
    }
  }

  func sendDisco(_ bytes: [UInt8], from index: Int, port: UInt16?, to address: SocketAddress) {
    discoSent += 1
    hosts[index].noteDisco(to: address, at: now)
    let headers = address.ip.family == .v6 ? 48 : 28
    guard bytes.count + headers <= wireMTU, !isLost,
      let delivery = internet.deliver(from: index, port: port, to: address)
    else { return }
    at(travelTime, .datagram(bytes, to: delivery.host, port: delivery.port, from: delivery.source))
  }

  private func receive(_ bytes: [UInt8], at index: Int, port: UInt16, from source: SocketAddress) {
    if let message = open(bytes, at: index) {
      hosts[index].hear(from: source)
      let sender = DiscoEnvelope.sender(of: bytes)
      if case .pong = message, let peer = hosts.firstIndex(where: { $0.disco.publicKey == sender }) {
        hosts[index].links[peer].proved.insert(source)
      }
    }
    let actions = hosts[index].finder.receive(bytes, .datagram(from: source), now: now)
    hosts[index].answeringPort = port
    perform(actions, of: index)
    hosts[index].answeringPort = nil
  }

  private func open(_ bytes: [UInt8], at index: Int) -> DiscoMessage? {
    guard let sender = DiscoEnvelope.sender(of: bytes), let box = NaClBox(hosts[index].disco, sender) else {
      return nil
    }
    return DiscoEnvelope.open(bytes, in: box)
  }

  // MARK: Data

  private func sendData(_ number: Int, from index: Int, to peer: Int, isAnswered: Bool) {
    hosts[index].links[peer].lastSent = now
    perform(hosts[index].finder.wantsToSend(to: hosts[peer].key.publicKey, now: now), of: index)
    let link = hosts[index].links[peer]
    if let address = link.route.address {
      if !link.proved.contains(address) { hosts[index].links[peer].violations.append(address) }
      // Packets are as long as they may be. Who gets one that is not for him cannot open it.
      let port = probePort(of: index, for: address)
      if link.wireMTU <= wireMTU, !isLost, let delivery = internet.deliver(from: index, port: port, to: address),
        delivery.host == peer
      {
        at(travelTime, .arrived(number: number, at: peer, from: index, source: delivery.source, isAnswered: isAnswered))
      }
    }
    if link.route.usesRelay, meetAtRelay(index, peer) {
      at(relayDelay, .arrived(number: number, at: peer, from: index, source: nil, isAnswered: isAnswered))
    }
  }

  private func receiveData(_ number: Int, at index: Int, from peer: Int, _ source: SocketAddress?) {
    let key = hosts[peer].key.publicKey
    if let source {
      hosts[index].hear(from: source)
      if source == hosts[index].links[peer].route.address {
        hosts[index].links[peer].lastReceivedDirectly = now
      } else {
        perform(hosts[index].finder.heard(key, from: source, now: now), of: index)
      }
    } else {
      perform(hosts[index].finder.heardOverRelay(key, now: now), of: index)
    }
    guard hosts[index].links[peer].received.insert(number).inserted else { return }
    if let last = hosts[index].links[peer].lastArrival {
      hosts[index].links[peer].longestSilence = max(hosts[index].links[peer].longestSilence, now - last)
    }
    hosts[index].links[peer].lastArrival = now
  }

  private var isLost: Bool { loss > 0 && random.uniform(below: 100) < loss }

  private var travelTime: Duration {
    guard jitter > .zero else { return delay }
    return delay + .nanoseconds(Int64(random.uniform(below: UInt64(jitter.nanoseconds))))
  }
}
