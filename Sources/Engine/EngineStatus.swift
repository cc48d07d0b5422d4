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
  /// The relays of the netmap that pass traffic on, by id. Empty without a disco key.
  public var relays: [RelayStatus]
  /// Packets that were dropped, by reason; reasons without any are left out.
  public var drops: [String: UInt64]
  /// Whether the interface is up, as it was when the host's network was last looked at.
  public var isInterfaceUp: Bool
  /// What should lead into the tunnel and does not, and why.
  public var refusedRoutes: [IPPrefix: String]
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

  /// The way that packets to a peer take now.
  public enum Path: Hashable, Sendable {
    /// None is known.
    case none
    case direct(SocketAddress)
    /// Through a relay: the id of the one that is used, if one is.
    case relayed(UInt16?)
    /// To an address that has not answered lately, and through a relay.
    case both(SocketAddress, UInt16?)
  }

  public var key: X25519PublicKey
  /// Where packets to it go; `nil` as long as no address has answered.
  public var endpoint: SocketAddress?
  public var path: Path
  /// From a ping to its pong on the direct path.
  public var latency: Duration?
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

/// What the engine knows of a relay.
public struct RelayStatus: Hashable, Sendable {
  public var id: UInt16
  public var region: String
  public var isHome: Bool
  public var isStandby: Bool
  public var isConnected: Bool
  /// How long it took to answer at the last check of the network.
  public var latency: Duration?
  /// Why there is no connection, when one was tried; or what the relay itself says is wrong.
  public var error: String?
}
