import DWN
import Synchronization

/// The frames of one subscription that nobody has taken yet, and how it ended.
///
/// A node sends 32 frames and waits for an acknowledgement, so that a buffer of twice as many never fills. One that fills is a
/// node's that does not keep to this.
final class SubscriptionBuffer: Sendable {
  static let capacity = 64

  private struct Waiting {
    let frame: SubscriptionFrame
    let size: Int
  }

  private struct State {
    var frames: [Waiting] = []
    var reader: CheckedContinuation<Result<SubscriptionFrame?, EndpointError>, Never>?
    var end: Result<SubscriptionFrame?, EndpointError>?
  }

  private let state = Mutex(State())
  private let budget: FrameBudget

  init(budget: FrameBudget) {
    self.budget = budget
  }

  /// Takes a frame of so many bytes for the reader; `false` if there is no room for it.
  func put(_ frame: SubscriptionFrame, size: Int) -> Bool {
    let (isTaken, reader) = state.withLock {
      state -> (Bool, CheckedContinuation<Result<SubscriptionFrame?, EndpointError>, Never>?) in
      guard state.end == nil else { return (true, nil) }
      if let reader = state.reader {
        state.reader = nil
        return (true, reader)
      }
      guard state.frames.count < Self.capacity, budget.take(size) else { return (false, nil) }
      state.frames.append(Waiting(frame: frame, size: size))
      return (true, nil)
    }
    reader?.resume(returning: .success(frame))
    return isTaken
  }

  /// Nothing more comes, with or without an error; what is there can still be taken.
  func end(_ error: EndpointError? = nil) {
    let result: Result<SubscriptionFrame?, EndpointError> = error.map { .failure($0) } ?? .success(nil)
    let reader = state.withLock { state in
      state.end = state.end ?? result
      defer { state.reader = nil }
      return state.reader
    }
    reader?.resume(returning: result)
  }

  /// Ends it and forgets what is there.
  func close() {
    end()
    let size = state.withLock { state in
      state.end = .success(nil)
      defer { state.frames = [] }
      return state.frames.reduce(0) { $0 + $1.size }
    }
    budget.give(size)
  }

  /// Waits for a frame. `nil` at the end, and when the task is cancelled. For one reader: of two, the earlier one gets `nil`.
  func next() async throws(EndpointError) -> SubscriptionFrame? {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (ready, earlier) = state.withLock {
          state -> (
            Result<SubscriptionFrame?, EndpointError>?,
            CheckedContinuation<Result<SubscriptionFrame?, EndpointError>, Never>?
          ) in
          if !state.frames.isEmpty {
            let first = state.frames.removeFirst()
            budget.give(first.size)
            return (.success(first.frame), nil)
          }
          if let end = state.end { return (end, nil) }
          if Task.isCancelled { return (.success(nil), nil) }
          defer { state.reader = continuation }
          return (nil, state.reader)
        }
        earlier?.resume(returning: .success(nil))
        if let ready { continuation.resume(returning: ready) }
      }
    } onCancel: {
      let reader = state.withLock { state in
        defer { state.reader = nil }
        return state.reader
      }
      reader?.resume(returning: .success(nil))
    }
    return try result.get()
  }
}

/// How many bytes of frames may wait on all subscriptions of one connection together.
final class FrameBudget: Sendable {
  private let rest: Mutex<Int>

  init(bytes: Int) {
    rest = Mutex(bytes)
  }

  func take(_ size: Int) -> Bool {
    rest.withLock { rest in
      guard size <= rest else { return false }
      rest -= size
      return true
    }
  }

  func give(_ size: Int) {
    rest.withLock { $0 += size }
  }
}
