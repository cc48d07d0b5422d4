import Wire

/// When this machine's endpoint record is written (`reach.md` section 4): 250 ms after things stopped changing, at most a second after
/// they began to, and never more often than five times in a row and once in ten seconds after that.
struct PublicationSchedule: Hashable, Sendable {
  static let quietTime: Duration = .milliseconds(250)
  static let longestWait: Duration = .seconds(1)
  /// Between a write and one that says nothing but other ports.
  static let calmPause: Duration = .seconds(60)

  enum Urgency: Hashable, Sendable {
    case soon
    /// Those who need it are told in another way: not within a minute of the last write.
    case calm
  }

  private var bucket: TokenBucket
  private var firstChange: Instant?
  private var lastChange: Instant?
  private var lastWrite: Instant?
  private var urgency = Urgency.soon

  init(now: Instant) {
    bucket = TokenBucket(capacity: 5, interval: .seconds(10), now: now)
  }

  /// Something about this machine is otherwise now. Until it was looked at what, it counts as urgent.
  mutating func changed(at now: Instant) {
    firstChange = firstChange ?? now
    lastChange = now
    urgency = .soon
  }

  /// What is published is not what is so.
  mutating func differs(_ urgency: Urgency, at now: Instant) {
    if firstChange == nil { changed(at: now) }
    self.urgency = urgency
  }

  /// What is published says what is so: there is nothing to write.
  mutating func settled() {
    firstChange = nil
    lastChange = nil
  }

  /// When to write; `nil` while nothing has changed.
  func deadline(at now: Instant) -> Instant? {
    guard let firstChange, let lastChange else { return nil }
    let quiet = max(min(lastChange + Self.quietTime, firstChange + Self.longestWait), bucket.available(at: now))
    guard urgency == .calm, let lastWrite else { return quiet }
    return max(quiet, lastWrite + Self.calmPause)
  }

  /// Whether to write now; if so, the change counts as written.
  mutating func take(at now: Instant) -> Bool {
    guard let deadline = deadline(at: now), deadline <= now, bucket.take(at: now) else { return false }
    settled()
    lastWrite = now
    return true
  }
}
