import Wire

/// When one endpoint is sent something: at once when there is something new, and after a pause that doubles when an attempt was in
/// vain.
struct PublicationLine: Hashable, Sendable {
  static let firstPause: Duration = .seconds(1)
  static let longestPause: Duration = .seconds(60)

  /// `nil`: nothing is left to send.
  private(set) var deadline: Instant?
  /// Why something is left, for people.
  private(set) var trouble: EndpointTrouble?
  private var pause = firstPause
  private var isOutdated = false

  /// The first attempt is due at once: something may be left from before.
  init() {
    deadline = Instant(nanoseconds: 0)
  }

  /// Also while an attempt is under way, which may have begun too early to see it.
  mutating func somethingNew(at now: Instant) {
    deadline = now
    isOutdated = true
  }

  mutating func began() {
    isOutdated = false
  }

  mutating func finished() {
    if !isOutdated { deadline = nil }
    trouble = nil
    pause = Self.firstPause
  }

  /// `jitter` spreads many daemons: 0 to 1.
  mutating func left(_ reason: String, retryAfter least: Duration, at now: Instant, jitter: Double) {
    trouble = EndpointTrouble(reason: reason, since: trouble?.since ?? now, lastAt: now)
    // What is new may be a removal, which goes on past what failed.
    deadline = now + (isOutdated ? least : max(pause * (1 + 0.2 * jitter), least))
    pause = min(pause * 2, Self.longestPause)
  }
}
