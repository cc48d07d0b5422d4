/// Bounds of the connections that stay open (dwn-server 12).
public struct WebSocketConfiguration: Hashable, Sendable {
  /// Bytes of one frame to a client, where that can be kept: events leave their data out, and the entries of a reply are cut.
  /// Clients exist that drop the connection at a larger one, and come back for it forever.
  public var largestFrame: Int
  /// How often a client is asked whether it is there. One that did not answer by the next time is dropped.
  public var heartbeat: Duration
  public var subscriptionsPerConnection: Int
  /// Of all connections together.
  public var subscriptions: Int
  /// Requests of one connection that are answered at a time.
  public var requestsInFlight: Int
  /// Frames other than messages, and acknowledgements, that a client may send.
  public var controlRate: RateLimit

  public init(
    largestFrame: Int = 32_768, heartbeat: Duration = .seconds(30), subscriptionsPerConnection: Int = 64,
    subscriptions: Int = 20_000, requestsInFlight: Int = 8,
    controlRate: RateLimit = RateLimit(perSecond: 10, burst: 100)
  ) {
    self.largestFrame = largestFrame
    self.heartbeat = heartbeat
    self.subscriptionsPerConnection = subscriptionsPerConnection
    self.subscriptions = subscriptions
    self.requestsInFlight = requestsInFlight
    self.controlRate = controlRate
  }
}
