public import Cryptography
public import Netmap
public import Wire

/// Finds and keeps the ways to this machine's peers, without I/O: `reach.md`, 5, on top of `traversal.md`, 7 to 9.
///
/// It is handed disco messages, what the data path notices, and the time, and gives back actions in order. Only a pong makes an
/// address a path: no packet of a peer with a disco key goes to an address that did not answer. Peers without a disco key are not
/// its business. Not to be used from two tasks at once.
public final class PathFinder {
  public struct Statistics: Hashable, Sendable {
    /// Messages of nobody who is known, forged ones, and malformed ones.
    public var refused: UInt64 = 0
    /// Pings, pongs and calls that were over a rate.
    public var limited: UInt64 = 0
  }

  public internal(set) var statistics = Statistics()

  let nodeKey: X25519PublicKey
  let discoKey: X25519PrivateKey
  let random: any RandomSource
  var hygiene = EndpointHygiene(meshPrefixes: [])
  var peers: [X25519PublicKey: PeerPath] = [:]
  var peersByDiscoKey: [X25519PublicKey: [X25519PublicKey]] = [:]
  var ownEndpoints: [SocketAddress] = []
  /// When others last said where this machine is.
  var ownEndpointsAt: Instant?
  /// When the relays were last asked whether they are there.
  var relaysAskedAt: Instant?
  public internal(set) var hasRelay = false
  /// Whether ports are guessed where nothing else helps.
  public var probesPorts = false
  var ownMapping: NATMapping?
  var ownPortIsMapped = false
  var actions: [PathAction] = []
  /// Of everybody in the netmap, with a disco key or without, and of who was there a while ago.
  private var limits: [X25519PublicKey: PeerLimits] = [:]
  var pingBudget = RateWindow(limit: PathConstants.pingsPerSecond)
  /// Without a relay: when all who were not asked are pinged again.
  var unaskedAt: Instant?
  /// Who was the last of them.
  var lastUnasked: X25519PublicKey?
  private var deadlines = DeadlineQueue<X25519PublicKey>()
  private var lastToken: UInt64 = 0

  public init(nodeKey: X25519PublicKey, discoKey: X25519PrivateKey, random: any RandomSource) {
    self.nodeKey = nodeKey
    self.discoKey = discoKey
    self.random = random
  }

  // MARK: What is known from elsewhere

  /// Peers and their addresses. Ways that are known stay, unless what they rest on is gone.
  public func apply(_ netmap: Netmap, now: Instant) -> [PathAction] {
    hygiene.meshPrefixes = netmap.node.meshPrefixes
    var wanted: Set<X25519PublicKey> = []
    var unasked = 0
    updateLimits(netmap, now)
    for peer in netmap.peers {
      guard let discoKey = peer.discoKey, let box = box(for: peer, discoKey), let limits = limits[peer.key] else {
        continue
      }
      wanted.insert(peer.key)
      let path = peers[peer.key] ?? PeerPath(key: peer.key, discoKey: discoKey, box: box, limits: limits)
      path.discoKey = discoKey
      path.box = box
      path.natMapping = peer.natMapping
      path.hasMappedPort = peer.hasMappedPort
      let isNew = peers.updateValue(path, forKey: peer.key) == nil
      let endpoints = hygiene.filter(peer.endpoints, limit: PathConstants.recordCandidates)
      let hasNews = endpoints.contains { path.candidates[$0]?.recordIndex == nil }
      path.candidates.setRecord(endpoints)
      dropVanishedBest(path)
      if hasNews, path.heartbeatAt != nil, !path.isTrusted(at: now) {
        search(path, asksBack: true, now)
      } else if hasNews, !hasRelay, unasked < PathConstants.peersPingedUnasked {
        // Nobody carries a call, so that new addresses are one.
        unasked += 1
        search(path, asksBack: false, now)
      }
      if isNew || hasNews { tell(path, now) }
      schedule(path)
    }
    for path in sortedPeers where !wanted.contains(path.key) {
      endPortProbing(path)
      peers[path.key] = nil
    }
    peersByDiscoKey = Dictionary(grouping: peers.keys.sorted()) { [peers] in peers[$0]?.discoKey ?? $0 }
    planUnasked(now)
    return takeActions()
  }

  /// From now on nothing is sent there, whoever names it: what lies behind this host's tunnels, and broadcast addresses. What had been
  /// ruled out before and is no more comes back with the next netmap.
  public func setHostBounds(_ bounds: HostBounds, now: Instant) -> [PathAction] {
    guard bounds != hygiene.host else { return [] }
    hygiene.host = bounds
    ownEndpoints = hygiene.filter(ownEndpoints, limit: PathConstants.calledCandidates)
    for path in sortedPeers {
      path.candidates.removeUnless { hygiene.checked($0) != nil }
      guard let best = path.best, hygiene.checked(best.address) == nil else { continue }
      path.clearBest()
      search(path, asksBack: true, now)
      tell(path, now)
      schedule(path)
    }
    return takeActions()
  }

  /// Whether a relay is connected.
  public func setHasRelay(_ hasRelay: Bool, now: Instant) -> [PathAction] {
    guard hasRelay != self.hasRelay else { return [] }
    self.hasRelay = hasRelay
    planUnasked(now)
    for path in sortedPeers {
      tell(path, now)
      // What was called over a connection that broke may never have arrived.
      if hasRelay {
        path.forgetCalls()
      }
      if hasRelay, path.heartbeatAt != nil, !path.isTrusted(at: now) {
        search(path, asksBack: true, now)
      }
      schedule(path)
    }
    return takeActions()
  }

  /// Where this machine can be reached. Who was sought lately, and to whom there is no way for all that, is called again if there is
  /// something new to tell.
  public func setOwnEndpoints(
    _ endpoints: [SocketAddress], _ source: OwnEndpointsSource = .foundOut, now: Instant
  ) -> [PathAction] {
    let former = Set(ownEndpoints)
    ownEndpoints = hygiene.filter(endpoints, limit: PathConstants.calledCandidates)
    if source == .foundOut { ownEndpointsAt = now }
    let hasNews = ownEndpoints.contains { !former.contains($0) }
    for path in sortedPeers {
      if path.owesCall {
        guard source != .noted else { continue }
      } else {
        guard hasNews, !path.isTrusted(at: now), path.wasSoughtLately(at: now) else { continue }
      }
      path.owesCall = false
      sendCall(path, now)
      schedule(path)
    }
    return takeActions()
  }

  /// The host's addresses changed, or it slept: no way of before counts, and the peers are told at once.
  public func networkChanged(now: Instant) -> [PathAction] {
    ownEndpointsAt = nil
    for path in sortedPeers {
      let isInUse = path.heartbeatAt != nil || path.best != nil
      path.clearBest()
      path.candidates.forgetResults()
      path.limits.forgetPings()
      path.pings = [:]
      path.portProbingAt = nil
      endPortProbing(path)
      if isInUse {
        path.forgetCalls()
        search(path, asksBack: true, now)
      }
      tell(path, now)
      schedule(path)
    }
    return takeActions()
  }

  // MARK: What the data path notices

  /// Something is sent to the peer, or has to be: the first time, and whenever `traffic` had been looked at before.
  public func wantsToSend(to key: X25519PublicKey, now: Instant) -> [PathAction] {
    guard let path = peers[key] else { return [] }
    activate(path, now)
    schedule(path)
    return takeActions()
  }

  /// A packet of the peer authenticated that came from another address than the one in use. It may have no other any more, and then
  /// nothing gets to the one in use, though something comes from the peer.
  public func heard(_ key: X25519PublicKey, from source: SocketAddress, now: Instant) -> [PathAction] {
    guard let path = peers[key], let source = hygiene.checked(source), source != path.best?.address else { return [] }
    path.candidates.learn(source, at: now, keeping: path.best?.address)
    doubt(path, now)
    pingBack(path, source, now)
    schedule(path)
    return takeActions()
  }

  /// A packet of the peer came through a relay. A peer that relies on the direct path sends none there: unless the path has answered a
  /// moment ago, packets go both ways until it does.
  public func heardOverRelay(_ key: X25519PublicKey, now: Instant) -> [PathAction] {
    guard let path = peers[key], let best = path.best, path.isTrusted(at: now),
      let lastPong = path.lastPong, now - lastPong >= PathConstants.silence
    else { return [] }
    suspect(path, now)
    ping(path, best.address, .discovery, now)
    schedule(path)
    return takeActions()
  }

  // MARK: For people

  /// Pings the peer over the best path, and over all others and the relay while there is no trusted one. The first answer within
  /// the limit is told, also one to a ping that is on its way already.
  public func ping(
    _ key: X25519PublicKey, within limit: Duration = PathConstants.pingTimeout, now: Instant
  ) -> (PingToken, [PathAction])? {
    guard let path = peers[key] else { return nil }
    lastToken += 1
    let token = PingToken(number: lastToken)
    let purpose = SentPing.Purpose.asked(token, within: limit)
    if let best = path.best { ping(path, best.address, purpose, now) }
    if !path.isTrusted(at: now) {
      path.ask(purpose)
      for address in path.candidates.usable(at: now) where path.limits.mayPing(address, isUrgent: false, at: now) {
        ping(path, address, purpose, now)
      }
      if hasRelay { pingThroughRelay(path, purpose, now) }
    }
    activate(path, now)
    schedule(path)
    return (token, takeActions())
  }

  /// The way to the peer as it is used now; `nil` for a peer that is not known here.
  public func route(to key: X25519PublicKey) -> Route? { peers[key]?.route }

  /// Whether packets are sent to anybody, as far as ways are kept for them.
  public var isActive: Bool { peers.values.contains { $0.heartbeatAt != nil } }

  /// Latency of the best path, if there is one.
  public func latency(to key: X25519PublicKey) -> Duration? { peers[key]?.best?.latency }

  // MARK: Time

  /// Does what is due. `traffic` gives when a packet was last sent to a peer, and when one last came; asking for it makes the next
  /// packet sent call `wantsToSend`.
  public func advance(
    now: Instant, traffic: (X25519PublicKey) -> (lastSent: Instant?, lastReceived: Instant?)
  ) -> [PathAction] {
    // A peer whose deadline is not over after its turn has its next turn in the next call.
    var due: [DeadlineQueue<X25519PublicKey>.Entry] = []
    while let entry = deadlines.first, entry.deadline <= now {
      deadlines.removeFirst()
      due.append(entry)
    }
    for entry in due {
      guard let path = peers[entry.element], path.queuedDeadline == entry.deadline else { continue }
      path.queuedDeadline = nil
      runTimers(path, now, traffic)
      schedule(path)
    }
    if let due = unaskedAt, due <= now { pingUnasked(now) }
    return takeActions()
  }

  /// When to call `advance` next. Sometimes there is nothing to do then.
  public var nextDeadline: Instant? {
    [deadlines.first?.deadline, unaskedAt].compactMap { $0 }.min()
  }

  // MARK: For the rest of the finder

  /// In one order, whatever the hash seed: a seed reproduces a run.
  var sortedPeers: [PeerPath] { peers.values.sorted { $0.key < $1.key } }

  func schedule(_ path: PeerPath) {
    guard let next = path.nextDeadline, path.queuedDeadline.map({ next < $0 }) ?? true else { return }
    path.queuedDeadline = next
    deadlines.insert(next, path.key)
  }

  func takeActions() -> [PathAction] {
    defer { actions = [] }
    return actions
  }

  private func updateLimits(_ netmap: Netmap, _ now: Instant) {
    let present = Set(netmap.peers.map(\.key))
    for key in present {
      let limits = limits[key] ?? PeerLimits()
      limits.leftAt = nil
      self.limits[key] = limits
    }
    for (key, limits) in limits where !present.contains(key) {
      let leftAt = limits.leftAt ?? now
      limits.leftAt = leftAt
      if now - leftAt >= PathConstants.limitsMemory { self.limits[key] = nil }
    }
  }

  private func box(for peer: Peer, _ discoKey: X25519PublicKey) -> NaClBox? {
    if let path = peers[peer.key], path.discoKey == discoKey { return path.box }
    return NaClBox(self.discoKey, discoKey)
  }
}
