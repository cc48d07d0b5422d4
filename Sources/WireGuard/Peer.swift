public import Cryptography
public import Wire

/// What the owner of a `Device` says about a peer.
public struct PeerConfiguration: Equatable, Sendable {
  public var publicKey: X25519PublicKey
  /// 32 bytes mixed into every handshake; `nil` is the protocol's default of zeros.
  public var presharedKey: SecretBytes?
  /// What the peer may send from, and is sent.
  public var allowedIPs: [IPPrefix]
  /// Where the peer might be. Each initiation goes to all of them, and to where the peer was last heard from.
  public var candidates: [SocketAddress]
  /// Keeps the state of middleboxes alive: so long after the last packet a keepalive is sent. `nil` and zero are off; less than
  /// a second counts as one.
  public var persistentKeepalive: Duration?

  public init(
    publicKey: X25519PublicKey, presharedKey: SecretBytes? = nil, allowedIPs: [IPPrefix] = [],
    candidates: [SocketAddress] = [], persistentKeepalive: Duration? = nil
  ) {
    self.publicKey = publicKey
    self.presharedKey = presharedKey
    self.allowedIPs = allowedIPs
    self.candidates = candidates
    self.persistentKeepalive = persistentKeepalive
  }
}

/// What there is to tell about a peer. Byte counts are the data path's.
public struct PeerStatus: Equatable, Sendable {
  public enum State: Sendable {
    /// Nothing was agreed, and nothing is being tried.
    case idle
    /// There is no usable session, and an initiation waits for its answer or its next attempt.
    case handshaking
    case established
  }

  public let publicKey: X25519PublicKey
  public let state: State
  /// Where the last authenticated packet came from.
  public let endpoint: SocketAddress?
  public let lastHandshake: WallTime?
  public let session: Session?
}

/// Everything a device knows of a peer.
final class Peer {
  let id: PeerID
  let handshake: HandshakePeer
  var configuration: PeerConfiguration
  var endpoint: SocketAddress?

  var sessions = SessionTable()
  var cookies: CookieGenerator
  var staged = StagedPackets()
  var timers = Timers()
  /// The earliest entry of this peer in the device's queue.
  var queuedDeadline: Instant?

  /// The initiation that waits for its response.
  var pending: InitiatorHandshake?
  /// Initiations sent since the handshake was wanted, less one.
  var retransmissions = 0
  /// When an initiation or a response was sent: the next initiation keeps its distance.
  var lastHandshakeSent: Instant?
  /// Where the last initiation went.
  var lastInitiationAddresses: [SocketAddress] = []
  var lastTimestampSent: TAI64N?
  /// The greatest stamp accepted. It outlives sessions and key material: it is what stops replays.
  var lastTimestampReceived: TAI64N?
  var lastInitiationAccepted: Instant?
  var lastHandshakeCompleted: WallTime?

  init(_ id: PeerID, _ configuration: PeerConfiguration, _ handshake: HandshakePeer) {
    self.id = id
    self.configuration = configuration
    self.handshake = handshake
    self.cookies = CookieGenerator(configuration.publicKey)
  }

  private static let noPresharedKey = SecretBytes([UInt8](repeating: 0, count: 32))

  var presharedKey: SecretBytes { configuration.presharedKey ?? Peer.noPresharedKey }

  var keepaliveInterval: Duration? {
    configuration.persistentKeepalive.flatMap { $0 > .zero ? max($0, .seconds(1)) : nil }
  }

  /// Where an initiation goes: where the peer was last heard from, then its candidates.
  var addresses: [SocketAddress] {
    var addresses = endpoint.map { [$0] } ?? []
    for candidate in configuration.candidates where !addresses.contains(candidate) { addresses.append(candidate) }
    return addresses
  }
}
