public import Wire

/// The two clocks of a control plane and its only way to wait. Handed in, so that a test can run days in a moment.
public protocol ControlClock: Sendable {
  /// For intervals and deadlines.
  func now() -> Instant
  /// For time stamps and expiries.
  func wallTime() -> WallTime
  /// Returns at the deadline; throws `CancellationError` when the task is cancelled before.
  func sleep(until deadline: Instant) async throws
}

/// The clocks of this machine.
public struct SystemClock: ControlClock {
  public init() {}

  public func now() -> Instant { .now() }
  public func wallTime() -> WallTime { .now() }

  public func sleep(until deadline: Instant) async throws {
    let rest = deadline - .now()
    if rest > .zero { try await Task.sleep(for: rest) } else { try Task.checkCancellation() }
  }
}
