import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

/// One `PathFinder` that has a relay and an address, and its peer as a pair of keys in the test's hand.
struct FinderWorld {
  let start = Instant(nanoseconds: 1_000_000_000_000)
  let random = SeededRandom(11)
  let own: X25519PrivateKey
  let disco: X25519PrivateKey
  let peer: X25519PrivateKey
  let peerDisco: X25519PrivateKey
  let box: NaClBox
  let finder: PathFinder
  /// Where the peer is.
  let home = SocketAddress("198.51.100.7:41641")!

  init() throws {
    own = X25519PrivateKey(random: random)
    disco = X25519PrivateKey(random: random)
    peer = X25519PrivateKey(random: random)
    peerDisco = X25519PrivateKey(random: random)
    box = try #require(NaClBox(peerDisco, disco.publicKey))
    finder = PathFinder(nodeKey: own.publicKey, discoKey: disco, random: random)
    _ = finder.setHasRelay(true, now: start)
    _ = finder.setOwnEndpoints([SocketAddress("192.0.2.5:41641")!], now: start)
  }
}

/// A suite about one finder: what it has and does is the suite's own.
protocol FinderSuite {
  var world: FinderWorld { get }
}

extension FinderSuite {
  var start: Instant { world.start }
  var random: SeededRandom { world.random }
  var own: X25519PrivateKey { world.own }
  var disco: X25519PrivateKey { world.disco }
  var peer: X25519PrivateKey { world.peer }
  var peerDisco: X25519PrivateKey { world.peerDisco }
  var box: NaClBox { world.box }
  var finder: PathFinder { world.finder }
  var home: SocketAddress { world.home }

  func netmap(_ endpoints: [SocketAddress], _ mapping: NATMapping? = nil, _ isMapped: Bool = false) -> Netmap {
    let node = LocalNode(
      name: "here", key: own.publicKey, addresses: [], meshPrefixes: [IPPrefix("10.200.0.0/16")!])
    return Netmap(
      networkName: "home", node: node,
      peers: [
        Peer(
          key: peer.publicKey, name: "there", addresses: [], allowedIPs: [], endpoints: endpoints,
          discoKey: peerDisco.publicKey, natMapping: mapping, hasMappedPort: isMapped)
      ])
  }

  func sealed(_ message: DiscoMessage) -> [UInt8] {
    DiscoEnvelope.seal(message, from: peerDisco.publicKey, in: box, random: random)
  }

  func pings(_ actions: [PathAction]) -> [(id: TransactionID, to: SocketAddress, length: Int)] {
    actions.compactMap { action in
      guard case .send(let bytes, let address) = action, case .ping(let id, _, _) = DiscoEnvelope.open(bytes, in: box)
      else { return nil }
      return (id, address, bytes.count)
    }
  }
}
