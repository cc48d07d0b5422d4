import Wire

/// A token bucket per source: 20 handshake messages a second, 5 at once. IPv6 sources are counted by /64, since that is what
/// one host has. Consulted under load alone, after mac2 proved the address.
struct RateLimiter: Sendable {
  private static let cost: Int64 = 1_000_000_000 / 20
  private static let burst: Int64 = 5 * cost
  /// More sources than this in one second are refused.
  static let maximumSources = 8192

  /// What is left of the burst, in nanoseconds of refill, and when.
  private var buckets: [IPPrefix: (credit: Int64, at: Instant)] = [:]
  private var sweptAt = Instant(nanoseconds: 0)

  var sourceCount: Int { buckets.count }

  mutating func allows(_ source: IPAddress, at now: Instant) -> Bool {
    sweep(at: now)
    let key = IPPrefix(source, length: source.family == .v4 ? 32 : 64)!
    let credit: Int64
    if let bucket = buckets[key] {
      credit = min(RateLimiter.burst, bucket.credit + min((now - bucket.at).nanoseconds, RateLimiter.burst))
    } else if buckets.count < RateLimiter.maximumSources {
      credit = RateLimiter.burst
    } else {
      return false
    }
    let isAllowed = credit >= RateLimiter.cost
    buckets[key] = (isAllowed ? credit - RateLimiter.cost : credit, now)
    return isAllowed
  }

  /// Forgets full buckets, at most once a second.
  private mutating func sweep(at now: Instant) {
    guard now - sweptAt >= .seconds(1) else { return }
    sweptAt = now
    buckets = buckets.filter { (now - $0.value.at).nanoseconds < RateLimiter.burst - $0.value.credit }
  }
}
