public import Identity
public import Wire

/// A node that answers messages: over the network (`DWNClient`) or in this process (`DWNNode`). What it answers is checked by
/// whoever asks, wherever it runs.
public protocol DWNEndpoint: Sendable {
  /// For logs and errors: a URL, or words.
  var name: String { get }

  /// Hands a message to the node. Refusals by the node are replies; an error means that there was no answer.
  func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply

  /// Opens a subscription with a signed RecordsSubscribe or MessagesSubscribe, and gives the node's reply. The frames come with a
  /// reply of success, and with no other.
  func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?)

  /// This host has other addresses now: connections that were made with the old ones may lead nowhere, without a sign of it.
  func hostAddressesChanged()
}

extension DWNEndpoint {
  /// For an endpoint without connections.
  public func hostAddressesChanged() {}

  /// For an endpoint that has no live events.
  public func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    (Reply(.init(501, "RecordsSubscribeEventLogUnimplemented: \(name) tells no events")), nil)
  }
}

/// An open subscription. For one reader, who pulls: a node need not look for what nobody takes.
public protocol SubscriptionSource: Sendable {
  /// Waits for the next frame. `nil` when it has ended in order: after a `failed` frame, after `close()`, or when the task is
  /// cancelled. An error means that the way to the node broke: nothing is lost, since a new subscription goes on from the cursor.
  func next() async throws(EndpointError) -> SubscriptionFrame?

  /// Says that the effect of everything up to this place is durable here. A node may hold back what comes more than 32 frames
  /// after the last place that was acknowledged.
  func acknowledge(_ cursor: ProgressToken)

  /// Says that a frame is left out on its way to the reader, who will therefore not acknowledge it by itself.
  func passOver(_ cursor: ProgressToken)

  /// Ends the subscription. A reader that waits gets `nil`.
  func close()
}

extension SubscriptionSource {
  public func passOver(_ cursor: ProgressToken) { acknowledge(cursor) }
}

/// Why a node gave no reply.
public enum EndpointError: Error, Hashable, Sendable, CustomStringConvertible {
  case unreachable(name: String, reason: String)
  case timedOut(name: String)
  case notADWN(name: String, reason: String)
  case rateLimited(name: String, retryAfter: Duration)
  case refused(name: String, reason: String)

  public var description: String {
    switch self {
    case .unreachable(let name, let reason): "\(name) cannot be reached: \(reason)"
    case .timedOut(let name): "\(name) did not answer in time"
    case .notADWN(let name, let reason): "\(name) does not answer like a DWN: \(reason)"
    case .rateLimited(let name, let after): "\(name) asks to wait \(Int(after.seconds.rounded(.up))) s"
    case .refused(let name, let reason): "\(name) refused the request: \(reason)"
    }
  }
}
