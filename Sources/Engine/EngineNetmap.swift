import Cryptography
import DataPath
import Glibc
import Logging
import Netmap
import Traversal
import Wire
import WireGuard

/// How a new netmap takes effect: by its difference to the former one.
extension Engine {
  /// The first initiations after a start are spread over this time.
  private static let initiationSpread: Duration = .seconds(1)
  /// Addresses of one peer that are tried.
  private static let maximumCandidates = 20

  func adopt(_ recorded: Netmap) throws(EngineError) {
    guard let io else { throw .stopped }
    guard recorded.node.key == configuration.privateKey.publicKey else { throw .foreignNetmap }
    let isFirst = netmap == nil
    try setAddresses(Set(recorded.node.addresses), io)
    let wanted = advertisedKeys.laid(over: recorded)
    let former = netmap
    netmap = wanted
    let change = PeerChange(
      from: peers.mapValues(\.peer).values.map { $0 }, to: wanted.peers, own: wanted.node)
    for key in change.removed { removePeer(key) }
    for peer in change.updated { updatePeer(peer) }
    for peer in change.added { addPeer(peer, spread: isFirst) }
    // Only now: updating a peer may have published a table already.
    isPolicyStale = true
    // The mesh's whole blocks lead here, so that nothing meant for one of its addresses leaves in clear by another route.
    setRoutes(change.routes.union(wanted.node.meshPrefixes.filter { $0.length > 0 }), io)
    if former?.node.meshPrefixes != wanted.node.meshPrefixes { lookAtLocalEndpoints() }
    adoptPaths(wanted, former: former)
    settle()
  }

  // MARK: Peers

  private func settings(of peer: Peer, _ id: PeerID?) -> PeerConfiguration {
    if let id, hasRoute(peer) {
      // Whatever way there is, the finder knows it.
      return PeerConfiguration(
        publicKey: peer.key, allowedIPs: peer.allowedIPs, candidates: [PseudoAddress.of(id)])
    }
    let usable = hygiene.filter(peer.endpoints, limit: .max)
    let reachable = usable.filter { io?.sockets.has($0.ip.family) ?? false }
    return PeerConfiguration(
      publicKey: peer.key, allowedIPs: peer.allowedIPs, candidates: Array(reachable.prefix(Engine.maximumCandidates)))
  }

  private func addPeer(_ peer: Peer, spread: Bool) {
    let now = Instant.now()
    do {
      let id = try device.addPeer(PeerConfiguration(publicKey: peer.key), now: now)
      let configuration = settings(of: peer, id)
      perform(try device.updatePeer(id, configuration, now: now, wallTime: .now()))
      peers[id] = PeerState(peer, id)
      peers[id]?.hasRoute = hasRoute(peer)
      stalePeers.insert(id)
      guard !configuration.candidates.isEmpty else { return }
      let delay = spread ? random.uniform(below: UInt64(Engine.initiationSpread.nanoseconds)) : 0
      // Not all at the same moment.
      device.planHandshake(with: id, at: now + .nanoseconds(Int64(delay)))
    } catch {
      logger.warning("a peer of the netmap is left out", metadata: ["name": "\(peer.name)", "reason": "\(error)"])
    }
  }

  func updatePeer(_ peer: Peer) {
    guard let id = device.peer(peer.key), let former = peers[id]?.peer else { return }
    let now = Instant.now()
    let wallTime = WallTime.now()
    peers[id]?.peer = peer
    if peers[id]?.hasRoute != hasRoute(peer) {
      peers[id]?.hasRoute = hasRoute(peer)
      if hasRoute(peer) {
        // Until the finder has a way for it, packets take the one that they took before.
        newlyRouted.append(peer.key)
      } else {
        peers[id]?.isBehindRelay = false
        peers[id]?.setRoute(.none, wireMTU: 0)
      }
      closeProbeSockets { $0.peer == peer.key }
      stalePeers.insert(id)
    }
    let configuration = settings(of: peer, id)
    do {
      perform(try device.updatePeer(id, configuration, now: now, wallTime: wallTime))
    } catch {
      logger.warning("a peer of the netmap is not changed", metadata: ["name": "\(peer.name)", "reason": "\(error)"])
    }
    // Its records say that it has started again or moved: whatever session there is may be worth nothing.
    let isNews = peer.revision != former.revision || peer.endpoints != former.endpoints
    if hasRoute(peer) {
      // The finder looks after moves. A session goes on, wherever its peer is.
      guard device.status(of: id, now: now)?.state != .established, isNews else { return }
    }
    if isNews, !configuration.candidates.isEmpty || peers[id]?.endpoint != nil {
      perform(device.initiate(id, .peerChanged, now: now, wallTime: wallTime))
    }
  }

  private func removePeer(_ key: X25519PublicKey) {
    guard let id = device.peer(key) else { return }
    perform(device.removePeer(id))
    peers[id] = nil
    pathfinding?.held.forget(id)
    closeProbeSockets { $0.peer == key }
    stalePeers.insert(id)
  }

  // MARK: The interface

  /// Gives the interface back what it lost when somebody took it down: its routes, and its IPv6 addresses.
  func restoreInterface(_ io: EngineIO) {
    let (formerAddresses, formerRoutes) = (addresses, routes.union(refusedRoutes.keys))
    (addresses, routes) = ([], [])
    restore(formerAddresses, formerRoutes, io)
  }

  /// The same for what another program took from it, as those do that manage all of a host's network.
  func restoreLost(_ host: HostNetwork, _ io: EngineIO) {
    let present = Set(host.addresses.lazy.filter { $0.link == Int(io.tunnel.index) }.map(\.ip))
    let lostAddresses = addresses.filter { !present.contains($0.address) }
    let lostRoutes = routes.subtracting(host.ownRoutes)
    guard !lostAddresses.isEmpty || !lostRoutes.isEmpty else { return }
    logger.warning(
      "another program took addresses or routes from the interface: it gets them back",
      metadata: ["interface": "\(interfaceName)", "lost": "\(lostAddresses.union(lostRoutes).sorted())"])
    let (wantedAddresses, wantedRoutes) = (addresses, routes.union(refusedRoutes.keys))
    addresses.subtract(lostAddresses)
    routes.subtract(lostRoutes)
    restore(wantedAddresses, wantedRoutes, io)
  }

  private func restore(_ wantedAddresses: Set<IPPrefix>, _ wantedRoutes: Set<IPPrefix>, _ io: EngineIO) {
    do {
      try setAddresses(wantedAddresses, io)
    } catch {
      logger.warning("the interface did not get its addresses back", metadata: ["reason": "\(error)"])
    }
    setRoutes(wantedRoutes, io)
  }

  func setAddresses(_ wanted: Set<IPPrefix>, _ io: EngineIO) throws(EngineError) {
    guard wanted != addresses else { return }
    let host = try HostNetwork(io.netlink)
    for prefix in wanted.sorted() {
      guard let owner = host.addresses.first(where: { $0.ip == prefix.address && $0.link != Int(io.tunnel.index) })
      else { continue }
      throw .addressInUse(prefix.address, interface: host.links[owner.link]?.name ?? "\(owner.link)")
    }
    let former = addresses.subtracting(wanted)
    for prefix in wanted.subtracting(addresses).sorted() {
      let status = io.settings.add(address: prefix)
      switch status {
      case 0, EEXIST:
        addresses.insert(prefix)
      case EACCES where prefix.family == .v6, EOPNOTSUPP where prefix.family == .v6,
        EAFNOSUPPORT where prefix.family == .v6:
        logger.warning(
          "this host has IPv6 switched off: the mesh has only IPv4 here", metadata: ["address": "\(prefix)"])
      default:
        throw .system("adding \(prefix) to the interface \(interfaceName)", reason: reason(of: status))
      }
    }
    // Only now: with the last address of IPv4 the kernel takes the routes of IPv4 away.
    for prefix in former {
      _ = io.settings.remove(address: prefix)
      addresses.remove(prefix)
    }
    routes = routes.filter { route in addresses.contains { $0.family == route.family } }
  }

  func setRoutes(_ wanted: Set<IPPrefix>, _ io: EngineIO) {
    refusedRoutes = refusedRoutes.filter { wanted.contains($0.key) }
    for route in routes.subtracting(wanted) {
      _ = io.settings.remove(route: route)
      routes.remove(route)
    }
    for route in wanted.subtracting(routes).sorted() where addresses.contains(where: { $0.family == route.family }) {
      let status = io.settings.add(route: route)
      if status == 0 {
        routes.insert(route)
        refusedRoutes[route] = nil
      } else {
        // Not a reason to take the rest of the network away; tried again with the next netmap, and when the host's network changes.
        let text =
          status == EEXIST
          ? "another program has a route to the same addresses" : "the kernel refused a route: \(reason(of: status))"
        guard refusedRoutes.updateValue(text, forKey: route) != text else { continue }
        logger.warning("\(text)", metadata: ["route": "\(route)", "interface": "\(interfaceName)"])
      }
    }
  }
}
