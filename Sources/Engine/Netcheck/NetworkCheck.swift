import Cryptography
import Netmap
import Traversal
import Wire

/// Where an engine is with checking its network: the check that runs, what the last ones found, and when the next is due.
struct NetworkCheck {
  /// The first word on how this machine is reached is not put off for longer.
  static let announcement: Duration = .seconds(2)
  /// Once a relay is connected the first word waits no longer for what others see.
  static let grace: Duration = .milliseconds(200)
  /// A peer is told of addresses, known or not, after so long.
  static let callPatience: Duration = .milliseconds(500)
  static let interval: ClosedRange<Duration> = .seconds(20)...(.seconds(26))
  static let fullInterval: Duration = .seconds(300)
  /// Where nothing is sent, and a relay is looked for all the same: twice as long after each check.
  static let longestIdleInterval: Duration = .seconds(300)
  /// Whoever asks for a check is told what is known after so long, whatever goes on.
  static let answerPatience: Duration = .seconds(9)

  typealias Waiter = CheckedContinuation<Void, Never>

  var running: Netcheck?
  var last: NetcheckReport?
  var lastFullAt: Instant?
  var lastFinishedAt: Instant?
  var home = HomeRelay()
  /// The home as it is used: without any measurement it is a guess.
  var homeRelay: UInt16?
  var standbyRelay: UInt16?
  var seen = SeenAddresses()
  var witnesses = PeerWitnesses()
  /// How the NAT maps, as servers found out since the network last changed.
  private var mapping: NATMapping?
  /// The same by what peers see.
  private var mappingByPeers: NATMapping?
  /// Where this machine was last seen over IPv4. Known across changes of the network: those of a router make none here.
  private var sightedIPv4: IPAddress?
  /// When the next check begins; `nil`: when something is sent.
  var nextAt: Instant?
  /// How many checks have ended since anything was sent.
  private var idleChecks = 0
  /// Another one is wanted as soon as the running one has ended; `true`: a full one.
  var isWantedAgain: Bool?
  /// Peers wait to be told where this machine is, for at most so long.
  var owedUntil: Instant?
  /// When the first reach is told, known or not; `nil`: it has been.
  var announceBy: Instant?
  var told: Reach?
  var names = ServerNames()
  private var waiters: [(waiter: Waiter, until: Instant)] = []

  init(startedAt now: Instant) { announceBy = now + Self.announcement }

  var nextDeadline: Instant? {
    ([running?.deadline, running == nil ? nextAt : nil, owedUntil, announceBy] + waiters.map(\.until))
      .compactMap { $0 }.min()
  }

  /// Plans the next check, if none is planned or one is due earlier.
  ///
  /// - Parameter spread: a part of the interval's range.
  mutating func plan(isActive: Bool, spread: Duration, at now: Instant) {
    guard let last = lastFinishedAt else { return }
    if isActive, idleChecks > 0 { (idleChecks, nextAt) = (0, nil) }
    guard nextAt == nil else { return }
    var pause = Self.interval.lowerBound + spread
    if !isActive {
      pause = min(pause * (1 << idleChecks), Self.longestIdleInterval)
      idleChecks = min(idleChecks + 1, 8)
    }
    nextAt = max(now, last + pause)
  }

  /// Somebody wants to know when a full check has ended.
  mutating func wait(_ waiter: Waiter, from now: Instant) { waiters.append((waiter, now + Self.answerPatience)) }

  /// Those that wait no longer; without a time, all.
  mutating func takeWaiters(dueAt now: Instant? = nil) -> [Waiter] {
    let due = waiters.filter { waiter in now.map { waiter.until <= $0 } ?? true }
    waiters.removeAll { waiter in now.map { waiter.until <= $0 } ?? true }
    return due.map(\.waiter)
  }

  /// How the NAT maps. Servers are asked about it; where they leave it open, pongs of two peers tell (`reach.md` 6).
  var natMapping: NATMapping? { mapping ?? mappingByPeers }

  /// Where others see this machine. What peers say counts for a family over which no server answered the last time.
  func addresses(at now: Instant) -> [SocketAddress] {
    let byServers = seen.addresses(at: now)
    return byServers + witnesses.addresses.filter { !wasAnswered(over: $0.ip.family) && !byServers.contains($0) }
  }

  private func wasAnswered(over family: IPAddress.Family) -> Bool {
    guard let last else { return true }
    return family == .v4 ? last.hasIPv4 : last.hasIPv6
  }

  /// Where others see this machine over a family, first servers, then peers outside its private network, by what they said lately.
  func sighting(over family: IPAddress.Family, at now: Instant) -> SocketAddress? {
    if let seen = family == .v4 ? last?.globalIPv4 : last?.globalIPv6 { return seen }
    return witnesses.latest(at: now).addresses.first { $0.ip.family == family && !$0.ip.isPrivate }
  }

  /// Whether UDP gets through over each of the families, and at all, where these could be asked about. `nil`: nobody could be, as
  /// where no server answers over TCP either, or who was answered nonsense, and no peer has said lately where it sees this machine.
  func openness(
    at now: Instant, hasHost: (IPAddress.Family) -> Bool, isAsked isAskable: (IPAddress.Family) -> Bool
  ) -> (ipv4: Bool?, ipv6: Bool?, udp: Bool?) {
    let troubled = last?.troubledFamilies ?? []
    let isAnswered = last.map { !$0.latencies.isEmpty || !$0.troubles.isEmpty } ?? false
    func isAsked(_ family: IPAddress.Family) -> Bool { isAnswered && isAskable(family) }
    func isOpen(_ family: IPAddress.Family) -> Bool? {
      if sighting(over: family, at: now) != nil { return true }
      if !hasHost(family) { return false }
      return isAsked(family) && !troubled.contains(family) ? false : nil
    }
    let (ipv4, ipv6) = (isOpen(.v4), isOpen(.v6))
    if ipv4 == true || ipv6 == true { return (ipv4, ipv6, true) }
    let isAnybodyAsked = IPAddress.Family.allCases.contains { hasHost($0) && isAsked($0) }
    let isClosed = (isAnybodyAsked && troubled.isEmpty) || (ipv4 == false && ipv6 == false)
    return (ipv4, ipv6, isClosed ? false : nil)
  }

  /// Somebody sees this machine there. `true`: elsewhere than it was last seen over IPv4, outside its private network.
  mutating func isElsewhere(_ address: SocketAddress) -> Bool {
    guard address.ip.family == .v4, !address.ip.isPrivate, address.ip != sightedIPv4 else { return false }
    sightedIPv4 = address.ip
    return true
  }

  /// A check has ended.
  ///
  /// - Returns: whether it says where this machine is. One that found nothing does so only if the one before found nothing either:
  ///   a router may just be starting again.
  @discardableResult
  mutating func take(_ report: NetcheckReport, at now: Instant) -> Bool {
    let isFoundOut = !report.addresses.isEmpty || last?.addresses.isEmpty == true
    running = nil
    last = report
    lastFinishedAt = now
    seen.note(report.addresses, at: now)
    mapping = report.mapping ?? mapping
    return isFoundOut
  }

  /// A peer sees this machine there. `true` if that is news.
  mutating func note(_ address: SocketAddress, by peer: X25519PublicKey, at now: Instant) -> Bool {
    let isNews = witnesses.note(address, by: peer, at: now)
    mappingByPeers = witnesses.mapping ?? mappingByPeers
    return isNews
  }

  /// After a change of the network nothing of before says anything, nor what is still asked for from there.
  mutating func forget() {
    running = nil
    isWantedAgain = nil
    idleChecks = 0
    seen = SeenAddresses()
    witnesses = PeerWitnesses()
    names.forget()
    mapping = nil
    mappingByPeers = nil
    last = nil
    lastFullAt = nil
  }
}
