import Cryptography
import DataPath
import Netmap
import Wire
import WireGuard

/// What the control side keeps of one peer.
struct PeerState {
  var peer: Peer
  let id: PeerID
  let memory: PeerMemory
  var endpoint: SocketAddress?
  /// All sessions under which packets are opened.
  var sessions: [SessionID: SessionMemory] = [:]
  /// The one to seal with.
  var sealing: SessionMemory?
  var lastHandshake: Instant?

  var key: X25519PublicKey { peer.key }

  init(_ peer: Peer, _ id: PeerID) {
    self.peer = peer
    self.id = id
    memory = PeerMemory(id)
  }

  var forwarding: ForwardingTable.Peer {
    ForwardingTable.Peer(
      memory: memory, sealing: sealing, opening: sessions.values.sorted { $0.session.id.number < $1.session.id.number },
      endpoint: endpoint)
  }

  func status(_ device: Device, at now: Instant) -> PeerStatus {
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
      key: key, endpoint: endpoint, path: endpoint.map { .direct($0) } ?? .none, latency: nil,
      lastHandshake: lastHandshake.map { now - $0 },
      lastReceived: received == 0 ? nil : now - Instant(nanoseconds: received),
      receivedBytes: memory.receivedBytes, sentBytes: memory.sentBytes,
      receivedOutOfOrder: memory.receivedOutOfOrder, session: session)
  }
}
