import Synchronization

/// Bytes that all connections of a server hold together at most, with a part for each network and each site. What is small may have all of
/// it, and what is larger three quarters, so that a few large things leave everybody room for small ones.
final class ByteBudget: Sendable {
  private let shares: Mutex<CallerShares>
  private let small: Int
  private let whole: Int
  private let changed: @Sendable (_ by: Int) -> Void

  /// `small`: the most bytes that are few. `changed` is told what was taken, and what was given back as less than zero.
  init(_ bytes: Int, small: Int = .max, changed: @escaping @Sendable (_ by: Int) -> Void = { _ in }) {
    shares = Mutex(CallerShares(of: bytes))
    whole = bytes
    self.small = small
    self.changed = changed
  }

  func take(_ bytes: Int, for caller: Caller) -> Bool {
    let limit = bytes > small ? whole / 4 * 3 : whole
    guard shares.withLock({ $0.take(bytes, for: caller, within: limit) }) else { return false }
    changed(bytes)
    return true
  }

  func give(_ bytes: Int, for caller: Caller) {
    guard bytes > 0 else { return }
    shares.withLock { $0.give(bytes, for: caller) }
    changed(-bytes)
  }
}
