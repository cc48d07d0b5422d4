import DWN
import Synchronization
import Wire

/// Ends questions that take too long. One clock watches all that are under way: a timer for each would cost more than most of them do.
final class Deadlines: Sendable {
  private struct Question {
    let deadline: Instant
    let cancel: @Sendable () -> Void
    var isLate = false
  }

  private struct State {
    var underWay: [Int: Question] = [:]
    var lastID = 0
    var isWatched = false
  }

  private let limit: Duration
  private let state = Mutex(State())

  init(_ limit: Duration) { self.limit = limit }

  /// Does something that ends early when its task is cancelled. Throws status 503 if that has not come to an end in time, or a
  /// little later.
  func within<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
    let task = Task { try await body() }
    let id = begin { task.cancel() }
    let result = await withTaskCancellationHandler {
      await task.result
    } onCancel: {
      task.cancel()
    }
    let isLate = end(id)
    if isLate, case .failure(let error) = result, !(error is DWNError) {
      throw DWNError(
        503, "QueryTimeLimitExceeded",
        "the answer was not found within \(Int(limit.seconds.rounded(.up))) s: ask for less, or again in a while")
    }
    return try result.get()
  }

  private func begin(_ cancel: @escaping @Sendable () -> Void) -> Int {
    let (id, starts) = state.withLock { state -> (Int, Bool) in
      state.lastID += 1
      state.underWay[state.lastID] = Question(deadline: .now() + limit, cancel: cancel)
      defer { state.isWatched = true }
      return (state.lastID, !state.isWatched)
    }
    if starts { Task { await watch() } }
    return id
  }

  private func end(_ id: Int) -> Bool { state.withLock { $0.underWay.removeValue(forKey: id)?.isLate ?? false } }

  /// Looks ten times within the limit, until there is nothing to look after.
  private func watch() async {
    while true {
      try? await Task.sleep(for: limit / 10)
      let now = Instant.now()
      let late = state.withLock { state -> [@Sendable () -> Void]? in
        guard !state.underWay.isEmpty else {
          state.isWatched = false
          return nil
        }
        var late: [@Sendable () -> Void] = []
        for (id, question) in state.underWay where !question.isLate && question.deadline <= now {
          state.underWay[id]?.isLate = true
          late.append(question.cancel)
        }
        return late
      }
      guard let late else { return }
      for cancel in late { cancel() }
    }
  }
}
