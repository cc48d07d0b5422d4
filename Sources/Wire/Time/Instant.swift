#if canImport(Glibc)
  import Glibc
#endif

/// A point on the boot-time clock, in nanoseconds since boot.
///
/// `CLOCK_BOOTTIME` goes on while the machine sleeps, so that sessions and leases expire during sleep. Protocol code never
/// reads it: it is handed an `Instant`.
public struct Instant: Hashable, Comparable, Sendable {
  public var nanoseconds: UInt64

  public init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  /// Reads the clock. Only the edges of the program call this.
  public static func now() -> Instant {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Instant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
  }

  public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Saturates at the ends of the clock.
  public static func + (a: Instant, b: Duration) -> Instant {
    let delta = b.nanoseconds
    if delta >= 0 {
      let (sum, overflow) = a.nanoseconds.addingReportingOverflow(UInt64(delta))
      return Instant(nanoseconds: overflow ? .max : sum)
    }
    let magnitude = delta.magnitude
    return Instant(nanoseconds: a.nanoseconds > magnitude ? a.nanoseconds - magnitude : 0)
  }

  public static func - (a: Instant, b: Duration) -> Instant { a + (.zero - b) }

  /// The time from `b` to `a`; negative when `a` is earlier.
  public static func - (a: Instant, b: Instant) -> Duration {
    a.nanoseconds >= b.nanoseconds
      ? .nanoseconds(Int64(clamping: a.nanoseconds - b.nanoseconds))
      : .zero - .nanoseconds(Int64(clamping: b.nanoseconds - a.nanoseconds))
  }
}

extension Duration {
  /// The whole of the duration in nanoseconds, saturating at ±292 years.
  public var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, tooMuch) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return tooMuch ? (seconds < 0 ? .min : .max) : sum
  }

  public var seconds: Double { Double(nanoseconds) / 1e9 }

  public var milliseconds: Double { Double(nanoseconds) / 1e6 }
}
