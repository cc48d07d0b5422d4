import Wire

/// What one peer can make this machine do, counted by its node key. It outlives the ways to the peer: whoever hides a disco key and shows
/// it again, or lets addresses come and go, has no more for it (`reach.md` 5, "Hygiene").
final class PeerLimits {
  var pings = RateWindow(limit: PathConstants.pingsPerSecondAndPeer)
  var pongs = RateWindow(limit: PathConstants.pongsPerSecondAndPeer)
  var heededCallAt: Instant?
  var seenPings = SeenMessages(count: PathConstants.seenPings, lifetime: PathConstants.seenPingsLifetime)
  /// Also the calls that this machine sent: the key that seals is the same for both.
  var seenCalls = SeenMessages(count: PathConstants.seenCalls, lifetime: PathConstants.seenCallsLifetime)
  var portsProbedAt: Instant?
  /// When the peer was found missing in the netmap.
  var leftAt: Instant?

  private struct PingTimes {
    var last: Instant
    /// The last that was sent though another one had been sent a moment before.
    var lastUrgent: Instant?
    /// The last two that were sent since something came from there.
    var lastBack: Instant?
    var formerBack: Instant?
  }

  /// Why an address is pinged, as far as its bounds depend on that.
  enum Reason {
    case search
    /// Something came from there.
    case back
    case inUse
  }

  /// When addresses were last pinged that were pinged lately, whether or not they are candidates still.
  private var pinged: [SocketAddress: PingTimes] = [:]

  /// Whether a way may be looked for at an address: once in five seconds, and once more if there is a reason. No more addresses than
  /// there can be candidates are pinged in that time, however often those are replaced.
  func mayPing(_ address: SocketAddress, isUrgent: Bool, at now: Instant) -> Bool {
    guard let times = pinged[address] else { return hasRoomForAddress(at: now) }
    if now - times.last >= PathConstants.pingInterval { return true }
    return isUrgent && times.lastUrgent.map { now - $0 >= PathConstants.pingInterval } ?? true
  }

  func wasPinged(_ address: SocketAddress, within time: Duration, at now: Instant) -> Bool {
    pinged[address].map { now - $0.last < time } ?? false
  }

  /// Whether an address may be pinged because something came from there: twice in five seconds, as the first ping may be lost. Pings for
  /// other reasons do not count, as they may have been too early for the peer's NAT.
  ///
  /// - Parameter isBounded: `false` for the way in use, and for ports that were opened for the peer. There `pingBackInterval` alone holds.
  func mayPingBack(_ address: SocketAddress, isBounded: Bool, at now: Instant) -> Bool {
    guard let times = pinged[address] else { return !isBounded || hasRoomForAddress(at: now) }
    guard times.lastBack.map({ now - $0 >= PathConstants.pingBackInterval }) ?? true else { return false }
    return !isBounded || times.formerBack.map { now - $0 >= PathConstants.pingInterval } ?? true
  }

  func notePing(_ address: SocketAddress, _ reason: Reason, at now: Instant) {
    var times = pinged[address] ?? PingTimes(last: now - PathConstants.pingInterval)
    switch reason {
    case .search: if now - times.last < PathConstants.pingInterval { times.lastUrgent = now }
    case .back: (times.formerBack, times.lastBack) = (times.lastBack, now)
    case .inUse: break
    }
    times.last = now
    pinged[address] = times
  }

  /// This machine is elsewhere now: what it sent from before opened nothing here.
  func forgetPings() { pinged = [:] }

  private func hasRoomForAddress(at now: Instant) -> Bool {
    if pinged.count >= PathConstants.candidates {
      pinged = pinged.filter { now - $0.value.last < PathConstants.pingInterval }
    }
    return pinged.count < PathConstants.candidates
  }
}
