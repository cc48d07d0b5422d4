import DWN
import Wire

/// What one connection to a node carries: requests that wait for their answers, subscriptions, and acknowledgements that are to be
/// sent. A value without I/O.
struct SocketSession {
  /// Subscriptions of one connection; nodes allow as many (`dwn-server.md` 12.3).
  static let largestNumber = 64

  /// What became of a request to subscribe.
  typealias Answer = Result<Reply, EndpointError>

  private struct Subscription {
    let buffer: SubscriptionBuffer
    /// The request that opens it; `nil` once it is open.
    var call: String?
    var acknowledged: ProgressToken?
  }

  /// For errors.
  let name: String
  private var subscriptions: [String: Subscription] = [:]
  private var calls: [String: CheckedContinuation<Answer, Never>] = [:]
  /// Why the connection ended.
  private(set) var failure: EndpointError?

  init(name: String) {
    self.name = name
  }

  var isFull: Bool { subscriptions.count >= Self.largestNumber }

  // MARK: - This side

  /// From now on the connection is needed. `false` if it has ended.
  mutating func begin(_ subscription: String, call: String, buffer: SubscriptionBuffer) -> Bool {
    guard failure == nil else { return false }
    subscriptions[subscription] = Subscription(buffer: buffer, call: call)
    return true
  }

  mutating func wait(for call: String, _ answer: CheckedContinuation<Answer, Never>) { calls[call] = answer }

  /// Who waits for a request's answer waits no longer: the caller resumes it, and tells the node that the subscription is not
  /// wanted, should it be opened yet.
  mutating func abandon(call: String) -> (answer: CheckedContinuation<Answer, Never>, subscription: String?)? {
    guard let answer = calls.removeValue(forKey: call) else { return nil }
    let subscription = subscriptions.first { $0.value.call == call }?.key
    forget { $0.call == call }
    return (answer, subscription)
  }

  /// Returns whether the node has to be told.
  mutating func close(_ subscription: String) -> Bool {
    subscriptions.removeValue(forKey: subscription) != nil
  }

  /// Acknowledgements are cumulative: of several that could not be sent yet, the last counts.
  mutating func acknowledge(_ cursor: ProgressToken, of subscription: String) {
    subscriptions[subscription]?.acknowledged = cursor
  }

  /// Acknowledgements to be sent now.
  mutating func takeAcknowledgements() -> [(subscription: String, cursor: ProgressToken)] {
    var result: [(String, ProgressToken)] = []
    for (name, subscription) in subscriptions {
      guard let cursor = subscription.acknowledged else { continue }
      subscriptions[name]?.acknowledged = nil
      result.append((name, cursor))
    }
    return result
  }

  // MARK: - The node

  /// What the caller has to do after a text was received.
  enum Action {
    case nothing
    case answer(CheckedContinuation<Answer, Never>, Answer)
    /// The node does what no node does: the connection has to be closed.
    case disconnect(EndpointError)
  }

  mutating func received(_ text: [UInt8]) -> Action {
    switch SocketMessage(text) {
    case nil: return .disconnect(.notADWN(name: name, reason: "what it sends over WebSocket is not JSON-RPC"))
    case .irrelevant: return .nothing
    case .frame(let id, let frame): return received(frame, of: id, size: text.count)
    case .unreadableFrame(let id):
      subscriptions.removeValue(forKey: id)?.buffer.end(
        .notADWN(name: name, reason: "it sends an event that cannot be read"))
      return .nothing
    case .reply(let call, let reply):
      guard let answer = calls.removeValue(forKey: call) else { return .nothing }
      if reply.status.isSuccess { opened(call) } else { forget { $0.call == call } }
      return .answer(answer, .success(reply))
    case .failure(let call, let code, let text, let pause):
      guard let answer = calls.removeValue(forKey: call) else { return .nothing }
      forget { $0.call == call }
      return .answer(answer, .failure(error(code, text, pause)))
    }
  }

  /// Frames of a subscription may come before the answer to its request. Those of an unknown one are left out.
  private mutating func received(_ frame: SubscriptionFrame, of id: String, size: Int) -> Action {
    guard let buffer = subscriptions[id]?.buffer else { return .nothing }
    guard buffer.put(frame, size: size) else {
      return .disconnect(.notADWN(name: name, reason: "it sends more events than were acknowledged"))
    }
    if case .failed = frame {
      buffer.end()
      subscriptions[id] = nil
    }
    return .nothing
  }

  private func error(_ code: Int64, _ text: String, _ pause: Duration) -> EndpointError {
    if code == JSONRPCAnswer.tooManyRequests { return .rateLimited(name: name, retryAfter: pause) }
    if SocketMessage.permanentErrors.contains(code) { return .refused(name: name, reason: "\(text) (\(code))") }
    return .unreachable(name: name, reason: "\(text) (\(code))")
  }

  private mutating func opened(_ call: String) {
    for (name, subscription) in subscriptions where subscription.call == call { subscriptions[name]?.call = nil }
  }

  private mutating func forget(where isGone: (Subscription) -> Bool) {
    for (name, subscription) in subscriptions where isGone(subscription) {
      subscription.buffer.close()
      subscriptions[name] = nil
    }
  }

  /// Ends the connection if nobody needs it any more; whether it ended just now.
  mutating func endIfIdle(_ error: EndpointError) -> Bool {
    guard subscriptions.isEmpty, failure == nil else { return false }
    failure = error
    return true
  }

  /// The connection is gone. Returns those who wait for an answer that will not come; the caller resumes them.
  mutating func end(_ error: EndpointError) -> [CheckedContinuation<Answer, Never>] {
    guard failure == nil else { return [] }
    failure = error
    for subscription in subscriptions.values { subscription.buffer.end(error) }
    subscriptions = [:]
    defer { calls = [:] }
    return Array(calls.values)
  }
}
