import ArgumentParser
import CCipherSwitch
import Cryptography
import DataPath
import Engine
import Foundation
import Glibc
import Logging
import Netmap
import Wire

/// One end of a tunnel of ours as a process of its own: the daemon's engine, with a netmap of so many peers and a filter with rules.
///
/// It prints its public key, and with a relay the one for path discovery behind it, takes a line with the peer's, and then answers each line with its status, until there are no more.
struct EngineEnd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "engine-end", shouldDisplay: false)

  @Option var namespace: String
  @Option var interface: String
  @Option var mtu: Int
  /// Which tunnel of the wire, and which of its ends.
  @Option var tunnel: Int
  @Option var end: Int
  /// All peers, of which one is there.
  @Option var peers: Int
  /// Offloads that are switched off.
  @Option var without: String
  @Option var threads: Int
  @Flag var cipherless = false
  /// The only way to the other end, as `address#pin`.
  @Option var relay: String?

  func run() async throws {
    let place = TunnelPlace(number: tunnel)
    guard let own = IPAddress(place.address(end)), let farAddress = IPAddress(place.address(1 - end)),
      let endpoint = SocketAddress(place.endpoint(1 - end)), let block = IPPrefix(place.block),
      let offloads = EngineConfiguration.offloads(without: [without])
    else { throw ValidationError("there is no such tunnel") }
    let key = X25519PrivateKey(random: SystemRandom())
    let relay = try relay.map { try wanted(relay: $0) }
    let discoKey = relay.map { _ in X25519PrivateKey(random: SystemRandom()) }
    say(([key, discoKey].compactMap { $0?.publicKey.base64 }).joined(separator: " "))
    let peerKeys = (readLine() ?? "").split(separator: " ").compactMap { X25519PublicKey(base64: $0) }
    guard let peerKey = peerKeys.first else { return }
    let engine = try await Engine(
      configuration: EngineConfiguration(
        privateKey: key, interfaceName: interface, mtu: mtu, port: place.port,
        networkNamespace: "/run/netns/\(namespace)",
        offloads: offloads, threads: threads == 2 ? .onePerDirection : .one, discoKey: discoKey),
      logger: Logger(label: "meshd.engine", factory: { _ in SwiftLogNoOpLogHandler() }))
    // Only now: the engine looks at its cipher when it starts, and does not start without.
    if cipherless { remove_cipher() }
    let others = (1..<max(peers, 1)).map { number in
      peer(X25519PrivateKey(random: SystemRandom()).publicKey, IPAddress(v4: 0x6470_0000 + UInt32(number)), [])
    }
    var far = peer(peerKey, farAddress, relay == nil ? [endpoint] : [])
    far.discoKey = peerKeys.dropFirst().first
    far.relayIDs = relay.map { [$0.id] } ?? []
    try await engine.apply(
      Netmap(
        networkName: "bench",
        node: LocalNode(
          name: "bench", key: key.publicKey, addresses: [IPPrefix(host: own)], meshPrefixes: [block]),
        peers: others + [far], relays: [relay].compactMap { $0 }, filter: rules(own, farAddress)))
    say("ready")
    while readLine() != nil {
      let status = await engine.status()
      let drops = status.drops.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      let late = status.peers.map(\.receivedOutOfOrder).reduce(0, +)
      say("late=\(late) offloads=\(status.offloads.joined(separator: ",")) \(drops.joined(separator: " "))")
    }
    await engine.stop()
  }

  private func wanted(relay text: String) throws -> Relay {
    let parts = text.split(separator: "#")
    guard parts.count == 2, let address = SocketAddress(parts[0]), let pin = Hex.decode(parts[1]) else {
      throw ValidationError("--relay takes address#pin")
    }
    return Relay(
      id: 1, region: "bench", host: "\(address.ip)", port: address.port, ipv4: address.ip,
      certificateSHA256: Bytes32(pin))
  }

  private func peer(_ key: X25519PublicKey, _ address: IPAddress, _ endpoints: [SocketAddress]) -> Peer {
    let prefix = IPPrefix(host: address)
    return Peer(key: key, name: "peer", addresses: [prefix], allowedIPs: [prefix], endpoints: endpoints)
  }

  /// A policy as people write one: what is not allowed is refused, and what the benchmark needs is not the first that is.
  private func rules(_ own: IPAddress, _ far: IPAddress) -> PacketFilterRules {
    let destination = [IPPrefix(host: own)]
    let services = [22, 80, 443, 5432].map { (port: UInt16) in
      PacketFilterRules.Rule(
        action: .accept, sources: [IPPrefix(host: IPAddress(v4: 0x6470_0001))], destinations: destination,
        destinationPorts: [port...port], protocols: [6])
    }
    return PacketFilterRules(
      rules: services + [.init(action: .accept, sources: [IPPrefix(host: far)], destinations: destination)],
      defaultAction: .drop)
  }

  private func say(_ line: String) {
    print(line)
    fflush(nil)
  }
}
