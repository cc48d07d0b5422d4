public import Cryptography
public import Netmap
public import Traversal
public import Wire

/// What an engine learns by itself, for those who publish or show it.
public enum EngineEvent: Hashable, Sendable {
  /// How this machine can be reached: sent once after the start, when the network was checked or after 2 s, and whenever it changes.
  case reach(Reach)
  /// A handshake with the peer succeeded, in either role.
  case handshake(X25519PublicKey)
  /// The peer is now reached at another address.
  case endpointChanged(X25519PublicKey, SocketAddress)
  /// Others reach this port of the machine there now; `nil`: no gateway maps it any more.
  case portMapped(PortMapping.Port, SocketAddress?)
  /// What listens on all of this host's addresses can be reached under others now: `HostAddresses.reachable` has them.
  case hostAddressesChanged
  /// The engine lost its device or a thread of it failed: nothing moves any more. Stop it and start another.
  case failed(EngineError)
}
