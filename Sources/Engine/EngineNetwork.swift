import DataPath
import Logging
import Netmap
import Traversal
import Wire

/// What becomes of ways when the network changes under the machine.
extension Engine {
  /// What may be an endpoint of anybody, as far as this host and its mesh know.
  var hygiene: EndpointHygiene { EndpointHygiene(meshPrefixes: netmap?.node.meshPrefixes ?? [], host: hostBounds) }

  /// Tunnels came or went, or this host is in another network: nothing is sent into tunnels from now on, neither by the finder nor to
  /// the candidates of peers that it does not know.
  func heed(_ bounds: HostBounds) {
    guard bounds != hostBounds else { return }
    hostBounds = bounds
    for state in peers.values where !state.hasRoute { updatePeer(state.peer) }
    guard let pathfinding else { return }
    let now = Instant.now()
    perform(pathfinding.finder.setHostBounds(bounds, now: now))
    if let netmap { perform(pathfinding.finder.apply(netmap, now: now)) }
  }

  /// Addresses or routes are others now, or the machine slept: whatever was found out before counts no more.
  func networkChanged(_ reason: String) {
    io?.dataPath.trySocketsAgain()
    guard let pathfinding else { return }
    let now = Instant.now()
    logger.info(
      "the network changed", metadata: ["reason": "\(reason)", "addresses": "\(localEndpoints.map(\.description))"])
    pathfinding.check.forget()
    pathfinding.standing.forgetFailures()
    closeProbeSockets { _ in true }
    pathfinding.relayOrders.yield(.networkChanged(addresses: localEndpoints.map(\.ip)))
    // Whoever waits for a pong waits for one from the new network.
    let waiting = pathfinding.takePings()
    perform(pathfinding.finder.networkChanged(now: now))
    for ping in waiting { beginPing(ping.key, until: ping.until, ping.waiter) }
    beginNetcheck(isFull: true)
    updateReach(now)
  }
}
