import Cryptography
import Foundation
import Glibc
import Netmap
import Testing
import Wire
import WireGuard

@testable import Engine

@Suite("when tunnels of others come and go on the host")
struct HostTunnelTests {
  @Test(
    "a peer without a disco key is called at the addresses that they leave, and at all when they are gone",
    .enabled(if: OwnNetwork.hasRights, "an engine needs root and /dev/net/tun"), .timeLimit(.minutes(10)))
  func candidates() async throws {
    let key = X25519PrivateKey(random: SystemRandom())
    let endpoints = ["10.9.0.7:41641", "203.0.113.7:41641"].compactMap { SocketAddress($0) }
    let peer = Peer(
      key: X25519PrivateKey(random: SystemRandom()).publicKey, name: "peer", addresses: [], allowedIPs: [],
      endpoints: endpoints)
    let network = await OwnNetwork.descriptor()
    try #require(network >= 0, "the kernel makes no network: error \(-network)")
    defer { close(network) }
    let engine = try await Engine(
      configuration: EngineConfiguration(privateKey: key, networkNamespace: "/proc/self/fd/\(network)"))
    let node = LocalNode(name: "here", key: key.publicKey, addresses: [], meshPrefixes: [])
    try await engine.apply(Netmap(networkName: "home", node: node, peers: [peer]))
    let tunnel = HostBounds(ruledOut: [IPPrefix("10.9.0.0/16")!])
    #expect(await engine.called(peer.key, within: HostBounds(), afterHours: 1) == endpoints)
    #expect(await engine.called(peer.key, within: tunnel, afterHours: 2) == [endpoints[1]])
    #expect(await engine.called(peer.key, within: HostBounds(), afterHours: 3) == endpoints)
    await engine.stop()
  }
}

extension Engine {
  /// Where a handshake with the peer goes once these are the host's bounds. Handshakes keep their distance, so each is some hours from now.
  fileprivate func called(
    _ key: X25519PublicKey, within bounds: HostBounds, afterHours hours: Int64
  ) -> [SocketAddress] {
    heed(bounds)
    guard let id = device.peer(key) else { return [] }
    let actions = device.initiate(id, .peerChanged, now: .now() + .seconds(hours * 3600), wallTime: .now())
    for case .send(_, let addresses) in actions { return addresses }
    return []
  }
}
