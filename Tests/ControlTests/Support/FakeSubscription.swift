import DWN
import Synchronization
import Wire

/// A subscription at a `FakeNode`: what the node tells waits until somebody takes it.
final class FakeSubscription: SubscriptionSource {
  private struct State {
    var frames: [SubscriptionFrame] = []
    var acknowledged: [ProgressToken] = []
    var isClosed = false
    var failure: EndpointError?
  }

  let matches: @Sendable (RecordsWrite) -> Bool
  let path: String?
  private let state = Mutex(State())

  init(path: String?, matching matches: @escaping @Sendable (RecordsWrite) -> Bool) {
    self.path = path
    self.matches = matches
  }

  var isOpen: Bool { state.withLock { !$0.isClosed && $0.failure == nil } }
  var acknowledged: [ProgressToken] { state.withLock { $0.acknowledged } }
  var failure: EndpointError? { state.withLock { $0.failure } }

  func put(_ frame: SubscriptionFrame) { state.withLock { $0.frames.append(frame) } }

  /// The connection breaks, after what was told.
  func fail(_ error: EndpointError) { state.withLock { $0.failure = error } }

  /// The next frame, if there is one.
  func poll() -> SubscriptionFrame? { state.withLock { $0.frames.isEmpty ? nil : $0.frames.removeFirst() } }

  /// A simulation looks for frames by itself; here nobody waits.
  func next() async throws(EndpointError) -> SubscriptionFrame? {
    if let frame = poll() { return frame }
    if let failure { throw failure }
    return nil
  }

  func acknowledge(_ cursor: ProgressToken) { state.withLock { $0.acknowledged.append(cursor) } }

  func close() { state.withLock { $0.isClosed = true } }
}
