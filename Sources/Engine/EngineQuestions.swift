public import Cryptography
import Netmap
import Traversal
import Wire

/// What people ask an engine.
extension Engine {
  /// Checks the network anew: which relays answer, and which addresses they see. At most ten seconds. Without a disco key nothing
  /// is asked.
  public func netcheck() async -> NetcheckResult {
    await withCheckedContinuation { waiter in
      guard let pathfinding else { return waiter.resume() }
      pathfinding.check.wait(waiter, from: .now())
      beginNetcheck(isFull: true)
      settle()
    }
    return netcheckResult
  }

  private var netcheckResult: NetcheckResult {
    var result = NetcheckResult()
    guard let check = pathfinding?.check else { return result }
    let now = Instant.now()
    (result.hasIPv4, result.hasIPv6, result.hasUDP) = check.openness(
      at: now, hasHost: hostHas, isAsked: hasWitnesses(over:))
    result.globalIPv4 = check.sighting(over: .v4, at: now)
    result.globalIPv6 = check.sighting(over: .v6, at: now)
    result.hairpin = check.last?.hairpin
    result.natMapping = check.natMapping
    result.relays = (netmap?.relays ?? []).sorted { $0.id < $1.id }.map { relay in
      .init(
        id: relay.id, region: relay.region,
        latency: isLocal(relay) ? .zero : check.last?.latencies[relay.id]?.best,
        error: pathfinding?.standing.troubles[relay.id], trouble: check.last?.troubles[relay.id])
    }
    result.servers = configuredServers.map { server, region in
      .init(
        server: server, latency: check.last?.latencies[region.id]?.best, isKnown: region.hasAddresses,
        trouble: check.last?.troubles[region.id])
    }
    if let mapper = gatewayLink?.mapper {
      result.portMapping = mapper.answering
      result.mappingTrouble = mapper.trouble
    }
    result.homeRelay = check.homeRelay
    result.standbyRelay = check.standbyRelay
    return result
  }

  /// Pings a peer over its best path, and over all others as long as there is no trusted one: the first answer. `nil` if none came
  /// within the limit.
  ///
  /// - Throws: `EngineError.noDiscoKey` if peer or engine speak plain WireGuard, which has no such pings.
  public func ping(
    _ key: X25519PublicKey, within limit: Duration = .seconds(5)
  ) async throws(EngineError) -> PingAnswer? {
    guard let pathfinding, pathfinding.finder.route(to: key) != nil else { throw .noDiscoKey }
    return await withCheckedContinuation { beginPing(key, until: .now() + limit, $0) }
  }

  /// From now on this is the key for path discovery: every path is looked for anew, the peers that are spoken with are told, and
  /// `EngineEvent.reach` tells of it. Does nothing in an engine without one.
  public func renewDiscoKey(_ key: X25519PrivateKey) {
    guard let pathfinding else { return }
    let now = Instant.now()
    let waiting = pathfinding.takePings()
    pathfinding.discoKey = key
    pathfinding.finder = newFinder(key)
    closeProbeSockets { !$0.isProven }
    for id in peers.keys where peers[id]?.hasRoute == true {
      peers[id]?.setRoute(.none, wireMTU: 0)
      stalePeers.insert(id)
    }
    if let netmap { perform(pathfinding.finder.apply(netmap, now: now)) }
    perform(pathfinding.finder.setHasRelay(!pathfinding.standing.connected.isEmpty, now: now))
    for (id, peer) in peers where peer.sealing != nil { advertiseDiscoKey(to: id) }
    payCalls(now)
    updateReach(now)
    // Their answers would be for the former key.
    for ping in waiting { beginPing(ping.key, until: ping.until, ping.waiter) }
    settle()
  }
}
