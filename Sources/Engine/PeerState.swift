import Cryptography
import DataPath
import Netmap
import Traversal
import Wire
import WireGuard

/// What the control side keeps of one peer.
struct PeerState {
  var peer: Peer
  let id: PeerID
  let memory: PeerMemory
  /// Where datagrams to it go.
  var endpoint: SocketAddress?
  /// The finder decides how packets travel: the peer has a disco key, and so has this machine.
  var hasRoute = false
  var route = Route.none
  /// The longest inner packet of a direct route, or that the kernel's route carries to a peer without a disco key.
  var innerLimit: Int?
  /// Where it was last heard is a relay, and the finder has not said anything else since its disco key is known.
  var isBehindRelay = false
  /// Packets go to the address through the control side.
  private var hasOwnSocket = false
  /// All sessions under which packets are opened.
  var sessions: [SessionID: SessionMemory] = [:]
  /// The one to seal with.
  var sealing: SessionMemory?
  var lastHandshake: Instant?
  /// Where answers to handshakes of the peer went that it has not used yet.
  var answered: [SessionID: SocketAddress] = [:]
  /// When an initiation was last sent, and when one was last sent before its turn.
  var lastInitiation: Instant?
  var lastHurry: Instant?

  var key: X25519PublicKey { peer.key }

  init(_ peer: Peer, _ id: PeerID) {
    self.peer = peer
    self.id = id
    memory = PeerMemory(id)
  }

  /// Under every packet on a wire: the IP header, UDP's, and those of a transport message with the cipher's tag.
  private static let overhead = (ipv4: 60, ipv6: 80)

  /// - Parameter hasOwnSocket: the address is reached over a socket that the data path does not have.
  mutating func setRoute(_ route: Route, wireMTU: Int, hasOwnSocket: Bool = false) {
    self.route = route
    if route != .none { isBehindRelay = false }
    self.hasOwnSocket = hasOwnSocket
    endpoint = route.address
    innerLimit = route.address.map { Self.innerLimit(wireMTU: wireMTU, family: $0.ip.family) }
  }

  /// The longest inner packet that fits into an outer one.
  static func innerLimit(wireMTU: Int, family: IPAddress.Family) -> Int {
    wireMTU - (family == .v4 ? overhead.ipv4 : overhead.ipv6)
  }

  var forwarding: ForwardingTable.Peer {
    ForwardingTable.Peer(
      memory: memory, sealing: sealing, opening: sessions.values.sorted { $0.session.id.number < $1.session.id.number },
      endpoint: hasOwnSocket ? nil : endpoint, viaRelay: route.usesRelay || hasOwnSocket || isBehindRelay,
      innerLimit: innerLimit)
  }

  /// - Parameters:
  ///   - relay: the one that packets to the peer would take.
  ///   - latency: of the direct path.
  func status(_ device: Device, relay: UInt16? = nil, latency: Duration? = nil, at now: Instant) -> PeerStatus {
    let session: PeerStatus.Session =
      switch device.status(of: id, now: now)?.state {
      case .established: .established
      case .handshaking: .handshaking
      case .idle, nil:
        // A response is out whose session nobody has used yet.
        sessions.values.contains { $0.session.isUsable(at: now) }
          ? .handshaking : lastHandshake == nil ? .none : .expired
      }
    let received = memory.lastReceivedNanoseconds
    return PeerStatus(
      key: key, endpoint: endpoint, path: path(relay), latency: latency,
      lastHandshake: lastHandshake.map { now - $0 },
      lastReceived: received == 0 ? nil : now - Instant(nanoseconds: received),
      receivedBytes: memory.receivedBytes, sentBytes: memory.sentBytes,
      receivedOutOfOrder: memory.receivedOutOfOrder, session: session)
  }

  private func path(_ relay: UInt16?) -> PeerStatus.Path {
    guard hasRoute else { return endpoint.map { .direct($0) } ?? (isBehindRelay ? .relayed(relay) : .none) }
    return switch route {
    case .none: .none
    case .relayed: .relayed(relay)
    case .direct(let address): .direct(address)
    case .both(let address): .both(address, relay)
    }
  }
}
