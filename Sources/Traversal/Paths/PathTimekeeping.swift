import Cryptography
import Wire

/// What time brings to one peer.
extension PathFinder {
  func runTimers(
    _ path: PeerPath, _ now: Instant, _ traffic: (X25519PublicKey) -> (lastSent: Instant?, lastReceived: Instant?)
  ) {
    expirePings(path, now)
    if let due = path.heartbeatAt, due <= now { beat(path, now, traffic(path.key)) }
    if let due = path.watchAt, due <= now { watch(path, now, traffic(path.key)) }
    if let due = path.searchAgainAt, due <= now {
      path.searchAgainAt = nil
      if !path.isTrusted(at: now) { search(path, asksBack: path.best == nil, now) }
    }
    if let (addresses, due) = path.calledAgain, due <= now {
      path.calledAgain = nil
      if !path.isTrusted(at: now) { search(path, asksBack: false, now, isUrgent: addresses.contains) }
    }
    if let due = path.callAgainAt, due <= now {
      path.callAgainAt = nil
      if hasRelay, !path.isTrusted(at: now) { callWhenKnown(path, now) }
    }
    if let due = path.probing?.nextAt, due <= now { probe(path, now) }
    runPortProbing(path, now)
    // Once over it is no deadline any more, whatever follows from it.
    if let due = path.trustedUntil, due <= now { path.trustedUntil = nil }
    tell(path, now)
  }

  private func expirePings(_ path: PeerPath, _ now: Instant) {
    for (id, ping) in path.pings where ping.deadline <= now {
      path.pings[id] = nil
      guard let best = path.best, ping.address == best.address else { continue }
      let hasAnsweredSince = path.lastPong.map { $0 >= ping.sentAt } ?? false
      switch ping.purpose {
      case .doubt where !hasAnsweredSince:
        suspect(path, now)
        askRelays(now)
        // If a router forgot this machine, the peer has to be told the new address and not the old one.
        ownEndpointsAt = nil
        search(path, asksBack: true, now) { _ in true }
      case .probe(let size) where hasAnsweredSince && size <= best.wireMTU: probeAgain(path, now)
      case .discovery where now - (path.lastPong ?? ping.sentAt) >= PathConstants.givingUp:
        path.clearBest()
      default: break
      }
    }
  }

  /// Keeps the way open while packets are sent, and looks for a better one now and then.
  private func beat(_ path: PeerPath, _ now: Instant, _ traffic: (lastSent: Instant?, lastReceived: Instant?)) {
    guard let lastSent = traffic.lastSent, now - lastSent <= PathConstants.activity else {
      path.heartbeatAt = nil
      return
    }
    path.heartbeatAt = now + PathConstants.heartbeat
    dropUnheard(path, lastReceived: traffic.lastReceived, now)
    if path.wantsSearch(at: now) { search(path, asksBack: true, now) }
    let wasPinged = path.pings.values.contains { $0.address == path.best?.address && $0.sentAt == now }
    guard let best = path.best else { return }
    if !wasPinged { ping(path, best.address, .discovery, now) }
    // Pings are short. That they are answered says nothing of a path that has become too narrow for packets.
    if best.wireMTU > PathConstants.smallestMTU, path.probing?.isRested(at: now) ?? false {
      ping(path, best.address, .probe(size: best.wireMTU), now)
    }
  }

  /// Packets may be too long for the path by now.
  private func probeAgain(_ path: PeerPath, _ now: Instant) {
    guard let best = path.best, best.wireMTU > PathConstants.smallestMTU, path.probing?.isRested(at: now) ?? true
    else { return }
    path.probing = MTUProbing(address: best.address, nextAt: now)
  }

  /// Doubts a path on which only this side is heard.
  private func watch(
    _ path: PeerPath, _ now: Instant, _ traffic: (lastSent: Instant?, lastReceived: Instant?)
  ) {
    guard let lastSent = traffic.lastSent, now - lastSent <= PathConstants.silence else {
      // The next packet sent starts this again.
      path.watchAt = nil
      return
    }
    let lastHeard = [traffic.lastReceived, path.lastPong].compactMap { $0 }.max()
    let quietAt = lastHeard.map { $0 + PathConstants.silence }
    if let quietAt, now < quietAt {
      path.watchAt = quietAt
      return
    }
    path.watchAt = now + PathConstants.silence
    guard doubt(path, now) else { return }
    probeAgain(path, now)
  }

  /// What broke a way may have broken the connections with relays, too, and they are needed next.
  private func askRelays(_ now: Instant) {
    guard hasRelay, relaysAskedAt.map({ now - $0 >= PathConstants.silence }) ?? true else { return }
    relaysAskedAt = now
    actions.append(.askRelays)
  }

  /// Sends what shows how long packets may be; after the last try judges by what was answered.
  private func probe(_ path: PeerPath, _ now: Instant) {
    guard var probing = path.probing, probing.address == path.best?.address else {
      path.probing = nil
      return
    }
    guard path.heartbeatAt != nil else {
      // Nobody uses it: the next pong of an active path begins anew.
      path.probing = nil
      return
    }
    // What carried more before, and does not now, is believed now: what is stuck on the way need not wait for the last try, and a
    // probe that was merely lost is made up for by the next.
    if let widest = probing.answered.max() {
      path.best?.wireMTU = widest
      path.candidates.noteWidth(probing.address, wireMTU: widest)
    }
    if probing.triesLeft > 0, !probing.open.isEmpty {
      // A try of which a part stayed here would say that the path is narrow.
      guard hasRoom(for: probing.open.count + 1, path, isInUse: true, now) else {
        statistics.limited += 1
        path.probing?.nextAt = now + PathConstants.probeInterval
        return
      }
      probing.triesLeft -= 1
      probing.nextAt = now + PathConstants.probeInterval
      probing.carriesShort = false
      probing.triedAt = now
      path.probing = probing
      for size in probing.open { ping(path, probing.address, .probe(size: size), now) }
      // Silence of the long ones says something only if a short one is heard.
      if probing.answered.isEmpty { ping(path, probing.address, .discovery, now) }
      return
    }
    if probing.answered.isEmpty {
      guard probing.carriesShort else {
        // Nothing is heard there at all, whatever its length: the peer is away. The pong that brings it back begins anew.
        path.probing = nil
        return
      }
      // It carries pings and nothing else.
      path.candidates.noteTooNarrow(probing.address, until: now + PathConstants.probeAgain)
      path.clearBest()
      return
    }
    path.probing = MTUProbing(address: probing.address, nextAt: now + PathConstants.probeAgain)
  }
}
