import Cryptography
import Netmap
import Wire

/// Looking for ways, and telling of them.
extension PathFinder {
  /// Packets are sent from now on: the way is kept, or looked for.
  func activate(_ path: PeerPath, _ now: Instant) {
    if path.heartbeatAt == nil {
      path.heartbeatAt = now + PathConstants.heartbeat
      path.activeSince = now
      path.callsLeft = PathConstants.callsInARow
      if path.wantsSearch(at: now) {
        search(path, asksBack: true, now)
      } else if let best = path.best {
        ping(path, best.address, .discovery, now)
      }
    }
    if path.watchAt == nil { path.watchAt = now + PathConstants.silence }
    tell(path, now)
  }

  /// Pings every candidate, and asks the peer to do the same.
  ///
  /// - Parameter isUrgent: whether there is a reason to ping the address though it was pinged a moment ago.
  func search(
    _ path: PeerPath, asksBack: Bool, _ now: Instant, isUrgent: (SocketAddress) -> Bool = { _ in false }
  ) {
    path.lastSearch = now
    // The way that works is not forgotten because the peer has no reason to ping.
    if let best = path.best, path.isTrusted(at: now) || path.handshakenAt != nil {
      path.candidates.keep(best.address, at: now)
    }
    path.candidates.forgetLearnt(before: now - PathConstants.learntLifetime)
    dropVanishedBest(path)
    for address in path.candidates.usable(at: now)
    where path.limits.mayPing(address, isUrgent: isUrgent(address), at: now) {
      guard ping(path, address, .discovery, now) else {
        path.searchAgainAt = path.searchAgainAt ?? now + PathConstants.retry
        break
      }
    }
    guard asksBack, hasRelay else { return }
    call(path, now)
    // The peer may just have been starting, and its relay with it.
    guard path.best == nil, path.callsLeft > 0 else { return }
    path.callsLeft -= 1
    path.searchAgainAt = now + PathConstants.callAgain
  }

  /// Asks the peer over the relay to ping this machine, as soon as it can be told where.
  func call(_ path: PeerPath, _ now: Instant) {
    path.soughtAt = now
    callWhenKnown(path, now)
  }

  /// The same without another reason than before.
  func callWhenKnown(_ path: PeerPath, _ now: Instant) {
    if let at = ownEndpointsAt, now - at <= PathConstants.endpointFreshness {
      sendCall(path, now)
    } else {
      if !sortedPeers.contains(where: \.owesCall) { actions.append(.refreshOwnEndpoints) }
      path.owesCall = true
    }
  }

  /// A peer that calls has to know where this machine is, too: its pings open the peer's own NAT for those of this machine. Who sends
  /// nothing has not told that for long, and its NAT may have given it another address since. Who was told lately is not told again, so
  /// that no call is answered by another for ever.
  func callBack(_ path: PeerPath, _ now: Instant) {
    guard hasRelay, !path.isTrusted(at: now), !path.wasSoughtLately(at: now) else { return }
    call(path, now)
  }

  func sendCall(_ path: PeerPath, _ now: Instant) {
    guard hasRelay else { return }
    if let last = path.calledAt, now - last < PathConstants.callAgain {
      path.callAgainAt = last + PathConstants.callAgain
      return
    }
    path.calledAt = now
    path.callAgainAt = nil
    planPortProbing(path, now)
    let message = seal(.callMeMaybe(ownEndpoints), path)
    _ = path.limits.seenCalls.insert(message, at: now)
    actions.append(.sendRelayed(message, to: path.key))
  }

  /// `false` if a rate forbids it.
  @discardableResult
  func ping(
    _ path: PeerPath, _ address: SocketAddress, _ purpose: SentPing.Purpose, _ now: Instant,
    _ reason: PeerLimits.Reason = .search
  ) -> Bool {
    let isInUse = address == path.best?.address
    guard takePing(path, isInUse: isInUse, now) else { return false }
    path.limits.notePing(address, isInUse && reason != .back ? .inUse : reason, at: now)
    actions.append(.send(sealedPing(path, address, purpose, now), to: address))
    return true
  }

  /// Takes one from what may be sent to the peer, and to all. Looking for ways leaves some for those in use.
  func takePing(_ path: PeerPath, isInUse: Bool, _ now: Instant) -> Bool {
    guard hasRoom(for: 1, path, isInUse: isInUse, now) else {
      statistics.limited += 1
      return false
    }
    path.limits.pings.note(at: now)
    pingBudget.note(at: now)
    return true
  }

  func hasRoom(for count: Int, _ path: PeerPath, isInUse: Bool, _ now: Instant) -> Bool {
    let outstanding = path.pings.values.count { $0.purpose != .guess }
    return outstanding + count + (isInUse ? 0 : PathConstants.outstandingKeptForWay) <= PathConstants.outstandingPings
      && path.limits.pings.hasRoom(for: count, leaving: isInUse ? 0 : PathConstants.pingsKeptForWay, at: now)
      && pingBudget.hasRoom(for: count, leaving: isInUse ? 0 : PathConstants.pingsKeptForWays, at: now)
  }

  func pingThroughRelay(_ path: PeerPath, _ purpose: SentPing.Purpose, _ now: Instant) {
    guard takePing(path, isInUse: false, now) else { return }
    actions.append(.sendRelayed(sealedPing(path, nil, purpose, now), to: path.key))
  }

  func sealedPing(
    _ path: PeerPath, _ address: SocketAddress?, _ purpose: SentPing.Purpose, _ now: Instant
  ) -> [UInt8] {
    let id = TransactionID(random: random)
    var patience = PathConstants.pingTimeout
    var padding = 0
    switch purpose {
    case .doubt: patience = max(PathConstants.doubt, (path.best?.latency ?? .zero) * 3)
    case .probe(let size):
      patience = PathConstants.probeInterval * 2
      let headers = (address?.ip.family == .v6 ? 40 : 20) + 8
      padding = max(0, size - headers - DiscoEnvelope.overhead - DiscoMessage.pingLength)
    case .asked(_, let limit): patience = limit
    case .discovery, .guess: break
    }
    path.pings[id] = SentPing(address: address, sentAt: now, deadline: now + patience, purpose: purpose)
    return seal(.ping(id, nodeKey: nodeKey, padding: padding), path)
  }

  func seal(_ message: DiscoMessage, _ path: PeerPath) -> [UInt8] {
    DiscoEnvelope.seal(message, from: discoKey.publicKey, in: path.box, random: random)
  }

  /// Tells of the peer's route if it is another now.
  func tell(_ path: PeerPath, _ now: Instant) {
    let route = path.route(hasRelay: hasRelay, at: now)
    let mtu = max(path.best?.wireMTU ?? 0, PathConstants.smallestMTU)
    guard route != path.route || (mtu != path.routeMTU && route.address != nil) else { return }
    path.route = route
    path.routeMTU = mtu
    actions.append(.setRoute(path.key, route, wireMTU: mtu))
  }

  /// A way whose address nobody names any more is none.
  func dropVanishedBest(_ path: PeerPath) {
    if let best = path.best, path.candidates[best.address] == nil { path.clearBest() }
  }

  // MARK: Without a relay

  func planUnasked(_ now: Instant) {
    guard !hasRelay, !peers.isEmpty else {
      unaskedAt = nil
      return
    }
    guard unaskedAt == nil else { return }
    let range = PathConstants.unaskedInterval
    let spread = UInt64((range.upperBound - range.lowerBound).nanoseconds)
    unaskedAt = now + range.lowerBound + .nanoseconds(Int64(random.uniform(below: spread)))
  }

  /// Holes in both NATs stay open, and one in the peer's finds its match. Of many who have no way some have their turn, and the next time
  /// those behind them.
  func pingUnasked(_ now: Instant) {
    unaskedAt = nil
    let waiting = sortedPeers.filter { !$0.isTrusted(at: now) }
    let first = lastUnasked.flatMap { last in waiting.firstIndex { last < $0.key } } ?? 0
    for path in (waiting[first...] + waiting[..<first]).prefix(PathConstants.peersPingedUnasked) {
      search(path, asksBack: false, now)
      schedule(path)
      lastUnasked = path.key
    }
    planUnasked(now)
  }
}
