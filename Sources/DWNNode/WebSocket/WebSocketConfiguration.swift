/// Bounds of the connections that stay open (dwn-server 12).
public struct WebSocketConfiguration: Hashable, Sendable {
  /// At a time, from all.
  public var connections: Int
  /// From one IPv4 address or one IPv6 /64, which many machines may share; and from one /24 or /48. Loopback is not counted.
  public var connectionsPerNetwork: Int
  public var connectionsPerSite: Int
  /// Bytes of one frame to a client, where that can be kept: events leave their data out, and the entries of a reply are cut.
  /// Clients exist that drop the connection at a larger one, and come back for it forever.
  public var largestFrame = usualFrame
  public static let usualFrame = 32 << 10
  /// How often a client is asked whether it is there. One that did not answer by the next time is dropped, and so is one that has left
  /// something unread for too long.
  public var heartbeat = Duration.seconds(30)
  public var subscriptionsPerConnection = 64
  /// Of all connections together; a network has a sixteenth of them at most, and a site a quarter.
  public var subscriptions: Int
  /// Requests of one connection that are answered at a time.
  public var requestsInFlight = 8
  /// Frames other than messages, and acknowledgements of what was not sent, that a client may send.
  public var controlRate = RateLimit(perSecond: 10, burst: 100)
  /// All frames of one connection, and their bytes, except acknowledgements of what was sent.
  public var frameRate = RateLimit(perSecond: 100, burst: 1_000)
  public var byteRate = RateLimit(perSecond: 256_000, burst: 1_000_000)
  /// An acknowledgement has at most so many bytes.
  public var largestAcknowledgement = 1 << 10

  /// The usual client has ten subscriptions on a connection.
  public init(connections: Int = 20_000) {
    self.connections = connections
    connectionsPerNetwork = max(64, connections / 32)
    connectionsPerSite = max(128, connections / 8)
    subscriptions = max(1_000, connections * 10)
  }
}
