/// Which of several endpoints is followed: the first, unless it fails or is behind the others. They are often one node under several
/// addresses, so that following all of them would ask it the same several times.
struct EndpointChoice: Hashable, Sendable {
  private(set) var count: Int
  private(set) var preferred = 0
  /// One that is not to be asked any more, and was the preferred one: every other goes before it, and it is asked only when none answers.
  private(set) var left: Int?
  /// Whether all have failed since one of them answered: time to wait before the next attempt.
  private(set) var hasStartedOver = false
  private var failed: Set<Int> = []
  /// Those that are not to be asked.
  private(set) var retired: Set<Int> = []
  /// The last to be asked, wherever it stands, and only when no other answers.
  var reserve: Int?

  init(count: Int) {
    self.count = count
  }

  /// There is one more, behind the others.
  mutating func add() { count += 1 }

  /// In the place of one is another one, of which nothing is known yet.
  mutating func replace(_ index: Int) {
    if left == index { left = nil }
    failed.remove(index)
    retired.remove(index)
  }

  /// One is not to be asked any more, or again after all. The preferred one stays.
  mutating func retire(_ index: Int, _ isRetired: Bool) {
    guard index != preferred else { return }
    if isRetired { retired.insert(index) } else { retired.remove(index) }
  }

  /// The preferred one gives way to any other that answers.
  mutating func leave() { left = preferred }

  /// It does not, after all.
  mutating func stay() { left = nil }

  /// Whether nothing is asked of an endpoint, and nothing sent to it.
  func isIdle(_ index: Int) -> Bool {
    if index == preferred { return false }
    return retired.contains(index) || index == left || (index == reserve && preferred != left)
  }

  mutating func succeeded(_ index: Int) {
    guard !retired.contains(index) else { return }
    failed.remove(index)
    hasStartedOver = false
    if place(of: index) < place(of: preferred) || failed.contains(preferred) { preferred = index }
  }

  mutating func failed(_ index: Int) {
    failed.insert(index)
    hasStartedOver = failed.union(retired).count == count
    if hasStartedOver { failed = [] }
    if index == preferred || hasStartedOver {
      let usable = (0..<count).filter { !failed.contains($0) && !retired.contains($0) }
      preferred = usable.min { place(of: $0) < place(of: $1) } ?? 0
    }
  }

  private func place(of index: Int) -> Int { index == left ? count + 1 : index == reserve ? count : index }
}
