import Wire

/// When this machine's endpoint record is written: 250 ms after the addresses stopped changing, at most a second after they began
/// to, and never more often than five times in a row and once in ten seconds after that.
struct PublicationSchedule: Hashable, Sendable {
  static let quietTime: Duration = .milliseconds(250)
  static let longestWait: Duration = .seconds(1)

  private var bucket: TokenBucket
  private var firstChange: Instant?
  private var lastChange: Instant?

  init(now: Instant) {
    bucket = TokenBucket(capacity: 5, interval: .seconds(10), now: now)
  }

  /// The addresses are others now.
  mutating func changed(at now: Instant) {
    firstChange = firstChange ?? now
    lastChange = now
  }

  /// What is published says what is so: there is nothing to write.
  mutating func settled() {
    firstChange = nil
    lastChange = nil
  }

  /// When to write; `nil` while nothing has changed.
  func deadline(at now: Instant) -> Instant? {
    guard let firstChange, let lastChange else { return nil }
    return max(min(lastChange + Self.quietTime, firstChange + Self.longestWait), bucket.available(at: now))
  }

  /// Whether to write now; if so, the change counts as written.
  mutating func take(at now: Instant) -> Bool {
    guard let deadline = deadline(at: now), deadline <= now, bucket.take(at: now) else { return false }
    settled()
    return true
  }
}
