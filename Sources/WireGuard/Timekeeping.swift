import Wire

/// What the data path's events and the five timers do.
extension Device {
  func handle(_ event: Event, _ peer: Peer, _ now: Instant, _ wallTime: WallTime) {
    switch event {
    case .confirmed(let id, _):
      guard let (session, retired) = peer.sessions.promote(id) else { return }
      actions.append(.promote(session))
      retire(retired)
      completedHandshake(peer, session, wallTime)
      _ = flushStaged(peer)

    case .sourceChanged(_, let address):
      setEndpoint(peer, address)

    case .dataSent(_, let time):
      if peer.timers.newHandshake == nil {
        peer.timers.newHandshake = time + ProtocolConstants.newHandshakeTimeout + jitter()
      }

    case .dataReceived(_, let time):
      if peer.timers.sendKeepalive == nil {
        peer.timers.sendKeepalive = time + ProtocolConstants.keepaliveTimeout
      }

    case .wantsRekey(let id, _):
      // One that was replaced in the meantime has its successor.
      guard peer.sessions.current?.id == id else { return }
      startHandshake(peer, .wanted, now, wallTime)

    case .packetWithoutSession(_, let packet, let unusable):
      peer.staged.append(packet)
      // The event may have crossed the installation of a session.
      if let current = peer.sessions.current, current.isUsable(at: now), current.id != unusable {
        _ = flushStaged(peer)
      } else {
        startHandshake(peer, .wanted, now, wallTime)
      }
    }
  }

  func runTimers(_ peer: Peer, _ now: Instant, _ wallTime: WallTime, _ traffic: (PeerID) -> Traffic) {
    func isDue(_ timer: Instant?) -> Bool { timer.map { $0 <= now } ?? false }
    let timers = peer.timers
    if isDue(timers.zeroKeyMaterial) { zeroKeyMaterial(peer) }
    if isDue(timers.retransmitHandshake) { retransmitHandshake(peer, now, wallTime) }
    if isDue(timers.plannedHandshake) { plannedHandshake(peer, now, wallTime) }
    guard isDue(timers.sendKeepalive) || isDue(timers.newHandshake) || isDue(timers.persistentKeepalive) else { return }
    let traffic = traffic(peer.id)
    if isDue(timers.newHandshake) { newHandshake(peer, traffic, now, wallTime) }
    if isDue(timers.sendKeepalive) { sendKeepalive(peer, traffic, now) }
    if isDue(timers.persistentKeepalive) { persistentKeepalive(peer, traffic, now, wallTime) }
  }

  private func retransmitHandshake(_ peer: Peer, _ now: Instant, _ wallTime: WallTime) {
    guard peer.retransmissions <= ProtocolConstants.maximumRetransmissions else {
      abandonPending(peer)
      peer.timers.retransmitHandshake = nil
      if peer.timers.zeroKeyMaterial == nil {
        peer.timers.zeroKeyMaterial = now + ProtocolConstants.zeroKeyMaterialAfter
      }
      actions.append(.handshakeAbandoned(peer.id, droppedPackets: peer.staged.takeAll().count))
      return
    }
    peer.retransmissions += 1
    sendInitiation(peer, now, wallTime)
  }

  /// A keepalive answers everything that came before it, so one is enough however much came while the timer ran.
  private func sendKeepalive(_ peer: Peer, _ traffic: Traffic, _ now: Instant) {
    peer.timers.sendKeepalive = nil
    guard let since = traffic.unansweredSince else { return }
    let due = since + ProtocolConstants.keepaliveTimeout
    guard due <= now else {
      peer.timers.sendKeepalive = due
      return
    }
    if peer.sessions.current?.isUsable(at: now) == true { actions.append(.sealKeepalive(peer.id)) }
  }

  private func newHandshake(_ peer: Peer, _ traffic: Traffic, _ now: Instant, _ wallTime: WallTime) {
    peer.timers.newHandshake = nil
    guard let since = traffic.unheardSince else { return }
    guard since + ProtocolConstants.newHandshakeTimeout <= now else {
      peer.timers.newHandshake = since + ProtocolConstants.newHandshakeTimeout + jitter()
      return
    }
    startHandshake(peer, .wanted, now, wallTime)
  }

  private func persistentKeepalive(_ peer: Peer, _ traffic: Traffic, _ now: Instant, _ wallTime: WallTime) {
    guard let interval = peer.keepaliveInterval else {
      peer.timers.persistentKeepalive = nil
      return
    }
    let last = [traffic.lastSent, traffic.lastReceived].compactMap { $0 }.max()
    if let last, last + interval > now {
      peer.timers.persistentKeepalive = last + interval
      return
    }
    peer.timers.persistentKeepalive = now + interval
    if peer.sessions.current?.isUsable(at: now) == true {
      actions.append(.sealKeepalive(peer.id))
    } else if peer.timers.retransmitHandshake == nil {
      startHandshake(peer, .wanted, now, wallTime)
    }
  }

  private func plannedHandshake(_ peer: Peer, _ now: Instant, _ wallTime: WallTime) {
    peer.timers.plannedHandshake = nil
    // It may have begun one itself meanwhile.
    if peer.sessions.current?.isUsable(at: now) != true { startHandshake(peer, .wanted, now, wallTime) }
  }

  private func zeroKeyMaterial(_ peer: Peer) {
    peer.timers.zeroKeyMaterial = nil
    retire(peer.sessions.removeAll())
    // A handshake that is being tried has fresh keys.
    if peer.timers.retransmitHandshake == nil { abandonPending(peer) }
  }
}
