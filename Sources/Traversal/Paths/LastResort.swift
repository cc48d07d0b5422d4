public import Cryptography
import Netmap
public import Wire

/// Ways to a peer that answers no ping: since it does not know this machine's disco key yet, or not any more, and there is no relay on which
/// both are. Two that restart while they cannot reach the mesh's nodes would wait for each other for ever.
///
/// Its handshakes are tried where its pings are, and at the same rate. A handshake that goes through proves the address as a pong does,
/// by the peer's own key. It makes a way that nobody trusts: the relay stays beside it, and the first pong replaces it.
extension PathFinder {
  /// Where an initiation may go beside the relay: nowhere as long as pings may still be answered.
  public func lastResorts(to key: X25519PublicKey, now: Instant) -> [SocketAddress] {
    guard let path = peers[key], path.best == nil,
      !hasRelay || path.activeSince.map({ now - $0 >= PathConstants.plainPings }) ?? false
    else { return [] }
    return Array(
      path.candidates.usable(at: now).prefix { _ in
        takePing(path, isInUse: false, now)
      })
  }

  /// A handshake with the peer went through: its answer came from there, or the answer that went there was used.
  public func handshaken(_ key: X25519PublicKey, with source: SocketAddress, now: Instant) -> [PathAction] {
    guard let path = peers[key], !path.isTrusted(at: now), let source = hygiene.checked(source),
      path.candidates[source]?.tooNarrowUntil.map({ now >= $0 }) ?? true
    else { return [] }
    path.candidates.learn(source, at: now, keeping: path.best?.address)
    if path.best?.address != source { path.best = PathQuality(address: source, latency: .zero) }
    path.handshakenAt = now
    path.trustedUntil = nil
    path.isSuspect = true
    // What counts from now on is what comes from there, not what is answered.
    path.lastPong = nil
    pingBack(path, source, now)
    tell(path, now)
    schedule(path)
    return takeActions()
  }

  /// Such a way is left when nothing has come over it for a while.
  func dropUnheard(_ path: PeerPath, lastReceived: Instant?, _ now: Instant) {
    guard let handshakenAt = path.handshakenAt else { return }
    let heardAt = max(handshakenAt, lastReceived ?? handshakenAt)
    if now - heardAt >= PathConstants.givingUp {
      path.clearBest()
    } else if let best = path.best {
      // The peer does not ping, and its address is not forgotten for that.
      path.candidates.keep(best.address, at: now)
    }
  }
}
