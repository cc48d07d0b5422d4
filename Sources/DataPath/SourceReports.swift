import CLinux
import Wire

/// When the control side is told that a peer's packets come from another address than the one in use: at once, so that it can be tried, and
/// again a while later as long as that is so, since what was sent to try it may have been lost.
///
/// From however many addresses a peer sends, and however often the table changes meanwhile, in one interval it is told of a few of them
/// alone. The first packet after it tells of the address that is the newest then. The receiving side's own.
struct SourceReports {
  private static let interval: Duration = .milliseconds(250)
  /// In one interval: an address of each family, and what both become on the way.
  private static let budget = 4

  private var source = clinux_address()
  /// The table that had another address.
  private var generation: UInt64 = 0
  private var until = Instant(nanoseconds: 0)
  private var end = Instant(nanoseconds: 0)
  private var left = 0

  mutating func isDue(_ source: UnsafePointer<clinux_address>, generation: UInt64, at now: Instant) -> Bool {
    guard now >= until || generation != self.generation || !sameAddress(source, &self.source) else { return false }
    if now >= end {
      end = now + Self.interval
      left = Self.budget
    }
    guard left > 0 else { return false }
    left &-= 1
    self.source = source.pointee
    self.generation = generation
    until = now + Self.interval
    return true
  }
}
