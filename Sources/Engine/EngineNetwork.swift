import Logging
import Netmap
import Traversal
import Wire

/// What becomes of ways when the network changes under the machine.
extension Engine {
  /// Addresses or routes are others now, or the machine slept: whatever was found out before counts no more.
  func networkChanged(_ reason: String) {
    guard let pathfinding else { return }
    let now = Instant.now()
    logger.info(
      "the network changed", metadata: ["reason": "\(reason)", "addresses": "\(localEndpoints.map(\.description))"])
    pathfinding.check.forget()
    pathfinding.standing.forgetFailures()
    closeProbeSockets { _ in true }
    pathfinding.relayOrders.yield(.networkChanged(addresses: localEndpoints.map(\.ip)))
    perform(pathfinding.finder.networkChanged(now: now))
    beginNetcheck(isFull: true)
    updateReach(now)
  }
}
