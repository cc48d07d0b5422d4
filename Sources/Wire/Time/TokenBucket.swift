/// Limits how often something is done: so many times in a row, and one more for every interval that passes.
public struct TokenBucket: Hashable, Sendable {
  public let capacity: Int
  public let interval: Duration
  private var tokens: Int
  private var countedAt: Instant

  /// Full at first.
  public init(capacity: Int, interval: Duration, now: Instant) {
    self.capacity = capacity
    self.interval = interval
    tokens = capacity
    countedAt = now
  }

  /// Takes one, if there is one.
  public mutating func take(at now: Instant) -> Bool {
    refill(at: now)
    guard tokens > 0 else { return false }
    tokens -= 1
    return true
  }

  /// When the next one can be taken.
  public func available(at now: Instant) -> Instant {
    var copy = self
    copy.refill(at: now)
    return copy.tokens > 0 ? now : copy.countedAt + interval
  }

  private mutating func refill(at now: Instant) {
    while tokens < capacity, now - countedAt >= interval {
      tokens += 1
      countedAt = countedAt + interval
    }
    if tokens == capacity { countedAt = max(countedAt, now) }
  }
}
