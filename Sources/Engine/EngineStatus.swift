public import Cryptography
public import Wire

/// An engine at one moment, for people and tests.
public struct EngineStatus: Hashable, Sendable {
  public var interfaceName: String
  public var port: UInt16
  public var mtu: Int
  public var localEndpoints: [SocketAddress]
  /// What the kernel does for the packet path now; one that is missing was switched off, is unknown to the kernel, or failed.
  public var offloads: [String]
  /// How many threads move packets.
  public var dataThreads: Int
  /// In the netmap's order: sorted by key.
  public var peers: [PeerStatus]
  /// Packets that were dropped, by reason; reasons without any are left out.
  public var drops: [String: UInt64]
}

/// What the engine knows of a peer.
public struct PeerStatus: Hashable, Sendable {
  public enum Session: String, Hashable, Sendable {
    /// No keys, and no attempt to get some.
    case none
    /// An initiation is out, or a response waits for its confirmation.
    case handshaking
    /// Packets can be sent.
    case established
    /// The last keys are too old to use.
    case expired
  }

  public var key: X25519PublicKey
  /// Where packets to it go; `nil` as long as no address has answered.
  public var endpoint: SocketAddress?
  /// How long ago the last handshake succeeded; `nil`: never.
  public var lastHandshake: Duration?
  /// How long ago the last packet came that authenticated; `nil`: never.
  public var lastReceived: Duration?
  /// Bytes of UDP payload with sealed packets in them, keepalives included.
  public var receivedBytes: UInt64
  public var sentBytes: UInt64
  /// Packets that authenticated and came after a later one of their session.
  public var receivedOutOfOrder: UInt64
  public var session: Session
}
