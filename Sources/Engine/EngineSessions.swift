import DataPath
import Glibc
import Logging
import Netmap
import Traversal
import Wire
import WireGuard

/// What the engine does for its `Device`: carries out actions, and keeps the data path's table up to date with them.
extension Engine {
  /// Carries out actions in their order. What has to be sealed waits for `flushTable`.
  func perform(_ actions: [Action]) {
    for action in actions {
      switch action {
      case .send(let message, let addresses):
        // Whoever gets this may answer under a session that it agrees: the data path must know it first.
        flushTable()
        sendHandshake(message, to: addresses)
      case .install(let session, let keys, let state):
        let memory = SessionMemory(session, keys: keys)
        peers[session.peer]?.sessions[session.id] = memory
        if state == .current {
          peers[session.peer]?.sealing = memory
          advertiseDiscoKey(to: session.peer)
        }
        stalePeers.insert(session.peer)
      case .promote(let session):
        let memory = peers[session.peer]?.sessions[session.id]
        peers[session.peer]?.sealing = memory
        stalePeers.insert(session.peer)
        advertiseDiscoKey(to: session.peer)
      case .retire(let session):
        guard let peer = peers[session.peer] else { continue }
        peers[session.peer]?.sessions[session.id] = nil
        peers[session.peer]?.answered[session.id] = nil
        if peer.sealing?.session.id == session.id { peers[session.peer]?.sealing = nil }
        stalePeers.insert(session.peer)
      case .setEndpoint(let id, let address):
        guard let peer = peers[id] else { continue }
        guard !PseudoAddress.isPseudo(address.ip) else {
          if !peer.hasRoute { setBehindRelay(id) }
          continue
        }
        guard !peer.hasRoute else {
          if let pathfinding { perform(pathfinding.finder.heard(peer.key, from: address, now: .now())) }
          continue
        }
        peers[id]?.isBehindRelay = false
        peers[id]?.endpoint = address
        stalePeers.insert(id)
        limitToRoute(id)
        announce.yield(.endpointChanged(peer.key, address))
      case .seal(let id, let packets):
        waitingToSeal += packets.map { (id, $0) }
      case .sealKeepalive(let id):
        waitingToSeal.append((id, []))
      case .handshakeCompleted(let id, let session):
        guard let peer = peers[id] else { continue }
        peers[id]?.lastHandshake = session.establishedAt
        logger.debug(
          "handshake", metadata: ["peer": "\(peer.key)", "name": "\(peer.peer.name)", "role": "\(session.role)"])
        announce.yield(.handshake(peer.key))
      case .handshakeAbandoned(let id, let dropped):
        guard let peer = peers[id] else { continue }
        logger.info(
          "no answer to handshakes",
          metadata: ["peer": "\(peer.key)", "name": "\(peer.peer.name)", "droppedPackets": "\(dropped)"])
      }
    }
  }

  private func setBehindRelay(_ id: PeerID) {
    peers[id]?.isBehindRelay = true
    peers[id]?.endpoint = nil
    stalePeers.insert(id)
  }

  /// Publishes the table if it is out of date, then hands over what has to be sealed under it.
  func flushTable() {
    guard let io else { return }
    if isPolicyStale || !stalePeers.isEmpty {
      let changes = stalePeers.map { ($0, peers[$0]?.forwarding) }
      table = table.changed(
        Dictionary(uniqueKeysWithValues: changes), policy: isPolicyStale ? policy : nil)
      stalePeers.removeAll(keepingCapacity: true)
      isPolicyStale = false
      io.dataPath.publish(table)
    }
    for (peer, packet) in waitingToSeal where !io.dataPath.seal(packet, for: peer) {
      logger.debug("the queue of packets to seal is full", metadata: ["peer": "\(peer.number)"])
    }
    waitingToSeal = []
  }

  /// What the netmap says about all peers together.
  private var policy: ForwardingTable.Policy {
    ForwardingTable.Policy(
      allowedIPs: device.allowedIPs.table(), ownAddresses: netmap?.node.addresses.map(\.address) ?? [],
      filter: netmap.map { PacketFilter($0.filter) } ?? .denyAll)
  }
}
