import Wire

/// How often something may happen: so many times a second, and so many at once after a rest.
public struct RateLimit: Hashable, Sendable {
  public var perSecond: Double
  public var burst: Double

  public init(perSecond: Double, burst: Double) {
    precondition(perSecond > 0 && burst >= 1, "a limit lets something happen")
    self.perSecond = perSecond
    self.burst = burst
  }
}

/// What is left of a rate.
struct TokenBucket: Hashable, Sendable {
  private var tokens: Double
  private var updated: Instant

  init(full limit: RateLimit, now: Instant) {
    tokens = limit.burst
    updated = now
  }

  /// Takes so many tokens; when there are fewer, how long until there are enough.
  mutating func take(_ limit: RateLimit, _ number: Int = 1, now: Instant) -> Duration? {
    refill(limit, now: now)
    let wanted = Double(number)
    guard tokens < wanted else {
      tokens -= wanted
      return nil
    }
    return .seconds((wanted - tokens) / limit.perSecond)
  }

  /// For what did not happen after all.
  mutating func giveBack(_ limit: RateLimit) { tokens = min(limit.burst, tokens + 1) }

  mutating func isFull(_ limit: RateLimit, now: Instant) -> Bool {
    refill(limit, now: now)
    return tokens >= limit.burst
  }

  private mutating func refill(_ limit: RateLimit, now: Instant) {
    guard now > updated else { return }
    tokens = min(limit.burst, tokens + (now - updated).seconds * limit.perSecond)
    updated = now
  }
}

/// A bucket for each of many keys, and never more than a bound of them: one that is full again is forgotten, and while there is no
/// room, newcomers share one.
struct TokenBuckets<Key: Hashable & Sendable>: Sendable {
  let limit: RateLimit
  let maximumKeys: Int
  private var buckets: [Key: TokenBucket] = [:]
  private var shared: TokenBucket?
  private var sweptAt: Instant?

  init(limit: RateLimit, maximumKeys: Int = 50_000) {
    self.limit = limit
    self.maximumKeys = maximumKeys
  }

  var count: Int { buckets.count }

  mutating func take(_ key: Key, _ number: Int = 1, now: Instant) -> Duration? {
    if buckets[key] != nil { return buckets[key]?.take(limit, number, now: now) }
    if buckets.count >= maximumKeys { sweep(now: now) }
    guard buckets.count < maximumKeys else {
      var bucket = shared ?? TokenBucket(full: limit, now: now)
      defer { shared = bucket }
      return bucket.take(limit, number, now: now)
    }
    var bucket = TokenBucket(full: limit, now: now)
    defer { buckets[key] = bucket }
    return bucket.take(limit, number, now: now)
  }

  /// Undoes a `take`.
  mutating func giveBack(_ key: Key) {
    if buckets[key] != nil { buckets[key]?.giveBack(limit) } else { shared?.giveBack(limit) }
  }

  /// At most once a second, so that a flood of keys does not make each of them cost a walk over all.
  private mutating func sweep(now: Instant) {
    if let sweptAt, now - sweptAt < .seconds(1) { return }
    sweptAt = now
    for (key, bucket) in buckets {
      var bucket = bucket
      if bucket.isFull(limit, now: now) { buckets[key] = nil }
    }
  }
}
