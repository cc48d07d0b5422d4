import Cryptography
import DWN
import Mesh
import Wire

/// What makes the engine initiate to a peer at once: it has started again, or moved.
enum PeerRevision {
  /// Of a peer that speaks plain WireGuard: differs whenever its node record or its endpoint record does. The newest stamp alone would
  /// not tell, since clocks of different writers may stand apart.
  ///
  /// A peer with a disco key is looked for by probes, and its session outlives a change of path: only another record of admission,
  /// another key, other addresses or other relays count. Ports alone do not.
  static func of(_ node: MeshView.Node) -> UInt64 {
    var mix = Mix()
    guard let endpoint = node.endpoint, let key = endpoint.discoKey else {
      mix.add(UInt64(bitPattern: node.newestStamp.microseconds))
      mix.add(UInt64(bitPattern: node.endpointStamp?.microseconds ?? 0))
      return mix.value
    }
    mix.add(node.recordID.text.utf8)
    mix.add(key.bytes.array)
    for address in Set((endpoint.publicEndpoints.map(\.address) + endpoint.localEndpoints).map(\.ip)).sorted() {
      mix.add(UInt64(truncatingIfNeeded: address.value >> 64))
      mix.add(UInt64(truncatingIfNeeded: address.value))
    }
    for relay in [endpoint.homeRelay, endpoint.preferredDERP, endpoint.standbyDERP] { mix.add(UInt64(relay ?? 0)) }
    return mix.value
  }

  /// FNV-1a over bytes: the same in every process, so that netmaps can be compared.
  private struct Mix {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ bytes: some Sequence<UInt8>) {
      for byte in bytes { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    }

    mutating func add(_ number: UInt64) {
      for shift in stride(from: 0, to: 64, by: 8) { add(CollectionOfOne(UInt8(truncatingIfNeeded: number >> shift))) }
    }
  }
}
