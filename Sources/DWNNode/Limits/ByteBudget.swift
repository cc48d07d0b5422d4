import Synchronization

/// Bytes that all connections of a server hold together at most, with a part for each network and each site.
final class ByteBudget: Sendable {
  private let shares: Mutex<CallerShares>
  private let changed: @Sendable (_ by: Int) -> Void

  /// `changed` is told what was taken, and what was given back as less than zero.
  init(_ bytes: Int, changed: @escaping @Sendable (_ by: Int) -> Void = { _ in }) {
    shares = Mutex(CallerShares(of: bytes))
    self.changed = changed
  }

  func take(_ bytes: Int, for caller: Caller) -> Bool {
    guard shares.withLock({ $0.take(bytes, for: caller) }) else { return false }
    changed(bytes)
    return true
  }

  func give(_ bytes: Int, for caller: Caller) {
    guard bytes > 0 else { return }
    shares.withLock { $0.give(bytes, for: caller) }
    changed(-bytes)
  }
}
