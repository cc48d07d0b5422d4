/// Which of several endpoints is polled: the first, unless it fails or is behind the others. They are often one node under several addresses, so that
/// polling all of them would ask it the same several times.
struct EndpointChoice: Hashable, Sendable {
  let count: Int
  private(set) var preferred = 0
  /// Whether all have failed since one of them answered: time to wait before the next attempt.
  private(set) var hasStartedOver = false
  private var failed: Set<Int> = []

  init(count: Int) {
    self.count = count
  }

  mutating func succeeded(_ index: Int) {
    failed.remove(index)
    hasStartedOver = false
    if index < preferred || failed.contains(preferred) { preferred = index }
  }

  mutating func failed(_ index: Int) {
    failed.insert(index)
    hasStartedOver = failed.count == count
    if hasStartedOver { failed = [] }
    if index == preferred || hasStartedOver {
      preferred = (0..<count).first { !failed.contains($0) } ?? 0
    }
  }
}
