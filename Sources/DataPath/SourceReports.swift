import CLinux
import Wire

/// When the control side is told that a peer's packets come from another address than the one in use: at once, so that it can be tried, and
/// again a while later as long as that is so, since what was sent to try it may have been lost. A flood from there is still few events.
/// The receiving side's own.
struct SourceReports {
  private static let interval: Duration = .milliseconds(250)

  private var source = clinux_address()
  /// The table that had another address.
  private var generation: UInt64 = 0
  private var until = Instant(nanoseconds: 0)

  mutating func isDue(_ source: UnsafePointer<clinux_address>, generation: UInt64, at now: Instant) -> Bool {
    guard now >= until || generation != self.generation || !sameAddress(source, &self.source) else { return false }
    self.source = source.pointee
    self.generation = generation
    until = now + Self.interval
    return true
  }
}
