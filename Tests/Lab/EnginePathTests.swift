import Cryptography
import DERP
import Engine
import Foundation
import NIOCore
import NIOSSL
import Netmap
import Synchronization
import TestSupport
import Testing
import Traversal
import Wire

/// How engines come together that have no address of each other: over a relay, which the test itself runs on the loopback interface,
/// since connections with relays are made in the process's own network.
@Suite(
  "engines that find their ways", .enabled(if: NetworkLab.obstacle == nil, "\(NetworkLab.obstacle ?? "")"),
  .timeLimit(.minutes(10)))
struct EnginePathTests {
  /// Two hosts on one cable segment.
  private struct Machines {
    let engines: [LabEngine]
    let relay: LabRelay

    func stop() async {
      for engine in engines { await engine.stop() }
      await relay.stop()
    }

    /// Gives the machine its netmap, with the other one or without.
    ///
    /// - Parameter more: relays besides the one at which they say to wait.
    func tell(_ index: Int, ofOther: Bool = true, more: [Relay] = []) async throws {
      let other = engines[1 - index]
      let peer = Peer(
        key: other.key.publicKey, name: "h\(2 - index)", addresses: other.addresses, allowedIPs: other.addresses,
        discoKey: other.discoKey?.publicKey, relayIDs: [1])
      try await engines[index].apply(ofOther ? [peer] : [], relays: [relay.record] + more)
    }

    func path(_ index: Int) async -> PeerStatus.Path? {
      await engines[index].status(of: engines[1 - index].key.publicKey)?.path
    }

    func reaches(_ index: Int, count: Int = 3) async throws -> Bool {
      try await engines[index].namespace.attempt([
        "ping", "-q", "-i", "0.1", "-W", "2", "-c", "\(count)", "10.200.0.\(2 - index)",
      ]).succeeded
    }

    /// Whether the one reaches the other with every packet.
    func expectReach(_ index: Int, count: Int = 3) async throws {
      let isReached = try await reaches(index, count: count)
      #expect(isReached)
    }

    func awaitReach() async throws {
      let isReached = try await eventually(.seconds(30)) { try await reaches(0, count: 1) }
      #expect(isReached)
    }

    func awaitDirect() async throws {
      let areDirect = try await eventually(.seconds(20)) {
        guard await isDirect(0) else { return false }
        return await isDirect(1)
      }
      #expect(areDirect)
    }

    func isDirect(_ index: Int) async -> Bool {
      if case .direct = await path(index) { true } else { false }
    }
  }

  /// - Parameter known: which machines are told of the other one.
  private func withMachines(
    secondHasUDP: Bool = true, known: Range<Int> = 0..<2, _ body: (Machines) async throws -> Void
  ) async throws {
    try await NetworkLab.run { lab in
      let bridge = try await lab.bridge("br")
      let relay = try await LabRelay()
      var engines: [LabEngine] = []
      do {
        for number in 1...2 {
          let host = try await lab.namespace("h\(number)")
          try await lab.plug(host, ["192.0.2.\(number)/24", "2001:db8::\(number)/64"], into: bridge)
          if number == 2, !secondHasUDP { try await blockUDP(host) }
          engines.append(
            try await LabEngine.start(
              in: host, port: nil, addresses: ["10.200.0.\(number)/32", "fd0d:e100:d3c5:1::\(number)/128"],
              findsPaths: true))
        }
        let machines = Machines(engines: engines, relay: relay)
        for index in 0...1 { try await machines.tell(index, ofOther: known.contains(index)) }
        try await body(machines)
        await machines.stop()
      } catch {
        for engine in engines { await engine.stop() }
        await relay.stop()
        throw error
      }
    }
  }

  private func blockUDP(_ host: NetworkNamespace) async throws {
    try await host.run("nft", "add", "table", "inet", "cut")
    for (hook, interface) in [("input", "iifname"), ("output", "oifname")] {
      try await host.run("nft", "add", "chain", "inet", "cut", hook, "{ type filter hook \(hook) priority 0; }")
      try await host.run(
        "nft", "add", "rule", "inet", "cut", hook, interface, "eth*", "meta", "l4proto", "udp", "drop")
    }
  }

  @Test("two that know of each other only through a relay reach each other over it, and then directly")
  func relayedThenDirect() async throws {
    try await withMachines { machines in
      try await machines.awaitReach()
      try await machines.awaitDirect()
      try await machines.expectReach(1)
      let key = machines.engines[1].key.publicKey
      let answer = try await machines.engines[0].engine.ping(key)
      #expect(answer?.isDirect == true)
    }
  }

  @Test("what a machine sends over a relay to one that has yet to hear of it is answered when that one has")
  func early() async throws {
    try await withMachines(known: 0..<0) { machines in
      let (engine, relay) = (machines.engines[1], machines.relay.record)
      let (key, discoKey) = (X25519PrivateKey(random: SystemRandom()), X25519PrivateKey(random: SystemRandom()))
      let engineDiscoKey = try #require(engine.discoKey).publicKey
      let box = try #require(NaClBox(discoKey, engineDiscoKey))
      let answers = Mutex<[TransactionID]>([])
      let stranger = RelayConnections(nodeKey: key) { packet, _, _ in
        guard case .pong(let id, _) = DiscoEnvelope.open(Array(packet.readableBytesView), in: box) else { return }
        answers.withLock { $0.append(id) }
      }
      await stranger.setRelays([relay])
      await stranger.setHome(relay.id, standby: nil)
      let ping = TransactionID(random: SystemRandom())
      let isSent = try await eventually(.seconds(20)) {
        let strangerIsThere = await stranger.status.map(\.isConnected) == [true]
        let engineIsThere = await engine.engine.status().relays.map(\.isConnected) == [true]
        return strangerIsThere && engineIsThere
      }
      try #require(isSent)
      let message = DiscoEnvelope.seal(
        .ping(ping, nodeKey: key.publicKey, padding: 0), from: discoKey.publicKey, in: box, random: SystemRandom())
      stranger.send(ByteBuffer(bytes: message), to: engine.key.publicKey, relays: [relay.id])
      try await Task.sleep(for: .seconds(1))
      let early = answers.withLock { $0 }
      #expect(early.isEmpty, "it is nobody yet")
      let peer = Peer(
        key: key.publicKey, name: "stranger", addresses: [], allowedIPs: [], discoKey: discoKey.publicKey,
        relayIDs: [relay.id])
      try await engine.apply([peer], relays: [relay])
      let isAnswered = try await eventually(.seconds(3)) { answers.withLock { $0 == [ping] } }
      #expect(isAnswered)
      await stranger.close()
    }
  }

  @Test("a ping that waits while the network changes is answered in the new one")
  func pingAcrossChange() async throws {
    try await withMachines { machines in
      try await machines.awaitReach()
      try await machines.awaitDirect()
      let first = machines.engines[0]
      let key = machines.engines[1].key.publicKey
      // As the way is trusted for a while yet, nothing else is asked.
      try await blockUDP(first.namespace)
      async let answer = first.engine.ping(key, within: .seconds(30))
      try await first.namespace.run(
        "sh", "-ec",
        "device=$(ip -o address show to 192.0.2.1 | cut -d ' ' -f 2); ip address add 192.0.2.77/24 dev \"$device\"")
      let found = try await answer
      #expect(found != nil)
    }
  }

  @Test("a machine with a new disco key tells its peers inside the tunnel, and they find each other directly again")
  func newDiscoKey() async throws {
    try await withMachines { machines in
      try await machines.awaitReach()
      try await machines.awaitDirect()
      await machines.engines[0].engine.renewDiscoKey(X25519PrivateKey(random: SystemRandom()))
      // Nobody's record says so.
      try await machines.awaitReach()
      let isAnswered = try await eventually(.seconds(20)) {
        try await machines.engines[1].engine.ping(machines.engines[0].key.publicKey)?.isDirect == true
      }
      #expect(isAnswered)
      try await machines.awaitDirect()
    }
  }

  @Test("one to whom no UDP gets through stays with the relay")
  func blocked() async throws {
    try await withMachines(secondHasUDP: false) { machines in
      try await machines.awaitReach()
      try await machines.expectReach(1)
      for index in 0...1 {
        let path = await machines.path(index)
        #expect(path == .relayed(1))
      }
      let answer = try await machines.engines[1].engine.ping(machines.engines[0].key.publicKey)
      #expect(answer?.isDirect == false && answer?.relay == 1)
      let relays = await machines.engines[0].engine.status().relays
      #expect(relays.map(\.isConnected) == [true])
    }
  }

  @Test("when the relay dies that alone their records name, they find each other at another one")
  func namedRelayDies() async throws {
    try await withMachines(secondHasUDP: false) { machines in
      let other = try await LabRelay(id: 2)
      for index in 0...1 { try await machines.tell(index, more: [other.record]) }
      try await machines.awaitReach()
      let areConnected = try await eventually(.seconds(30)) {
        var count = 0
        for engine in machines.engines { count += await engine.engine.status().relays.count(where: \.isConnected) }
        return count == 4
      }
      #expect(areConnected, "each with home and standby, though neither answers STUN")
      await machines.relay.stop()
      try await machines.awaitReach()
      let path = await machines.path(0)
      #expect(path == .relayed(2))
      await other.stop()
    }
  }

  @Test("a ping that waits while the disco key is replaced ends, and so does one that is asked for after it")
  func newKeyWhilePinging() async throws {
    try await withMachines { machines in
      try await machines.awaitReach()
      let engine = machines.engines[0].engine
      let key = machines.engines[1].key.publicKey
      // Nothing is answered any more.
      try await blockUDP(machines.engines[1].namespace)
      await machines.relay.stop()
      await engine.renewDiscoKey(X25519PrivateKey(random: SystemRandom()))
      async let first = engine.ping(key, within: .seconds(3))
      try await Task.sleep(for: .milliseconds(300))
      await engine.renewDiscoKey(X25519PrivateKey(random: SystemRandom()))
      async let second = engine.ping(key, within: .seconds(3))
      let answers = try await [first, second]
      #expect(answers == [nil, nil])
    }
  }

  @Test("when the relay dies what goes directly goes on")
  func relayDies() async throws {
    try await withMachines { machines in
      try await machines.awaitReach()
      try await machines.awaitDirect()
      await machines.relay.stop()
      try await machines.expectReach(0, count: 50)
      let isDirect = await machines.isDirect(0)
      #expect(isDirect)
    }
  }

  /// What a machine that was restarted before it heard of anything has of the other.
  enum Knowledge: CaseIterable { case nothing, formerDiscoKey }

  @Test(
    "a machine that knows nothing of where the other is, nor its disco key, is reached without a relay",
    arguments: Knowledge.allCases)
  func unknownDiscoKey(_ knowledge: Knowledge) async throws {
    try await NetworkLab.run { lab in
      let bridge = try await lab.bridge("br")
      var engines: [LabEngine] = []
      for number in 1...2 {
        let host = try await lab.namespace("h\(number)")
        try await lab.plug(host, ["192.0.2.\(number)/24"], into: bridge)
        engines.append(
          try await LabEngine.start(in: host, port: nil, addresses: ["10.200.0.\(number)/32"], findsPaths: true))
      }
      let former = X25519PrivateKey(random: SystemRandom()).publicKey
      let known = SocketAddress(IPAddress(v4: 0xc000_0202), port: engines[1].engine.port)
      let peers = [
        Peer(
          key: engines[1].key.publicKey, name: "h2", addresses: engines[1].addresses,
          allowedIPs: engines[1].addresses, endpoints: [known], discoKey: engines[1].discoKey?.publicKey),
        Peer(
          key: engines[0].key.publicKey, name: "h1", addresses: engines[0].addresses,
          allowedIPs: engines[0].addresses, discoKey: knowledge == .nothing ? nil : former),
      ]
      for (engine, peer) in zip(engines, peers) { try await engine.apply([peer]) }
      for (index, engine) in engines.enumerated() {
        let isReached = try await eventually(.seconds(20)) {
          try await engine.namespace.attempt(["ping", "-q", "-W", "1", "-c", "1", "10.200.0.\(2 - index)"]).succeeded
        }
        #expect(isReached, "from machine \(index + 1)")
      }
      for engine in engines { await engine.stop() }
    }
  }
}

/// A relay on the loopback interface of this process.
final class LabRelay: Sendable {
  let record: Relay
  private let server: RelayServer
  private let channel: any Channel

  init(id: UInt16 = 1) async throws {
    let key = X25519PrivateKey(random: SystemRandom())
    let identity = try RelayCertificate(relayKey: key.publicKey, now: .now())
    server = RelayServer(key: key, certificate: identity.sha256, admission: OpenAdmission())
    channel = try await server.listen(
      on: .init(ipAddress: "127.0.0.1", port: 0), tls: identity.serverContext())
    record = Relay(
      id: id, region: "test", host: "127.0.0.1", port: UInt16(channel.localAddress?.port ?? 0),
      certificateSHA256: identity.sha256)
  }

  /// Again: does nothing.
  func stop() async {
    server.closeClients()
    try? await channel.close()
  }
}
