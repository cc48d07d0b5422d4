import Cryptography
import DERP
import DataPath
import Netmap
import Traversal
import Wire
import WireGuard

/// How an engine's search for ways begins and ends, and what it does with relays.
extension Engine {
  func beginPathfinding(_ io: EngineIO) throws(EngineError) {
    guard let discoKey = configuration.discoKey else { return }
    let inbox = try RelayInbox(io.dataPath.relayInlet)
    let relays = RelayConnections(nodeKey: configuration.privateKey, logger: logger) { packet, key, relay in
      inbox.put(packet, from: key, over: relay)
    }
    let (orders, order) = AsyncStream<Pathfinding.RelayOrder>.makeStream()
    let now = Instant.now()
    let pathfinding = Pathfinding(
      discoKey: discoKey, finder: newFinder(discoKey), relays: relays, inbox: inbox, relayOrders: order, now: now)
    pathfinding.tasks = [
      Task {
        for await order in orders {
          switch order {
          case .relays(let list): await relays.setRelays(list)
          case .home(let home, let standby): await relays.setHome(home, standby: standby)
          case .networkChanged(let addresses): await relays.networkChanged(addresses: addresses)
          case .isBack(let id): await relays.isBack(id)
          case .ask: await relays.ask()
          case .wanted: await relays.wanted()
          }
        }
      },
      Task { [weak self] in
        for await event in relays.events { await self?.take(event) }
      },
    ]
    self.pathfinding = pathfinding
    watch(inbox.doorbell) { $0.collectRelayed() }
  }

  func endPathfinding() async {
    guard let pathfinding else { return }
    self.pathfinding = nil
    unwatch(pathfinding.inbox.doorbell)
    for socket in pathfinding.probeSockets { unwatch(socket.descriptor) }
    pathfinding.close()
    await pathfinding.relays.close()
  }

  func newFinder(_ discoKey: X25519PrivateKey) -> PathFinder {
    let finder = PathFinder(nodeKey: configuration.privateKey.publicKey, discoKey: discoKey, random: random)
    finder.probesPorts = configuration.probesPorts
    _ = finder.setHostBounds(hostBounds, now: .now())
    return finder
  }

  // MARK: The netmap

  /// Whether the finder decides how packets to the peer travel.
  func hasRoute(_ peer: Peer) -> Bool { pathfinding != nil && peer.discoKey != nil }

  func adoptPaths(_ netmap: Netmap, former: Netmap?) {
    guard let pathfinding else { return }
    let now = Instant.now()
    let endpoints = newlyRouted.map { key in device.peer(key).flatMap { peers[$0]?.endpoint } }
    perform(pathfinding.finder.apply(netmap, now: now))
    // Whoever is spoken with already, or about to be, was not known to the finder until now.
    for (key, endpoint) in zip(newlyRouted, endpoints) {
      guard let id = device.peer(key), let state = device.status(of: id, now: now)?.state, state != .idle else {
        continue
      }
      if state == .established, let endpoint {
        perform(pathfinding.finder.handshaken(key, with: endpoint, now: now))
      }
      wantsToSend(to: key)
    }
    newlyRouted = []
    collectEarly()
    guard former?.relays != netmap.relays || former == nil else { return }
    let relays = netmap.relays.map { dialled($0) }
    pathfinding.relayOrders.yield(.relays(relays))
    // As the connections compare them: those that go on say nothing.
    let unchanged = Set(relays).intersection((former?.relays ?? []).map { dialled($0) })
    pathfinding.standing.keep(Set(unchanged.map(\.id)))
    setHome(pathfinding.check.homeRelay, standby: pathfinding.check.standbyRelay)
    beginNetcheck(isFull: true)
  }

  /// The relay as it is connected with: that of this process without leaving the machine.
  private func dialled(_ relay: Relay) -> Relay {
    guard isLocal(relay), let address = configuration.localRelay?.address else { return relay }
    var relay = relay
    relay.host = address.ip.description
    relay.port = address.port
    relay.ipv4 = address.ip.family == .v4 ? address.ip : nil
    relay.ipv6 = address.ip.family == .v6 ? address.ip : nil
    return relay
  }

  // MARK: Events

  private func take(_ event: RelayConnections.Event) {
    guard let pathfinding else { return }
    let now = Instant.now()
    switch event {
    case .connected(let id):
      pathfinding.standing.connected(id)
      if let due = pathfinding.check.announceBy {
        // Where no UDP gets through there is nothing more to tell, and the check takes its time to find that out.
        pathfinding.check.announceBy = min(due, now + NetworkCheck.grace)
      }
    case .disconnected(let id, let reason): pathfinding.standing.lost(id, reason, at: now)
    case .failed(let id, let reason):
      pathfinding.standing.failed(id, reason, at: now)
      leaveUnreachable(id, now)
    case .health(let id, let text): return pathfinding.standing.says(text, id)
    }
    perform(pathfinding.finder.setHasRelay(!pathfinding.standing.connected.isEmpty, now: now))
    updateReach(now)
    settle()
  }

  /// A home or standby that is passed over is chosen no more, if there is another. Where all are, each is tried as before, and checks in
  /// their own time say which is back.
  private func leaveUnreachable(_ id: UInt16, _ now: Instant) {
    guard let pathfinding, id == pathfinding.check.homeRelay || id == pathfinding.check.standbyRelay,
      pathfinding.standing.isPassedOver(id, at: now), (netmap?.relays ?? []).count(where: \.relaysTraffic) > 1
    else { return }
    if placesToWait(at: now).contains(id) { keepChecking(now) } else { beginNetcheck(isFull: false) }
  }

  /// The relays among which home and standby are chosen: those that were not tried in vain, if there are any.
  func placesToWait(at now: Instant) -> Set<UInt16> {
    let all = Set((netmap?.relays ?? []).lazy.filter(\.relaysTraffic).map(\.id))
    let open = all.filter { pathfinding?.standing.isPassedOver($0, at: now) != true }
    return open.isEmpty ? all : open
  }

  var relayStatus: [RelayStatus] {
    guard let pathfinding else { return [] }
    let check = pathfinding.check
    return (netmap?.relays ?? []).filter(\.relaysTraffic).sorted { $0.id < $1.id }.map { relay in
      RelayStatus(
        id: relay.id, region: relay.region, isHome: relay.id == check.homeRelay,
        isStandby: relay.id == check.standbyRelay, isConnected: pathfinding.standing.connected.contains(relay.id),
        latency: check.last?.latencies[relay.id]?.best, error: pathfinding.standing.troubles[relay.id])
    }
  }
}
