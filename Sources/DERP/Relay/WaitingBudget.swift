import Synchronization

/// How much memory everything takes that waits at a relay. Who has little waiting finds room as long as there is any: what one line may
/// take shrinks with what is left, so that clients that take nothing do not fill it up for the others.
final class WaitingBudget: Sendable {
  /// One line may take this part of what is left.
  private static let share = 64

  private let bytes: Int
  private let used = Atomic(0)

  init(bytes: Int) {
    self.bytes = bytes
  }

  /// What one line may take now.
  var room: Int { max(0, bytes - inUse) / Self.share }

  var inUse: Int { used.load(ordering: .relaxed) }

  func add(_ count: Int) {
    if count != 0 { used.add(count, ordering: .relaxed) }
  }
}
