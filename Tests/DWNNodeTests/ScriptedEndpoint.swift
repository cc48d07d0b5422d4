import DWN
import Identity
import Synchronization
import Wire

/// A node that tells the events which a test puts in, and remembers what was acknowledged.
final class ScriptedEndpoint: DWNEndpoint {
  let name = "scripted"
  let reply: Reply
  let frames: [SubscriptionFrame]
  /// What its subscriptions fail with after their frames, if anything.
  let failure: EndpointError?
  let sources = Mutex<[ScriptedSource]>([])

  init(
    reply: Reply = Reply(.init(200, "OK")), frames: [SubscriptionFrame] = [], failure: EndpointError? = nil
  ) {
    self.reply = reply
    self.frames = frames
    self.failure = failure
  }

  func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply { reply }

  func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    guard reply.status.isSuccess else { return (reply, nil) }
    let source = ScriptedSource(frames, failure)
    sources.withLock { $0.append(source) }
    return (reply, source)
  }
}

final class ScriptedSource: SubscriptionSource {
  private struct State {
    var frames: [SubscriptionFrame]
    var acknowledged: [ProgressToken] = []
    var isClosed = false
    var waiting: CheckedContinuation<SubscriptionFrame?, Never>?
  }

  private let state: Mutex<State>
  private let failure: EndpointError?

  init(_ frames: [SubscriptionFrame], _ failure: EndpointError? = nil) {
    state = Mutex(State(frames: frames))
    self.failure = failure
  }

  var acknowledged: [ProgressToken] { state.withLock { $0.acknowledged } }
  var isClosed: Bool { state.withLock { $0.isClosed } }

  func next() async throws(EndpointError) -> SubscriptionFrame? {
    if let failure, state.withLock({ $0.frames.isEmpty }) { throw failure }
    return await withCheckedContinuation { continuation in
      let (isReady, frame) = state.withLock { state -> (Bool, SubscriptionFrame?) in
        if !state.frames.isEmpty { return (true, state.frames.removeFirst()) }
        if state.isClosed { return (true, nil) }
        state.waiting = continuation
        return (false, nil)
      }
      if isReady { continuation.resume(returning: frame) }
    }
  }

  func acknowledge(_ cursor: ProgressToken) { state.withLock { $0.acknowledged.append(cursor) } }

  func close() {
    let waiting = state.withLock { state in
      state.isClosed = true
      defer { state.waiting = nil }
      return state.waiting
    }
    waiting?.resume(returning: nil)
  }
}
