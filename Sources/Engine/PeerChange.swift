import Cryptography
import Netmap
import Wire

/// What has to be done to get from one list of peers to another.
struct PeerChange: Equatable {
  var removed: [X25519PublicKey] = []
  var updated: [Peer] = []
  var added: [Peer] = []
  /// What leads into the tunnel: every peer's allowed IPs. A default route is left out, as it would swallow the tunnel's own
  /// packets.
  var routes: Set<IPPrefix> = []

  /// The wanted peers keep only allowed IPs that are not the node's own addresses and that no peer before them has.
  init(from former: [Peer], to wanted: [Peer], own node: LocalNode) {
    let before = Dictionary(former.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    var taken: Set<IPPrefix> = Set(node.addresses.map { IPPrefix(host: $0.address) })
    var present: Set<X25519PublicKey> = [node.key]
    for var peer in wanted where present.insert(peer.key).inserted {
      peer.allowedIPs = peer.allowedIPs.filter { taken.insert($0).inserted }
      routes.formUnion(peer.allowedIPs.filter { $0.length > 0 })
      switch before[peer.key] {
      case peer: break
      case .some: updated.append(peer)
      case nil: added.append(peer)
      }
    }
    removed = former.map(\.key).filter { !present.contains($0) }.sorted()
  }
}
