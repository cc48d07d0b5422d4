public import Cryptography
public import Wire

/// Why a peer was not accepted.
public enum WireGuardError: Error, Equatable, Sendable {
  /// The key is the device's own.
  case ownKey(X25519PublicKey)
  /// Every secret agreed with this key would be zero.
  case weakKey(X25519PublicKey)
  /// The key belongs to a peer that is there already.
  case duplicatePeer(X25519PublicKey)
  /// The preshared key does not have 32 bytes.
  case presharedKeyLength(Int)
}

extension WireGuardError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .ownKey(let key): "\(key) is this machine's own WireGuard key: remove it from the list of peers"
    case .weakKey(let key): "\(key) is not a usable WireGuard key (small order): ask the peer for its real one"
    case .duplicatePeer(let key):
      "there is a peer with the key \(key) already: change that one instead of adding another"
    case .presharedKeyLength(let count):
      "a WireGuard preshared key has 32 bytes, this one has \(count): make one with `wg genpsk`"
    }
  }
}

/// The WireGuard protocol of one machine, without I/O: handshakes, sessions, timers.
///
/// It is handed messages, events of the data path, and the time, and gives back actions in order. It never sees a transport
/// message: sealing, opening and replay windows are the data path's (`SealingKey`, `OpeningKey`, `TrafficWords`), and `Tunnel`
/// is the two together. Not to be used from two tasks at once.
public final class Device {
  public struct Configuration: Sendable {
    /// Above this many handshake messages a second, initiators must prove their address.
    public var handshakesPerSecond = 512
    /// With this many handshake messages waiting, too.
    public var handshakeBacklog = 128

    /// What initiations say of the time is not before this: peers may have seen a clock that was ahead.
    public var earliestTimestamp: WallTime?

    public init() {}
  }

  public let publicKey: X25519PublicKey
  /// Which peer an address belongs to. Follows `addPeer`, `updatePeer` and `removePeer`.
  public internal(set) var allowedIPs = AllowedIPs()

  let privateKey: X25519PrivateKey
  let earliestTimestamp: WallTime?
  let random: any RandomSource
  var checker: CookieChecker
  var load: LoadMeter
  var limiter = RateLimiter()
  var indices = IndexTable()
  var actions: [Action] = []
  private var peers: [PeerID: Peer] = [:]
  private var peersByKey: [X25519PublicKey: Peer] = [:]
  private var deadlines = DeadlineQueue<PeerID>()
  private var lastPeerNumber: UInt32 = 0
  private var lastSessionNumber: UInt64 = 0

  public init(
    privateKey: X25519PrivateKey, random: any RandomSource, configuration: Configuration = Configuration()
  ) {
    self.privateKey = privateKey
    self.publicKey = privateKey.publicKey
    self.random = random
    self.earliestTimestamp = configuration.earliestTimestamp
    self.checker = CookieChecker(privateKey.publicKey)
    self.load = LoadMeter(
      messagesPerSecond: configuration.handshakesPerSecond, backlogLimit: configuration.handshakeBacklog)
  }

  // MARK: Peers

  public func peer(_ key: X25519PublicKey) -> PeerID? { peersByKey[key]?.id }

  public var peerIDs: [PeerID] { peers.keys.sorted() }

  /// Adds a peer. No handshake begins by that, except for a persistent keepalive, whose timer is due at once.
  public func addPeer(_ configuration: PeerConfiguration, now: Instant) throws(WireGuardError) -> PeerID {
    let key = configuration.publicKey
    guard key != publicKey else { throw .ownKey(key) }
    guard peersByKey[key] == nil else { throw .duplicatePeer(key) }
    try Device.check(configuration)
    guard let handshake = HandshakePeer(key, local: privateKey) else { throw .weakKey(key) }
    lastPeerNumber += 1
    let peer = Peer(PeerID(lastPeerNumber), configuration, handshake)
    peers[peer.id] = peer
    peersByKey[key] = peer
    for prefix in configuration.allowedIPs { allowedIPs.insert(prefix, for: peer.id) }
    if peer.keepaliveInterval != nil { peer.timers.persistentKeepalive = now }
    schedule(peer)
    return peer.id
  }

  /// Replaces what is known of a peer; its sessions go on. A new preshared key counts from the next handshake message.
  ///
  /// A handshake that waits for its answer is repeated at once if there is a new candidate.
  public func updatePeer(
    _ id: PeerID, _ configuration: PeerConfiguration, now: Instant, wallTime: WallTime
  ) throws(WireGuardError) -> [Action] {
    guard let peer = peers[id] else { return [] }
    precondition(
      configuration.publicKey == peer.configuration.publicKey, "a peer is its key: remove it and add another")
    try Device.check(configuration)
    let former = peer.configuration
    peer.configuration = configuration
    if configuration.allowedIPs != former.allowedIPs {
      allowedIPs.remove(former.allowedIPs, of: id)
      for prefix in configuration.allowedIPs { allowedIPs.insert(prefix, for: id) }
    }
    if configuration.persistentKeepalive != former.persistentKeepalive {
      peer.timers.persistentKeepalive = peer.keepaliveInterval == nil ? nil : now
    }
    let isTrying = peer.timers.retransmitHandshake != nil
    if isTrying, !Set(configuration.candidates).isSubset(of: former.candidates) {
      startHandshake(peer, .peerChanged, now, wallTime)
    }
    return finish(peer)
  }

  /// Forgets the peer. Its sessions are retired, and what waited for one is dropped.
  public func removePeer(_ id: PeerID) -> [Action] {
    guard let peer = peers.removeValue(forKey: id) else { return [] }
    peersByKey[peer.configuration.publicKey] = nil
    allowedIPs.remove(peer.configuration.allowedIPs, of: id)
    abandonPending(peer)
    retire(peer.sessions.removeAll())
    return takeActions()
  }

  public func status(of id: PeerID, now: Instant) -> PeerStatus? {
    guard let peer = peers[id] else { return nil }
    let session = peer.sessions.current.flatMap { $0.isUsable(at: now) ? $0 : nil }
    return PeerStatus(
      publicKey: peer.configuration.publicKey,
      state: session != nil ? .established : peer.timers.retransmitHandshake != nil ? .handshaking : .idle,
      endpoint: peer.endpoint, lastHandshake: peer.lastHandshakeCompleted, session: session)
  }

  // MARK: What happens

  /// Why a handshake is wanted now.
  public enum HandshakeReason: Sendable {
    /// There is something to say. Nothing happens within 5 s of the last handshake message to the peer; the wish is kept.
    case wanted
    /// The peer's record or addresses changed: at once, whatever was sent before to the old ones.
    case peerChanged
  }

  /// Begins a handshake with the peer, whether or not there is a session.
  public func initiate(
    _ id: PeerID, _ reason: HandshakeReason = .wanted, now: Instant, wallTime: WallTime
  ) -> [Action] {
    guard let peer = peers[id] else { return [] }
    startHandshake(peer, reason, now, wallTime)
    return finish(peer)
  }

  /// Begins a handshake with the peer at that time, unless one begins before, or there is a session then.
  public func planHandshake(with id: PeerID, at time: Instant) {
    guard let peer = peers[id] else { return }
    peer.timers.plannedHandshake = time
    schedule(peer)
  }

  /// A datagram that is not a transport message. Whatever it is, at worst nothing happens.
  ///
  /// - Parameters:
  ///   - sender: whose it must be, where somebody says so that need not be believed; nothing comes of anybody else's.
  ///   - backlog: how many more handshake messages wait behind this one.
  public func receive(
    _ message: [UInt8], from source: SocketAddress, of sender: PeerID? = nil, backlog: Int = 0, now: Instant,
    wallTime: WallTime
  ) -> [Action] {
    let peer: Peer?
    switch (MessageType.of(message), message.count) {
    case (MessageType.initiation, HandshakeInitiation.length):
      peer = receiveInitiation(message, from: source, of: sender, backlog: backlog, now)
    case (MessageType.response, HandshakeResponse.length):
      peer = receiveResponse(message, from: source, of: sender, backlog: backlog, now, wallTime)
    case (MessageType.cookieReply, CookieReply.length):
      peer = receiveCookieReply(message, now)
    default:
      peer = nil
    }
    return peer.map(finish) ?? takeActions()
  }

  /// An event of the data path. One that came too late, for a peer or session that is gone, does nothing.
  public func handle(_ event: Event, now: Instant, wallTime: WallTime) -> [Action] {
    let id: PeerID
    switch event {
    case .confirmed(_, let peer), .sourceChanged(let peer, _), .dataSent(let peer, _), .dataReceived(let peer, _),
      .wantsRekey(_, let peer), .packetWithoutSession(let peer, _, _):
      id = peer
    }
    guard let peer = peers[id] else { return [] }
    handle(event, peer, now, wallTime)
    return finish(peer)
  }

  /// Runs the timers that are due. `traffic` is `TrafficWords.observe` of the peer.
  public func advance(now: Instant, wallTime: WallTime, traffic: (PeerID) -> Traffic) -> [Action] {
    while let entry = deadlines.first, entry.deadline <= now {
      deadlines.removeFirst()
      guard let peer = peers[entry.element], peer.queuedDeadline == entry.deadline else { continue }
      peer.queuedDeadline = nil
      runTimers(peer, now, wallTime, traffic)
      schedule(peer)
    }
    return takeActions()
  }

  /// When to call `advance` next. Sometimes there is nothing to do then.
  public var nextDeadline: Instant? {
    while let entry = deadlines.first {
      if let peer = peers[entry.element], peer.queuedDeadline == entry.deadline {
        guard peer.timers.next == entry.deadline else {
          deadlines.removeFirst()
          peer.queuedDeadline = nil
          schedule(peer)
          continue
        }
        return entry.deadline
      }
      deadlines.removeFirst()
    }
    return nil
  }

  // MARK: For the rest of the device

  func peer(_ id: PeerID) -> Peer? { peers[id] }

  func peer(holding key: X25519PublicKey) -> Peer? { peersByKey[key] }

  func newSession(_ role: Session.Role, _ peer: Peer, local: UInt32, remote: UInt32, _ now: Instant) -> Session {
    lastSessionNumber += 1
    return Session(
      id: SessionID(lastSessionNumber), peer: peer.id, role: role, localIndex: local, remoteIndex: remote,
      establishedAt: now)
  }

  func retire(_ sessions: [Session]) {
    for session in sessions {
      indices.release(session.localIndex)
      actions.append(.retire(session))
    }
  }

  private func finish(_ peer: Peer) -> [Action] {
    schedule(peer)
    return takeActions()
  }

  private func takeActions() -> [Action] {
    defer { actions = [] }
    return actions
  }

  private func schedule(_ peer: Peer) {
    guard let next = peer.timers.next, peer.queuedDeadline.map({ next < $0 }) ?? true else { return }
    peer.queuedDeadline = next
    deadlines.insert(next, peer.id)
  }

  private static func check(_ configuration: PeerConfiguration) throws(WireGuardError) {
    if let count = configuration.presharedKey?.count, count != 32 { throw .presharedKeyLength(count) }
  }
}
