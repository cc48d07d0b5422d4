public import Cryptography
public import Wire

/// What an engine learns by itself, for those who publish or show it.
public enum EngineEvent: Hashable, Sendable {
  /// Where this machine can be reached, most useful first: sent once after the start and whenever the set changes.
  case localEndpoints([SocketAddress])
  /// A handshake with the peer succeeded, in either role.
  case handshake(X25519PublicKey)
  /// The peer is now reached at another address.
  case endpointChanged(X25519PublicKey, SocketAddress)
  /// The engine lost its device or a thread of it failed: nothing moves any more. Stop it and start another.
  case failed(EngineError)
}
