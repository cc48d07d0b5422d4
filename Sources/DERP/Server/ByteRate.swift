import Wire

/// How many bytes a second may come, over any time, and a burst beyond.
struct ByteRate {
  let perSecond: Int
  let burst: Int
  private var used = 0.0
  private var updated: Instant?

  init(perSecond: Int, burst: Int) {
    self.perSecond = perSecond
    self.burst = burst
  }

  /// Takes so many, and says for how long to take no more.
  mutating func take(_ count: Int, now: Instant) -> Duration? {
    if let updated { used = max(0, used - (now - updated).seconds * Double(perSecond)) }
    updated = now
    used += Double(count)
    guard used > Double(burst) else { return nil }
    return .seconds((used - Double(burst)) / Double(perSecond))
  }
}
