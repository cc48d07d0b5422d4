import Synchronization

/// Bounds how much is fetched side by side, and how much waits for that, in the order of asking.
final class FetchSlots: Sendable {
  private struct State {
    var free: Int
    var waiting: [CheckedContinuation<Bool, Never>] = []
  }

  private let state: Mutex<State>
  private let maximumWaiting: Int

  init(_ count: Int, waiting: Int) {
    state = Mutex(State(free: count))
    maximumWaiting = waiting
  }

  /// Runs `body` once there is room. `nil`: too many wait already.
  func run<Value: Sendable>(_ body: () async -> Value) async -> Value? {
    guard await enter() else { return nil }
    defer { leave() }
    return await body()
  }

  private func enter() async -> Bool {
    await withCheckedContinuation { continuation in
      let answer: Bool? = state.withLock { state in
        if state.free > 0 {
          state.free -= 1
          return true
        }
        guard state.waiting.count < maximumWaiting else { return false }
        state.waiting.append(continuation)
        return nil
      }
      if let answer { continuation.resume(returning: answer) }
    }
  }

  /// Hands the slot to who has waited longest.
  private func leave() {
    let next = state.withLock { state -> CheckedContinuation<Bool, Never>? in
      guard !state.waiting.isEmpty else {
        state.free += 1
        return nil
      }
      return state.waiting.removeFirst()
    }
    next?.resume(returning: true)
  }
}
