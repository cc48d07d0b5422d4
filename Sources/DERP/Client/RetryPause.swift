import Wire

/// How long a client waits before it tries a relay again: twice as long after each try, up to a bound, and never as long as the others
/// who lost the same relay wait.
///
/// Only a connection that stood for a while ends the series. A relay that is not there may be starting again, and is soon missed: for some
/// time it is tried every few seconds. One that takes a client in and closes at once is left alone for longer.
struct RetryPause: Sendable {
  static let first: Duration = .milliseconds(100)
  static let longest: Duration = .seconds(60)
  /// The bound where no connection came of the tries, for so long.
  static let longestAtFirst: Duration = .seconds(5)
  static let hope: Duration = .seconds(600)
  /// How long a connection has to stand to count. Not long: a machine that loses one network after the other loses its connections too, and
  /// a relay that cannot cope with those who come back completes no handshakes, which do not count at all.
  static let probation: Duration = .seconds(2)

  private var wanted = first
  /// What the relay itself asked for.
  private var asked: Duration = .zero
  private var connectedAt: Instant?
  /// When the series began.
  private var since: Instant?

  mutating func connected(at now: Instant) { connectedAt = now }

  /// The network is another one: what failed in the one of before says nothing.
  mutating func reset() { (wanted, since) = (Self.first, nil) }

  /// The relay asked for some time, once.
  mutating func extend(to delay: Duration) { asked = max(asked, delay) }

  /// The try, or the connection that came of it, is over: so long to wait, between half of what is due and all of it.
  mutating func next(at now: Instant, random: some RandomSource) -> Duration {
    if let connectedAt, now - connectedAt >= Self.probation { reset() }
    let begun = since ?? now
    since = begun
    let mayReturn = connectedAt == nil && wanted <= Self.longestAtFirst && now - begun < Self.hope
    let bound = mayReturn ? Self.longestAtFirst : Self.longest
    connectedAt = nil
    let due = max(wanted, asked)
    asked = .zero
    wanted = min(wanted * 2, bound)
    return due / 2 + .nanoseconds(Int64(random.uniform(below: UInt64(max(1, due.nanoseconds / 2)))))
  }
}
