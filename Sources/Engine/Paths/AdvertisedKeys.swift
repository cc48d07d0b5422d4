import Cryptography
import Netmap
import Wire

/// Disco keys that peers told inside the tunnel. Each holds until the peer's record has another than it had then.
struct AdvertisedKeys {
  /// A peer that changes its mind more often is not followed: each change makes the ways to it be looked for anew.
  static let leastInterval: Duration = .seconds(10)

  private struct Entry {
    let key: X25519PublicKey
    let recorded: X25519PublicKey?
    let at: Instant
  }

  private var entries: [X25519PublicKey: Entry] = [:]

  /// - Parameter peer: as it is known now. The peer with its key, or `nil` if nothing is new about it, or too early.
  mutating func note(_ key: X25519PublicKey, of peer: Peer, now: Instant) -> Peer? {
    let former = entries[peer.key]
    guard key != peer.discoKey, former.map({ now - $0.at >= Self.leastInterval }) ?? true else { return nil }
    entries[peer.key] = Entry(key: key, recorded: former == nil ? peer.discoKey : former?.recorded, at: now)
    var peer = peer
    peer.discoKey = key
    return peer
  }

  /// The netmap of the records, with what the peers told instead. What a newer record has overtaken is forgotten.
  mutating func laid(over netmap: Netmap) -> Netmap {
    guard !entries.isEmpty else { return netmap }
    var netmap = netmap
    var kept: [X25519PublicKey: Entry] = [:]
    for (index, peer) in netmap.peers.enumerated() {
      guard let entry = entries[peer.key], entry.recorded == peer.discoKey else { continue }
      kept[peer.key] = entry
      netmap.peers[index].discoKey = entry.key
    }
    entries = kept
    return netmap
  }
}
