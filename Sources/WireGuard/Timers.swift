import Wire

/// The five deadlines of a peer (WireGuard §6), and one for a handshake that was planned. `nil` is a timer that does not run.
///
/// Packets do not move deadlines: `TrafficWords` remembers what they would have done, and it is read when a timer is due.
struct Timers: Sendable {
  /// The handshake gets no answer: repeat or abandon it.
  var retransmitHandshake: Instant?
  /// Data came and nothing was sent since: answer with a keepalive.
  var sendKeepalive: Instant?
  /// Data was sent and nothing came since: the peer has lost the session, or is gone.
  var newHandshake: Instant?
  /// No session was agreed for long: wipe what is left.
  var zeroKeyMaterial: Instant?
  /// Keep the middleboxes' state alive, if the peer is configured so.
  var persistentKeepalive: Instant?
  /// Somebody wants a session from then on, whether or not there is traffic.
  var plannedHandshake: Instant?

  var next: Instant? {
    [retransmitHandshake, sendKeepalive, newHandshake, zeroKeyMaterial, persistentKeepalive, plannedHandshake]
      .compactMap { $0 }.min()
  }
}
