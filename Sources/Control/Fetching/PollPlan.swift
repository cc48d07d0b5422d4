import Wire

/// When one endpoint is asked again, and for how much: a value without I/O.
///
/// Every 2 s in a daemon's first minute and for a minute after each change, every 10 s otherwise; everything at least every five
/// minutes, and in steps that double from 0.2 s to 10 s as long as what is shown does not match its head. While the endpoint tells
/// every change by itself, it is asked once a minute for safety.
struct PollPlan: Hashable, Sendable {
  /// How much is asked for.
  enum Extent: Hashable, Sendable {
    /// Head, context key, and the nodes' own records by the date of their update.
    case recent
    /// The definition, of whose change nobody is told: a head was told that covers something else than what is held.
    case definition
    /// Everything the head covers, and everything beside it.
    case complete
  }

  /// What a fetch came to.
  enum Outcome: Hashable, Sendable {
    /// What is held is what the newest head covers.
    case settled
    /// The node answered, and what it showed does not match the newest head.
    case mismatch
    /// The node answered, and shows no mesh: none was published to it, or this machine may not read it.
    case nothing
    /// The node answered, and shows an older head than the one in force: others have more.
    case outdated
    /// There was no usable answer; not to be asked again before this much time has passed.
    case failed(retryAfter: Duration)
  }

  static let quickInterval: Duration = .seconds(2)
  static let calmInterval: Duration = .seconds(10)
  static let followedInterval: Duration = .seconds(60)
  /// A head and what it covers are told side by side: how long the one waits for the other.
  static let reunion: Duration = .milliseconds(100)
  static let quickPeriod: Duration = .seconds(60)
  static let completeInterval: Duration = .seconds(300)
  static let firstRetry: Duration = .milliseconds(200)
  static let longestRetry: Duration = .seconds(10)
  /// An endpoint beside the one that is polled is asked for everything, at this interval.
  static let standbyInterval: Duration = completeInterval
  /// How often it is asked for what is recent: the one that is polled may lack the anchor's news, and not know it. One that did not answer
  /// is asked for everything then, so that it is not said to be away when it is there again.
  static let standbyLook: Duration = .seconds(60)

  /// Whether this endpoint is polled, or only asked now and then since another one answers.
  private(set) var isStandby: Bool
  /// Whether it tells every change by itself.
  private(set) var isFollowed = false
  private var definitionAt: Instant?
  private var quickUntil: Instant
  private var nextAt: Instant
  private var completeAt: Instant
  private var retry: Duration?
  private var isUnderWay = false
  private var hasFailed = false
  /// What somebody asked for while a fetch was under way, which may have begun too early to show it.
  private var overlooked: Extent?

  /// The first fetch is due at once and complete.
  init(startedAt now: Instant, isStandby: Bool = false) {
    self.isStandby = isStandby
    quickUntil = now + Self.quickPeriod
    nextAt = now
    completeAt = now
  }

  /// When to ask next.
  var deadline: Instant { min(nextAt, completeAt, definitionAt ?? nextAt) }

  /// What to ask for when the deadline has come.
  func extent(at now: Instant) -> Extent {
    if completeAt <= now { return .complete }
    return definitionAt.map { $0 <= now } ?? false ? .definition : .recent
  }

  /// A fetch begins.
  mutating func began() {
    isUnderWay = true
    overlooked = nil
  }

  /// Something of the mesh changed, here or there: others are likely to change too.
  mutating func changed(at now: Instant) {
    quickUntil = now + Self.quickPeriod
    if !isStandby, !isFollowed { nextAt = min(nextAt, now + Self.quickInterval) }
  }

  /// From now on the endpoint tells every change by itself.
  mutating func followed(at now: Instant) {
    isFollowed = true
    nextAt = now + Self.followedInterval
  }

  /// It does so no longer.
  mutating func unfollowed(at now: Instant) {
    guard isFollowed else { return }
    isFollowed = false
    if !isStandby { nextAt = min(nextAt, now + interval(at: now)) }
  }

  /// A head was told, and what is held is not what it covers.
  mutating func headDiffers(at now: Instant) {
    definitionAt = definitionAt ?? now + Self.reunion
  }

  private func interval(at now: Instant) -> Duration {
    isFollowed ? Self.followedInterval : now < quickUntil ? Self.quickInterval : Self.calmInterval
  }

  /// Somebody has reason to believe that there is something new: ask at once.
  mutating func hinted(_ extent: Extent, at now: Instant) {
    if isUnderWay, overlooked != .complete { overlooked = extent }
    nextAt = min(nextAt, now)
    if extent == .complete { completeAt = min(completeAt, now) }
  }

  /// From now on this is the endpoint that is polled, beginning with everything at `time`.
  mutating func promote(at time: Instant) {
    guard isStandby else { return }
    isStandby = false
    nextAt = time
    completeAt = time
  }

  /// From now on another endpoint is polled.
  mutating func demote(at now: Instant) {
    guard !isStandby else { return }
    isStandby = true
    completeAt = now + (hasFailed ? Self.standbyLook : Self.standbyInterval)
    nextAt = now + Self.standbyLook
  }

  /// A fetch of this extent has come to its end. `jitter` spreads many daemons: 0 to 1, half of it being none.
  mutating func finished(_ extent: Extent, _ outcome: Outcome, at now: Instant, jitter: Double = 0.5) {
    let usual = interval(at: now) * (0.9 + 0.2 * jitter)
    definitionAt = nil
    isUnderWay = false
    let overlooked = overlooked
    self.overlooked = nil
    hasFailed = false
    switch outcome {
    case .settled where extent == .definition, .outdated where extent == .definition: retry = nil
    case .settled, .outdated:
      retry = nil
      if extent == .complete { completeAt = now + Self.completeInterval }
      nextAt = now + (isStandby ? Self.standbyLook : usual)
    case .mismatch:
      let wait = retry ?? Self.firstRetry
      retry = min(wait * 2, Self.longestRetry)
      completeAt = now + wait
      nextAt = completeAt
    case .nothing:
      retry = nil
      nextAt = now + (isStandby ? Self.standbyLook : usual)
      completeAt = nextAt
    case .failed(let least):
      hasFailed = true
      nextAt = now + max(isStandby ? Self.standbyLook : usual, least)
      if completeAt < nextAt || overlooked == .complete { completeAt = nextAt }
      return
    }
    if let overlooked { hinted(overlooked, at: now) }
  }
}

extension WallTime {
  /// The date from which recently updated records are asked for: ten minutes before the lesser of the newest stamp seen and the
  /// own clock, so that one member's wrong clock does not hide the others.
  static func recentlyUpdated(newestSeen: WallTime?, now: WallTime) -> WallTime {
    min(newestSeen ?? now, now) + .seconds(-600)
  }
}
