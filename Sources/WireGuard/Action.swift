public import Wire

/// What a `Device` asks its owner to do. Actions are performed in their order.
public enum Action: Sendable {
  /// A handshake message or a cookie reply: one datagram to each of the addresses.
  case send(message: [UInt8], to: [SocketAddress])
  /// Packets under this session can be opened from now on. As `.current` it also becomes the one to seal with, and the former
  /// one goes on opening until it is retired.
  case install(Session, SessionKeys, as: SessionState)
  /// The session, installed as `.next`, becomes the one to seal with.
  case promote(Session)
  /// Forget the session and wipe its keys. If it was the one to seal with, the peer has none now.
  case retire(Session)
  /// Transport messages of the peer go to this address from now on.
  case setEndpoint(PeerID, SocketAddress)
  /// Seal these packets, in this order, with the peer's current session and send them. They are as they were handed in.
  case seal(PeerID, packets: [[UInt8]])
  /// Seal an empty packet with the peer's current session and send it.
  case sealKeepalive(PeerID)
  /// For people and status pages: a session is agreed in both directions.
  case handshakeCompleted(PeerID, Session)
  /// For people and status pages: no answer for 90 s. So many packets that waited were dropped. Traffic begins a new attempt.
  case handshakeAbandoned(PeerID, droppedPackets: Int)
}

/// What a session is used for when it is installed.
public enum SessionState: Sendable {
  /// We initiated: seal and open.
  case current
  /// We responded: open, and seal once the peer has used it.
  case next
}

/// What the data path tells a `Device`.
public enum Event: Sendable {
  /// `OpeningKey.confirmsSession` was true.
  case confirmed(SessionID, peer: PeerID)
  /// A packet of the peer authenticated that came from another address than its endpoint.
  case sourceChanged(PeerID, SocketAddress)
  /// `TrafficWords.recordSent` was true.
  case dataSent(PeerID, at: Instant)
  /// `TrafficWords.recordReceived` was true.
  case dataReceived(PeerID, at: Instant)
  /// `SealingKey.wantsRekey` or `OpeningKey.wantsRekey` was true.
  case wantsRekey(SessionID, peer: PeerID)
  /// There is a packet for the peer, and no session that may seal it: `unusable` is the current one, if there is one, whose
  /// `SealingKey.takeCounters` gave `nil`. The bytes come back in `Action.seal`.
  case packetWithoutSession(PeerID, packet: [UInt8], unusable: SessionID?)
}
