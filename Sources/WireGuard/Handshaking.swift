import Cryptography
import Wire

/// How handshakes begin, and what the three kinds of handshake message do.
extension Device {
  /// Two initiations for one change of a peer would be one too many; the peer's flood gate would drop the second.
  private static let leastGap: Duration = .milliseconds(100)

  func startHandshake(_ peer: Peer, _ reason: HandshakeReason, _ now: Instant, _ wallTime: WallTime) {
    peer.retransmissions = 0
    // The earliest moment for another initiation, from what was sent before.
    func earliest(after gap: Duration) -> Instant? {
      peer.lastHandshakeSent.flatMap { $0 + gap > now ? $0 + gap : nil }
    }
    switch reason {
    case .wanted:
      // The next attempt has its time and its jitter; traffic at just that moment must not take the jitter away.
      guard peer.timers.retransmitHandshake == nil else { return }
      if let earliest = earliest(after: ProtocolConstants.rekeyTimeout) {
        peer.timers.retransmitHandshake = earliest + jitter()
        return
      }
    case .peerChanged:
      if let earliest = earliest(after: Device.leastGap) {
        if peer.pending == nil || peer.addresses != peer.lastInitiationAddresses {
          peer.timers.retransmitHandshake = earliest
        }
        return
      }
    }
    sendInitiation(peer, now, wallTime)
  }

  /// Sends a new initiation, with everything in it fresh, to all addresses of the peer. The former one is void.
  func sendInitiation(_ peer: Peer, _ now: Instant, _ wallTime: WallTime) {
    peer.timers.retransmitHandshake = now + ProtocolConstants.rekeyTimeout + jitter()
    peer.timers.plannedHandshake = nil
    let addresses = peer.addresses
    // Without an address the attempt still runs, so that what waits for it does not wait for ever.
    guard !addresses.isEmpty else { return }
    abandonPending(peer)
    var timestamp = TAI64N(earliestTimestamp.map { max($0, wallTime) } ?? wallTime)
    if let last = peer.lastTimestampSent, timestamp <= last { timestamp = last.successor }
    let index = indices.allocate(for: .handshake(peer.id), random)
    guard
      let (handshake, initiation) = InitiatorHandshake.begin(
        privateKey, with: peer.handshake, localIndex: index, ephemeral: X25519PrivateKey(random: random),
        timestamp: timestamp)
    else {
      indices.release(index)
      return
    }
    peer.pending = handshake
    peer.lastTimestampSent = timestamp
    peer.lastHandshakeSent = now
    peer.lastInitiationAddresses = addresses
    actions.append(.send(message: peer.cookies.authenticate(initiation.unauthenticated, at: now), to: addresses))
  }

  func abandonPending(_ peer: Peer) {
    guard let pending = peer.pending else { return }
    indices.release(pending.localIndex)
    peer.pending = nil
  }

  func jitter() -> Duration {
    .nanoseconds(Int64(random.uniform(below: UInt64(ProtocolConstants.rekeyTimeoutJitter.nanoseconds))))
  }

  // MARK: Receiving

  func receiveInitiation(
    _ message: [UInt8], from source: SocketAddress, of sender: PeerID?, backlog: Int, _ now: Instant
  ) -> Peer? {
    guard let initiation = HandshakeInitiation(message),
      mayCompute(message, sender: initiation.sender, from: source, backlog: backlog, now),
      var handshake = ResponderHandshake(initiation, privateKey),
      let peer = peer(holding: handshake.initiator), peer.id == sender ?? peer.id,
      let timestamp = handshake.openTimestamp(peer.handshake)
    else { return nil }
    if let last = peer.lastTimestampReceived, timestamp <= last { return nil }
    if let last = peer.lastInitiationAccepted, now - last < ProtocolConstants.initiationFloodGap { return nil }
    let index = indices.allocate(for: .session(peer.id), random)
    guard
      let (response, keys) = handshake.respond(
        localIndex: index, ephemeral: X25519PrivateKey(random: random), presharedKey: peer.presharedKey)
    else {
      indices.release(index)
      return nil
    }
    peer.lastTimestampReceived = timestamp
    peer.lastInitiationAccepted = now
    peer.lastHandshakeSent = now
    let session = newSession(.responder, peer, local: index, remote: initiation.sender, now)
    let retired = peer.sessions.installNext(session)
    // The initiator may use the session the moment it has the response.
    actions.append(.install(session, keys, as: .next))
    retire(retired)
    setEndpoint(peer, source)
    derivedSession(peer, now)
    actions.append(.send(message: peer.cookies.authenticate(response.unauthenticated, at: now), to: [source]))
    return peer
  }

  func receiveResponse(
    _ message: [UInt8], from source: SocketAddress, of sender: PeerID?, backlog: Int, _ now: Instant,
    _ wallTime: WallTime
  ) -> Peer? {
    guard let response = HandshakeResponse(message),
      mayCompute(message, sender: response.sender, from: source, backlog: backlog, now),
      case .handshake(let id)? = indices[response.receiver], id == sender ?? id,
      let peer = peer(id), let pending = peer.pending,
      let keys = pending.finish(response, privateKey, presharedKey: peer.presharedKey)
    else { return nil }
    peer.pending = nil
    indices.turnIntoSession(pending.localIndex, of: id)
    let session = newSession(.initiator, peer, local: pending.localIndex, remote: response.sender, now)
    let retired = peer.sessions.installCurrent(session)
    actions.append(.install(session, keys, as: .current))
    retire(retired)
    setEndpoint(peer, source)
    derivedSession(peer, now)
    completedHandshake(peer, session, wallTime)
    // The responder may not use the session before it has received something under it.
    if !flushStaged(peer) { actions.append(.sealKeepalive(id)) }
    return peer
  }

  func receiveCookieReply(_ message: [UInt8], _ now: Instant) -> Peer? {
    guard let reply = CookieReply(message), let owner = indices[reply.receiver], let peer = peer(owner.peer) else {
      return nil
    }
    // The cookie serves the next message. Nothing is repeated and nobody has moved: whoever saw our message can answer so.
    _ = peer.cookies.accept(reply, at: now)
    return peer
  }

  /// The checks that cost little, before those that cost four scalar multiplications.
  private func mayCompute(
    _ message: [UInt8], sender: UInt32, from source: SocketAddress, backlog: Int, _ now: Instant
  ) -> Bool {
    guard checker.hasValidMAC1(message) else { return false }
    guard load.isUnderLoad(backlog: backlog, at: now) else { return true }
    guard checker.hasValidMAC2(message, from: source, at: now) else {
      let reply = checker.reply(to: message, sender: sender, from: source, at: now, random)
      actions.append(.send(message: reply.bytes, to: [source]))
      return false
    }
    return limiter.allows(source.ip, at: now)
  }

  // MARK: After a handshake

  /// Both ends can speak.
  func completedHandshake(_ peer: Peer, _ session: Session, _ wallTime: WallTime) {
    abandonPending(peer)
    peer.timers.retransmitHandshake = nil
    peer.retransmissions = 0
    peer.lastHandshakeCompleted = wallTime
    actions.append(.handshakeCompleted(peer.id, session))
  }

  private func derivedSession(_ peer: Peer, _ now: Instant) {
    peer.timers.zeroKeyMaterial = now + ProtocolConstants.zeroKeyMaterialAfter
  }

  func setEndpoint(_ peer: Peer, _ address: SocketAddress) {
    guard peer.endpoint != address else { return }
    peer.endpoint = address
    actions.append(.setEndpoint(peer.id, address))
  }

  /// `false` if nothing waited.
  func flushStaged(_ peer: Peer) -> Bool {
    guard !peer.staged.isEmpty else { return false }
    actions.append(.seal(peer.id, packets: peer.staged.takeAll()))
    return true
  }
}
