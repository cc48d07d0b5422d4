import Netmap
public import Wire

/// What comes from peers.
extension PathFinder {
  /// Whether a disco message names the key of a peer as its sender's. It need not be right.
  public func knowsSender(of message: [UInt8]) -> Bool {
    DiscoEnvelope.sender(of: message).map { peersByDiscoKey[$0] != nil } ?? false
  }

  /// A disco message, from whoever. Whatever it is, at worst nothing happens.
  public func receive(_ message: [UInt8], _ arrival: DiscoArrival, now: Instant) -> [PathAction] {
    guard let sender = DiscoEnvelope.sender(of: message), let keys = peersByDiscoKey[sender],
      let first = keys.first.flatMap({ peers[$0] }), let opened = DiscoEnvelope.open(message, in: first.box)
    else {
      statistics.refused += 1
      return []
    }
    switch (opened, arrival) {
    case (.ping(let id, let nodeKey, _), .datagram(let source)):
      // Several nodes may share a disco key; the one that is meant says so. What names this machine is its own, thrown back.
      let named = nodeKey.map { keys.contains($0) ? peers[$0] : nil } ?? (keys.count == 1 ? first : nil)
      guard let path = named, let source = hygiene.checked(source),
        path.limits.seenPings.insert(message, at: now)
      else { return refuse() }
      receivePing(id, path, from: source, now)
      schedule(path)
    case (.ping(let id, let nodeKey, _), .relayed(let key)):
      guard keys.contains(key), nodeKey ?? key == key, let path = peers[key],
        path.limits.seenPings.insert(message, at: now)
      else { return refuse() }
      guard path.limits.pongs.take(leaving: PathConstants.pongsKeptForWay, at: now) else { return limit() }
      actions.append(.sendRelayed(seal(.pong(id, source: PathFinder.relayAddress), path), to: key))
    case (.pong(let id, let observed), .datagram(let source)):
      guard let path = keys.lazy.compactMap({ self.peers[$0] }).first(where: { $0.pings[id] != nil }) else {
        return refuse()
      }
      receivePong(id, path, from: SocketAddress(source.ip.unmapped, port: source.port), observed: observed, now)
      schedule(path)
    case (.pong(let id, _), .relayed(let key)):
      guard keys.contains(key), let path = peers[key], let ping = path.pings[id], ping.address == nil else {
        return refuse()
      }
      path.pings[id] = nil
      answer(ping, path, via: nil, now)
      schedule(path)
    case (.callMeMaybe(let endpoints), .relayed(let key)):
      guard keys.contains(key), let path = peers[key], path.limits.seenCalls.insert(message, at: now) else {
        return refuse()
      }
      receiveCall(endpoints, path, now)
      schedule(path)
    case (.callMeMaybe, .datagram), (.unknown, _):
      // A call that does not come over the relay could send this machine's pings wherever somebody likes.
      return refuse()
    }
    return takeActions()
  }

  /// What a pong says that answers a ping which came over the relay: no address at all.
  static let relayAddress = SocketAddress(IPAddress(v4: 0x7f03_0328), port: 0)

  private func receivePing(_ id: TransactionID, _ path: PeerPath, from source: SocketAddress, _ now: Instant) {
    let inUse = path.best?.address
    path.candidates.learn(source, at: now, keeping: inUse)
    guard path.limits.pongs.take(leaving: source == inUse ? 0 : PathConstants.pongsKeptForWay, at: now) else {
      statistics.limited += 1
      return
    }
    actions.append(.send(seal(.pong(id, source: source), path), to: source))
    if !path.isTrusted(at: now) { pingBack(path, source, now) }
  }

  /// The peer's packets come through from there, so this machine's may get through to there. A ping that did not may have been too
  /// early for the peer's NAT.
  func pingBack(_ path: PeerPath, _ source: SocketAddress, _ now: Instant) {
    // A port that was opened for the peer, and is hit, has to show that it leads there as long as it is open.
    let isNeeded =
      source == path.best?.address || path.portProbing.map { $0.side == .open && $0.target == source } ?? false
    guard path.limits.mayPingBack(source, isBounded: !isNeeded, at: now) else { return }
    ping(path, source, .discovery, now, .back)
  }

  private func receivePong(
    _ id: TransactionID, _ path: PeerPath, from source: SocketAddress, observed: SocketAddress, _ now: Instant
  ) {
    // An address is a way only if it answers itself.
    guard let ping = path.pings[id], ping.address == source else {
      statistics.refused += 1
      return
    }
    path.pings[id] = nil
    actions.append(.proved(path.key, at: source))
    let latency = now - ping.sentAt
    var size = 0
    if case .probe(let probed) = ping.purpose { size = probed }
    if ping.purpose == .guess { path.candidates.learn(source, at: now, keeping: path.best?.address) }
    path.candidates.notePong(source, latency: latency, wireMTU: size)
    if let observed = hygiene.checked(observed) { actions.append(.observed(observed, by: path.key)) }
    consider(
      PathQuality(address: source, latency: latency, wireMTU: path.candidates[source]?.wireMTU ?? size),
      askedAt: ping.sentAt, path, now)
    path.probing?.note(size, of: ping.sentAt, at: source)
    answer(ping, path, via: source, now)
    tell(path, now)
  }

  private func consider(_ quality: PathQuality, askedAt: Instant, _ path: PeerPath, _ now: Instant) {
    if let until = path.candidates[quality.address]?.tooNarrowUntil, now < until { return }
    let isBest = path.best?.address == quality.address
    // While the best is in doubt the first that answers is taken, without further comparison.
    let isFirst = path.doubt.map { $0.sentAt <= askedAt } ?? false
    guard isBest || isFirst || !path.isTrusted(at: now) || quality.isBetter(than: path.best) else { return }
    path.best = quality
    path.handshakenAt = nil
    path.isSuspect = false
    path.trustedUntil = now + PathConstants.trust
    path.lastPong = now
    if path.probing?.address != quality.address {
      path.probing = MTUProbing(address: quality.address, nextAt: now)
    }
  }

  /// Tells whoever asked for the ping, once: its other pings are nobody's then.
  private func answer(_ ping: SentPing, _ path: PeerPath, via address: SocketAddress?, _ now: Instant) {
    guard case .asked(let token, _) = ping.purpose else { return }
    actions.append(.answered(token, via: address, latency: now - ping.sentAt))
    for (id, other) in path.pings where other.purpose == ping.purpose {
      path.pings[id] = SentPing(
        address: other.address, sentAt: other.sentAt, deadline: other.deadline, purpose: .discovery)
    }
  }

  private func receiveCall(_ endpoints: [SocketAddress], _ path: PeerPath, _ now: Instant) {
    guard path.limits.heededCallAt.map({ now - $0 >= PathConstants.callInterval }) ?? true else {
      statistics.limited += 1
      return
    }
    path.limits.heededCallAt = now
    let usable = hygiene.filter(endpoints, limit: PathConstants.calledCandidates)
    let news = Set(usable.filter { path.candidates[$0]?.wasCalled != true })
    if let best = path.best { path.candidates.keepBeyondCall(best.address, at: now) }
    path.candidates.setCalled(usable)
    dropVanishedBest(path)
    // Its old address is not one of its new ones: whether it still gets there has to show.
    if let best = path.best, !usable.isEmpty, !usable.contains(best.address) { suspect(path, now) }
    if let best = path.best, !path.isTrusted(at: now) { pingBack(path, best.address, now) }
    // Nor does it say much that it is one of them: where it was a while ago is told, too.
    doubt(path, now)
    let isFollowed = !path.isTrusted(at: now) && !news.isEmpty
    search(path, asksBack: false, now) {
      news.contains($0) && !(isFollowed && path.limits.wasPinged($0, within: PathConstants.calledAgain, at: now))
    }
    if isFollowed { path.calledAgain = (news, now + PathConstants.calledAgain) }
    callBack(path, now)
    planPortProbing(path, now)
    tell(path, now)
  }

  /// Puts the best path to the test, unless it has answered a moment ago. An address that answers before it does is better.
  ///
  /// - Returns: whether that begins now.
  @discardableResult
  func doubt(_ path: PeerPath, _ now: Instant) -> Bool {
    guard let best = path.best, !path.isSuspect, path.doubt == nil,
      path.lastPong.map({ now - $0 >= PathConstants.silence }) ?? true
    else { return false }
    ping(path, best.address, .doubt, now)
    return true
  }

  /// The best path is not relied on until something answers.
  func suspect(_ path: PeerPath, _ now: Instant) {
    path.isSuspect = true
    tell(path, now)
  }

  private func refuse() -> [PathAction] {
    statistics.refused += 1
    return takeActions()
  }

  private func limit() -> [PathAction] {
    statistics.limited += 1
    return takeActions()
  }
}
