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
    /// The last that was sent since something came from there.
    var lastBack: Instant?
  }

  /// When addresses were last pinged that were pinged lately, whether or not they are candidates still.
  private var pinged: [SocketAddress: PingTimes] = [:]

  /// Whether an address that is not in use may be pinged: once in five seconds, and once more if there is a reason. No more addresses than
  /// there can be candidates are pinged in that time, however often those are replaced.
  func mayPing(_ address: SocketAddress, isUrgent: Bool, at now: Instant) -> Bool {
    guard let times = pinged[address] else {
      forgetPings(before: now - PathConstants.pingInterval)
      return pinged.count < PathConstants.candidates
    }
    if now - times.last >= PathConstants.pingInterval { return true }
    return isUrgent && times.lastUrgent.map { now - $0 >= PathConstants.pingInterval } ?? true
  }

  func notePing(_ address: SocketAddress, isInUse: Bool, at now: Instant) {
    var times = pinged[address] ?? PingTimes(last: now - PathConstants.pingInterval)
    if !isInUse, now - times.last < PathConstants.pingInterval { times.lastUrgent = now }
    times.last = now
    pinged[address] = times
  }

  /// Whether something else may have changed since something came from there.
  func mayPingBack(_ address: SocketAddress, at now: Instant) -> Bool {
    pinged[address]?.lastBack.map { now - $0 >= PathConstants.pingBackInterval } ?? true
  }

  func notePingBack(_ address: SocketAddress, at now: Instant) { pinged[address]?.lastBack = now }

  /// This machine is elsewhere now: what it sent from before opened nothing here.
  func forgetPings() { pinged = [:] }

  private func forgetPings(before time: Instant) {
    guard pinged.count >= PathConstants.candidates else { return }
    pinged = pinged.filter { $0.value.last > time }
  }
}
