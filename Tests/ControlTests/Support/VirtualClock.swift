import Control
import Synchronization
import Wire

/// A clock that a test moves. Both kinds of time run at one pace.
final class VirtualClock: ControlClock, Sendable {
  private let elapsed: Mutex<Duration>
  private let wallStart: WallTime
  /// How far this machine's civil clock is from the others'.
  let skew: Duration

  private static let origin = Instant(nanoseconds: 1_000_000_000)

  init(startingAt wallStart: WallTime = WallTime(seconds: 1_790_000_000), skew: Duration = .zero) {
    self.wallStart = wallStart
    self.skew = skew
    elapsed = Mutex(.zero)
  }

  func now() -> Instant { Self.origin + elapsed.withLock { $0 } }
  func wallTime() -> WallTime { wallStart + elapsed.withLock { $0 } + skew }

  func advance(by duration: Duration) { elapsed.withLock { $0 += duration } }

  func advance(to instant: Instant) {
    elapsed.withLock { $0 = max($0, instant - Self.origin) }
  }

  /// Nothing waits on this clock: the simulation asks for deadlines instead.
  func sleep(until deadline: Instant) async throws {
    throw CancellationError()
  }
}
