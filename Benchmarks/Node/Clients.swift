import Synchronization
import Wire

/// Many who ask at once, each the next thing as soon as it has the answer to the one before.
enum Clients {
  /// Answers per second. `work` gets a number that nobody else gets, and returns `false` when there is nothing more to do.
  static func rate(
    _ count: Int, for time: Duration, work: @escaping @Sendable (_ number: Int) async throws -> Bool
  ) async throws -> Double {
    let next = Counter()
    let done = Counter()
    let start = Instant.now()
    let end = start + time
    try await withThrowingTaskGroup { group in
      for _ in 0..<count {
        group.addTask {
          while Instant.now() < end {
            guard try await work(next.take()) else { return }
            done.take()
          }
        }
      }
      try await group.waitForAll()
    }
    return Double(done.value) / (Instant.now() - start).seconds
  }

  /// The middle one of several measurements.
  static func median(_ rates: [Double]) -> Double { rates.sorted()[rates.count / 2] }
}

/// Numbers from 0, each given once.
final class Counter: Sendable {
  private let count = Atomic(0)

  var value: Int { count.load(ordering: .relaxed) }

  @discardableResult
  func take() -> Int { count.wrappingAdd(1, ordering: .relaxed).oldValue }
}

/// Times of which each is later than the one before.
final class RisingClock: Sendable {
  private let last = Atomic(WallTime.now().microseconds)

  func next() -> WallTime { WallTime(microseconds: last.wrappingAdd(1, ordering: .relaxed).newValue) }
}
