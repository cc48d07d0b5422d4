import Cryptography
import NIOCore
import NIOPosix
import Netmap
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("a client of several relays")
struct RelayConnectionsTests {
  /// What came, and from which relay.
  private final class Received: Sendable {
    private let packets = Mutex<[(text: String, relay: UInt16)]>([])
    var handler: @Sendable (ByteBuffer, X25519PublicKey, UInt16) -> Void {
      { packet, _, relay in self.packets.withLock { $0.append((String(buffer: packet), relay)) } }
    }
    func wait(for text: String) async throws -> UInt16? {
      for _ in 0..<3000 {
        if let found = packets.withLock({ $0.first { $0.text == text } }) { return found.relay }
        try await Task.sleep(for: .milliseconds(10))
      }
      return nil
    }
    func count(of text: String) -> Int { packets.withLock { $0.count { $0.text == text } } }
  }

  /// Relays with the ids from 1, and two who know them: what comes to the right one is noted.
  private struct Pair {
    let relays: [TestRelay]
    let received = Received()
    let left: RelayConnections
    let right: RelayConnections
    /// The right one's key.
    let key: X25519PublicKey

    init(relays count: UInt16) async throws {
      var relays: [TestRelay] = []
      var records: [Relay] = []
      for id in 1...count {
        let relay = try await TestRelay()
        var record = relay.relay
        record.id = id
        relays.append(relay)
        records.append(record)
      }
      self.relays = relays
      let keys = [X25519PrivateKey(random: SystemRandom()), X25519PrivateKey(random: SystemRandom())]
      left = RelayConnections(nodeKey: keys[0], receive: { _, _, _ in })
      right = RelayConnections(nodeKey: keys[1], receive: received.handler)
      key = keys[1].publicKey
      await left.setRelays(records)
      await right.setRelays(records)
    }

    /// The left one sends, until it has arrived at the right one or a long time has passed.
    func sendUntilReceived(_ text: String, relays: [UInt16]) async throws {
      for _ in 0..<1000 where received.count(of: text) == 0 {
        left.send(ByteBuffer(string: text), to: key, relays: relays)
        try await Task.sleep(for: .milliseconds(20))
      }
    }

    func close() async {
      await left.close()
      await right.close()
      for relay in relays { await relay.stop() }
    }
  }

  private func waitUntilConnected(_ connections: RelayConnections, _ ids: Set<UInt16>) async throws -> Bool {
    for _ in 0..<3000 {
      let up = await connections.status.filter(\.isConnected).map(\.id)
      if ids.isSubset(of: up) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  @Test("home and standby are connected at once, another relay when something has to go there")
  func homeAndStandby() async throws {
    let pair = try await Pair(relays: 3)
    await pair.left.setHome(1, standby: 2)
    await pair.right.setHome(3, standby: nil)
    #expect(try await waitUntilConnected(pair.left, [1, 2]))
    #expect(try await waitUntilConnected(pair.right, [3]))
    #expect(await pair.left.status.first { $0.id == 3 }?.isConnected == false)
    pair.left.send(ByteBuffer(string: "to its home"), to: pair.key, relays: [3])
    #expect(try await pair.received.wait(for: "to its home") == 3)
    await pair.close()
  }

  @Test("when a relay dies the peer's other one carries on")
  func standbyTakesOver() async throws {
    let pair = try await Pair(relays: 2)
    for connections in [pair.left, pair.right] {
      await connections.setHome(1, standby: 2)
      #expect(try await waitUntilConnected(connections, [1, 2]))
    }
    pair.left.send(ByteBuffer(string: "first"), to: pair.key, relays: [1, 2])
    #expect(try await pair.received.wait(for: "first") == 1)
    await pair.relays[0].stop()
    // As long as nobody has noticed, packets are lost, as they are anywhere.
    try await pair.sendUntilReceived("second", relays: [1, 2])
    #expect(try await pair.received.wait(for: "second") == 2)
    #expect(await pair.left.status.first { $0.id == 1 }?.error != nil)
    await pair.close()
  }

  @Test("two whose records name a relay that died find each other at another one")
  func elsewhere() async throws {
    let pair = try await Pair(relays: 2)
    for connections in [pair.left, pair.right] {
      await connections.setHome(1, standby: nil)
      #expect(try await waitUntilConnected(connections, [1]))
    }
    await pair.relays[0].stop()
    // Nobody can write where the other waits now.
    for connections in [pair.left, pair.right] {
      await connections.setHome(2, standby: 1)
      #expect(try await waitUntilConnected(connections, [2]))
    }
    try await pair.sendUntilReceived("found", relays: [1])
    #expect(try await pair.received.wait(for: "found") == 2)
    await pair.close()
  }

  @Test("a relay that is back is tried at once by whoever waits for the next try")
  func isBack() async throws {
    let hesitating = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
    let relay = try await ScriptedRelay(
      .hesitates(hesitating.futureResult), .takesIn(sends: ByteBuffer(), closes: false))
    let client = RelayConnections(nodeKey: X25519PrivateKey(random: SystemRandom()), receive: { _, _, _ in })
    await client.setRelays([relay.relay])
    await client.isBack(1)
    #expect(relay.connections == 0, "nobody wants it")
    await client.setHome(1, standby: nil)
    for _ in 0..<3000 where relay.connections == 0 { try await Task.sleep(for: .milliseconds(10)) }
    await client.isBack(1)
    #expect(try await waitUntilConnected(client, [1]), "beside a try that never ends")
    hesitating.fail(CancellationError())
    await client.close()
    await relay.stop()
  }

  @Test("what a member's name stands for in networks of its own is not dialled")
  func privateName() async throws {
    let test = try await TestRelay()
    var relay = test.relay
    // Both are this machine, in every resolver.
    relay.host = "localhost"
    let client = RelayConnections(nodeKey: X25519PrivateKey(random: SystemRandom()), receive: { _, _, _ in })
    await client.setRelays([relay])
    await client.setHome(1, standby: nil)
    #expect(try await waitUntilConnected(client, [1]))
    relay.isOffered = true
    await client.setRelays([relay])
    for _ in 0..<3000 {
      if await client.status.first?.error != nil { break }
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(await client.status.first?.error?.contains("localhost is no public address") == true)
    #expect(await client.status.first?.isConnected == false)
    await client.close()
    await test.stop()
  }

  @Test("a peer of which no relay is known is found at whichever it is")
  func search() async throws {
    let pair = try await Pair(relays: 3)
    await pair.left.setHome(1, standby: nil)
    await pair.right.setHome(3, standby: nil)
    #expect(try await waitUntilConnected(pair.right, [3]))
    try await pair.sendUntilReceived("hello", relays: [])
    #expect(try await pair.received.wait(for: "hello") == 3)
    await pair.close()
  }

  @Test(
    "a relay whose record changes while it is dialled keeps its new connection, whatever becomes of the old dial",
    arguments: [true, false])
  func changed(oldSucceeds: Bool) async throws {
    let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
    let slow = try await ScriptedRelay(.hesitates(promise.futureResult))
    let good = try await TestRelay()
    let client = RelayConnections(nodeKey: X25519PrivateKey(random: SystemRandom()), receive: { _, _, _ in })
    await client.setRelays([slow.relay])
    await client.setHome(1, standby: nil)
    for _ in 0..<3000 where slow.connections == 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(slow.connections == 1)
    await client.setRelays([good.relay])
    #expect(try await waitUntilConnected(client, [1]))
    if oldSucceeds { promise.succeed() } else { promise.fail(DERPError.closed) }
    for _ in 0..<3000 where slow.ends == 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(slow.ends == 1, "nothing is kept of it")
    for _ in 0..<25 where client.isConnected { try await Task.sleep(for: .milliseconds(20)) }
    #expect(client.isConnected)
    #expect(await client.status == [.init(id: 1, isConnected: true, error: nil)])
    #expect(good.server.table.statistics.clients == 1)
    await client.close()
    await slow.stop()
    await good.stop()
  }

  @Test("a relay that is left on purpose has nothing wrong with it")
  func leftOnPurpose() async throws {
    let pair = try await Pair(relays: 1)
    await pair.left.setHome(1, standby: nil)
    #expect(try await waitUntilConnected(pair.left, [1]))
    await pair.left.close()
    var events: [RelayConnections.Event] = []
    for await event in pair.left.events { events.append(event) }
    #expect(events == [.connected(relay: 1), .disconnected(relay: 1, reason: nil)])
    await pair.close()
  }

  @Test("a relay that left the map is left")
  func removed() async throws {
    let pair = try await Pair(relays: 1)
    await pair.left.setHome(1, standby: nil)
    #expect(try await waitUntilConnected(pair.left, [1]))
    await pair.left.setRelays([])
    #expect(await pair.left.status.isEmpty)
    #expect(!pair.left.isConnected)
    let table = pair.relays[0].server.table
    for _ in 0..<3000 where table.statistics.clients > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(table.statistics.clients == 0)
    await pair.close()
  }
}
