public import Cryptography
public import Wire

/// What a `PathFinder` asks its owner to do. Actions are performed in their order.
public enum PathAction: Hashable, Sendable {
  /// A disco datagram, from the socket that carries WireGuard.
  case send([UInt8], to: SocketAddress)
  /// A disco message through the relay.
  case sendRelayed([UInt8], to: X25519PublicKey)
  /// Packets to the peer travel like this from now on. Of direct ones none may be longer than `wireMTU`, counted with its IP header.
  case setRoute(X25519PublicKey, Route, wireMTU: Int)
  /// Own addresses are out of date, and a peer shall be told them: find them out again and call `setOwnEndpoints`.
  case refreshOwnEndpoints
  /// Nothing comes back on a way in use: ask the relays that are connected whether they are still there, before packets need them.
  case askRelays
  /// A peer saw this machine's datagrams come from here.
  case observed(SocketAddress, by: X25519PublicKey)
  /// Each of these datagrams from a socket of its own, which then is listened on. What comes there is received like anything else, and
  /// what is sent to its source goes out there. The first socket over which the peer proves itself stands for that address from then
  /// on, and the others are closed. There may be more of them for the same peer, until they are closed.
  case openProbeSockets([[UInt8]], to: SocketAddress, for: X25519PublicKey)
  /// All of them are closed but the one that stands for the peer's way.
  case closeProbeSockets(for: X25519PublicKey)
  /// The peer answered a ping from there: the socket over which that was received leads to it.
  case proved(X25519PublicKey, at: SocketAddress)
  /// The answer to `PathFinder.ping`: the first of its pings that was answered. `via` is `nil` for the relay.
  case answered(PingToken, via: SocketAddress?, latency: Duration)
}

/// What stands behind own addresses that a `PathFinder` is told.
public enum OwnEndpointsSource: Hashable, Sendable {
  /// Others were asked just now.
  case foundOut
  /// Others were asked and have not answered: who waits to be called is told what is known.
  case overdue
  /// Something came to be known by the way. Who waits to be called waits on.
  case noted
}

/// Names one call of `PathFinder.ping`.
public struct PingToken: Hashable, Sendable {
  public let number: UInt64
}

/// How a disco message came.
public enum DiscoArrival: Hashable, Sendable {
  case datagram(from: SocketAddress)
  /// From the connection that proved to hold this node key to the relay. The relay itself is not trusted.
  case relayed(from: X25519PublicKey)
}
