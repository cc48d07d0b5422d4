import Cryptography
import Logging
import Netmap
import Traversal
import Wire
import WireGuard

/// The disco key inside the tunnel: told with each new session, so that ways are found also while no record can be written.
extension Engine {
  /// Tells the peer this machine's disco key, ahead of everything that waits for the session. Not to one that speaks plain WireGuard.
  func advertiseDiscoKey(to id: PeerID) {
    guard let pathfinding, let state = peers[id], state.hasRoute || state.isBehindRelay,
      let destination = state.peer.addresses.first?.address,
      let source = netmap?.node.addresses.first(where: { $0.family == destination.family })?.address
    else { return }
    let advertisement = DiscoAdvertisement(
      source: source, destination: destination, key: pathfinding.discoKey.publicKey)
    waitingToSeal.append((id, advertisement.packet))
  }

  func takeNotice(_ packet: [UInt8], from id: PeerID, _ now: Instant) {
    // Of the peer itself, not of a network behind it.
    guard pathfinding != nil, let advertisement = DiscoAdvertisement(packet: packet), let state = peers[id],
      state.peer.addresses.contains(IPPrefix(host: advertisement.source)),
      let peer = advertisedKeys.note(advertisement.key, of: state.peer, now: now),
      let former = netmap, let index = former.peers.firstIndex(where: { $0.key == peer.key })
    else { return }
    logger.info("a peer told another disco key than its record", metadata: ["name": "\(peer.name)"])
    var changed = former
    changed.peers[index].discoKey = peer.discoKey
    netmap = changed
    updatePeer(peer)
    adoptPaths(changed, former: former)
  }
}
