public import Wire

/// How a ping of `Engine.ping` was answered.
public struct PingAnswer: Hashable, Sendable {
  /// The address that answered; `nil`: the answer came through a relay.
  public var address: SocketAddress?
  /// The relay through which it came, where it is known.
  public var relay: UInt16?
  public var latency: Duration

  public var isDirect: Bool { address != nil }
}
