import Cryptography
import Netmap
import Wire

/// A ping whose pong has not come.
struct SentPing: Sendable {
  enum Purpose: Hashable, Sendable {
    /// To find a way, or to keep it.
    case discovery
    /// Nothing came for a while: is the best path still one?
    case doubt
    /// How long packets may be.
    case probe(size: Int)
    /// Somebody asked for it.
    case asked(PingToken, within: Duration)
    /// To a port that the peer may have open, or from one that it may guess.
    case guess
  }

  /// `nil`: through the relay.
  let address: SocketAddress?
  let sentAt: Instant
  let deadline: Instant
  let purpose: Purpose
}

/// All that is known of the ways to one peer.
final class PeerPath {
  let key: X25519PublicKey
  let limits: PeerLimits
  var discoKey: X25519PublicKey
  var box: NaClBox
  var candidates = CandidateTable()
  /// The way that is used, while there is one.
  var best: PathQuality?
  /// Until when the best is believed without the relay beside it.
  var trustedUntil: Instant?
  /// The best failed a test, and nothing has answered since.
  var isSuspect = false
  var pings: [TransactionID: SentPing] = [:]
  /// Set while packets are sent, and since when they are.
  var heartbeatAt: Instant?
  var activeSince: Instant?
  /// When a handshake went through at the best, of which no ping was answered.
  var handshakenAt: Instant?
  /// When to look whether anything comes back.
  var watchAt: Instant?
  /// When the last pong came on the best path.
  var lastPong: Instant?
  /// When every candidate was last pinged.
  var lastSearch: Instant?
  /// The rest of a search for which there was no ping left.
  var searchAgainAt: Instant?
  /// What the peer's last call named for the first time, and when it is pinged once more.
  var calledAgain: (addresses: Set<SocketAddress>, at: Instant)?
  /// How often the peer is called again in a row while there is no way.
  var callsLeft = 0
  /// A call waits for own addresses.
  var owesCall = false
  var calledAt: Instant?
  /// When there was last a reason to call the peer, besides something new to tell it.
  var soughtAt: Instant?
  /// When a call is made up for that came too soon after another one.
  var callAgainAt: Instant?
  var probing: MTUProbing?
  var natMapping: NATMapping?
  var hasMappedPort = false
  /// When ports are guessed, unless a way is found before.
  var portProbingAt: Instant?
  var portProbing: PortProbing?
  /// As it was last told.
  var route = Route.none
  var routeMTU = PathConstants.smallestMTU
  /// The deadline that is in the queue.
  var queuedDeadline: Instant?

  init(key: X25519PublicKey, discoKey: X25519PublicKey, box: NaClBox, limits: PeerLimits) {
    self.key = key
    self.limits = limits
    self.discoKey = discoKey
    self.box = box
  }

  func isTrusted(at now: Instant) -> Bool {
    guard best != nil, !isSuspect, let trustedUntil else { return false }
    return now < trustedUntil
  }

  func route(hasRelay: Bool, at now: Instant) -> Route {
    guard let best else { return hasRelay ? .relayed : .none }
    return isTrusted(at: now) || !hasRelay ? .direct(best.address) : .both(best.address)
  }

  func clearBest() {
    best = nil
    handshakenAt = nil
    trustedUntil = nil
    isSuspect = false
    probing = nil
    lastPong = nil
  }

  /// The peer has to be called, whenever it was called before.
  func forgetCalls() {
    calledAt = nil
    soughtAt = nil
    callAgainAt = nil
    callsLeft = PathConstants.callsInARow
  }

  /// Whether the peer goes by what it was told, and shall hear what is new. Who hears something new is not sought anew by that: where
  /// each check finds another port, it would be called for ever.
  func wasSoughtLately(at now: Instant) -> Bool {
    soughtAt.map { now - $0 < PathConstants.endpointFreshness } ?? false
  }

  /// Pings that are on their way to candidates become those that somebody asked for.
  func ask(_ purpose: SentPing.Purpose) {
    for (id, ping) in pings where ping.purpose == .discovery && ping.address != best?.address {
      pings[id] = SentPing(address: ping.address, sentAt: ping.sentAt, deadline: ping.deadline, purpose: purpose)
    }
  }

  /// The ping that has to show whether the best is still one.
  var doubt: SentPing? { pings.values.first { $0.purpose == .doubt && $0.address == best?.address } }

  /// Whether to ping every candidate.
  func wantsSearch(at now: Instant) -> Bool {
    guard let best, isTrusted(at: now), let lastSearch else { return true }
    return best.latency > PathConstants.goodLatency && now - lastSearch >= PathConstants.upgradeInterval
  }

  var nextDeadline: Instant? {
    let pingDeadline = pings.values.lazy.map(\.deadline).min()
    return [
      pingDeadline, heartbeatAt, watchAt, trustedUntil, searchAgainAt, calledAgain?.at, callAgainAt, probing?.nextAt,
      portProbingAt,
      portProbing?.nextAt,
    ].lazy.compactMap { $0 }.min()
  }
}

/// Which lengths of packets a path carries: all of them are tried at once, and those without an answer again.
struct MTUProbing: Sendable {
  let address: SocketAddress
  var answered: Set<Int> = []
  var triesLeft = PathConstants.probeTries
  /// When the last try began, and whether the short ping that was sent with it was answered.
  var triedAt: Instant?
  var carriesShort = false
  /// The next round; once all tries are used, the time for a new look.
  var nextAt: Instant

  /// Whether the last look has been over for a while.
  func isRested(at now: Instant) -> Bool {
    nextAt > now + PathConstants.probeInterval
      && nextAt <= now + (PathConstants.probeAgain - PathConstants.probeRest)
  }

  /// A ping from `sentAt` was answered.
  ///
  /// - Parameter size: 0 for a short ping.
  mutating func note(_ size: Int, of sentAt: Instant, at address: SocketAddress) {
    guard address == self.address else { return }
    if size > 0 { answered.insert(size) } else if sentAt == triedAt { carriesShort = true }
  }

  /// The lengths that still have to show themselves: not those below one that did.
  var open: [Int] {
    let largest = answered.max() ?? 0
    return PathConstants.probedMTUs.filter { $0 > largest }
  }
}
