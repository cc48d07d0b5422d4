import Cryptography
import DataPath
import Engine
import Netmap
import Synchronization
import Wire

/// Our engine in a namespace of the lab, with a test key and a netmap that the test writes.
final class LabEngine: Sendable {
  let namespace: NetworkNamespace
  let key: X25519PrivateKey
  /// For path discovery, if it does that.
  let discoKey: X25519PrivateKey?
  let addresses: [IPPrefix]
  let engine: Engine
  private let counts = Mutex<[X25519PublicKey: Int]>([:])
  private let listener = Mutex<Task<Void, Never>?>(nil)

  private init(
    namespace: NetworkNamespace, key: X25519PrivateKey, discoKey: X25519PrivateKey?, addresses: [IPPrefix],
    engine: Engine
  ) {
    self.namespace = namespace
    self.key = key
    self.discoKey = discoKey
    self.addresses = addresses
    self.engine = engine
  }

  /// Opens device and sockets in the namespace. Counts handshakes until it is stopped.
  static func start(
    in namespace: NetworkNamespace, port: UInt16?, addresses: [String],
    key: X25519PrivateKey = X25519PrivateKey(random: SystemRandom()), offloads: Offloads? = nil,
    findsPaths: Bool = false
  ) async throws -> LabEngine {
    let discoKey = findsPaths ? X25519PrivateKey(random: SystemRandom()) : nil
    var configuration = EngineConfiguration(
      privateKey: key, port: port, networkNamespace: namespace.path, discoKey: discoKey)
    if let offloads { configuration.offloads = offloads }
    let engine = try await Engine(configuration: configuration)
    let lab = LabEngine(
      namespace: namespace, key: key, discoKey: discoKey, addresses: addresses.compactMap { IPPrefix($0) },
      engine: engine)
    let events = engine.events
    lab.listener.withLock { listener in
      listener = Task { [weak lab] in
        for await event in events {
          guard case .handshake(let peer) = event else { continue }
          lab?.counts.withLock { $0[peer, default: 0] += 1 }
        }
      }
    }
    return lab
  }

  func apply(
    _ peers: [Peer], relays: [Relay] = [], filter: PacketFilterRules = .acceptAll, addresses: [IPPrefix]? = nil
  ) async throws {
    try await engine.apply(
      Netmap(
        networkName: "lab",
        node: LocalNode(
          name: namespace.label, key: key.publicKey, addresses: addresses ?? self.addresses,
          meshPrefixes: ["10.200.0.0/16", "fd0d:e100:d3c5:1::/64"].compactMap { IPPrefix($0) }),
        peers: peers, relays: relays, filter: filter))
  }

  /// How many handshakes with the peer have succeeded.
  func handshakes(with peer: X25519PublicKey) -> Int { counts.withLock { $0[peer] ?? 0 } }

  func status(of peer: X25519PublicKey) async -> PeerStatus? {
    await engine.status().peers.first { $0.key == peer }
  }

  func stop() async {
    await engine.stop()
    let task = listener.withLock { $0 }
    await task?.value
  }
}
