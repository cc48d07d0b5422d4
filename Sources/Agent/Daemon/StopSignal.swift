import Synchronization

/// Says once that it is time to end, to everybody who waits.
final class StopSignal: Sendable {
  private struct State {
    var isStopped = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  func stop() {
    let waiting = state.withLock { state in
      state.isStopped = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  var isStopped: Bool { state.withLock { $0.isStopped } }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isStopped = state.withLock { state in
        if !state.isStopped { state.waiting.append(continuation) }
        return state.isStopped
      }
      if isStopped { continuation.resume() }
    }
  }
}
