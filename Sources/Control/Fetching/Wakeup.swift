import Synchronization
import Wire

/// Ends a wait early. A signal that comes while nobody waits ends the next wait at once; several are as one. One waiter at a time.
final class Wakeup: Sendable {
  private enum State {
    case idle
    case signalled
    case waiting(CheckedContinuation<Void, Never>)
  }

  private let state = Mutex(State.idle)

  func signal() {
    let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
      guard case .waiting(let continuation) = state else {
        state = .signalled
        return nil
      }
      state = .idle
      return continuation
    }
    waiter?.resume()
  }

  /// Returns at the deadline, at a signal, or when the task is cancelled.
  func wait(until deadline: Instant?, on clock: some ControlClock) async {
    await withTaskGroup(of: Void.self) { group in
      if let deadline {
        group.addTask { try? await clock.sleep(until: deadline) }
      }
      group.addTask { await self.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  private func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if case .signalled = state {
            state = .idle
            return true
          }
          guard !Task.isCancelled else { return true }
          state = .waiting(continuation)
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
        guard case .waiting(let continuation) = state else { return nil }
        state = .idle
        return continuation
      }
      waiter?.resume()
    }
  }
}
