import Cryptography
import NIOCore
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

  private func key() -> X25519PrivateKey { X25519PrivateKey(random: SystemRandom()) }

  /// Relays with these ids.
  private func relays(_ count: UInt16) async throws -> [(TestRelay, Relay)] {
    var result: [(TestRelay, Relay)] = []
    for id in 1...count {
      let relay = try await TestRelay()
      var record = relay.relay
      record.id = id
      result.append((relay, record))
    }
    return result
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
    let relays = try await relays(3)
    let (a, b) = (key(), key())
    let received = Received()
    let left = RelayConnections(nodeKey: a, receive: { _, _, _ in })
    let right = RelayConnections(nodeKey: b, receive: received.handler)
    await left.setRelays(relays.map(\.1))
    await right.setRelays(relays.map(\.1))
    await left.setHome(1, standby: 2)
    await right.setHome(3, standby: nil)
    #expect(try await waitUntilConnected(left, [1, 2]))
    #expect(try await waitUntilConnected(right, [3]))
    #expect(await left.status.first { $0.id == 3 }?.isConnected == false)
    left.send(ByteBuffer(string: "to its home"), to: b.publicKey, relays: [3])
    #expect(try await received.wait(for: "to its home") == 3)
    await left.close()
    await right.close()
    for (relay, _) in relays { await relay.stop() }
  }

  @Test("when a relay dies the peer's other one carries on, and the dead one is connected again when it is back")
  func standbyTakesOver() async throws {
    let relays = try await relays(2)
    let (a, b) = (key(), key())
    let received = Received()
    let left = RelayConnections(nodeKey: a, receive: { _, _, _ in })
    let right = RelayConnections(nodeKey: b, receive: received.handler)
    for connections in [left, right] {
      await connections.setRelays(relays.map(\.1))
      await connections.setHome(1, standby: 2)
      #expect(try await waitUntilConnected(connections, [1, 2]))
    }
    left.send(ByteBuffer(string: "first"), to: b.publicKey, relays: [1, 2])
    #expect(try await received.wait(for: "first") == 1)
    await relays[0].0.stop()
    // As long as nobody has noticed, packets are lost, as they are anywhere.
    for number in 0..<1000 where received.count(of: "second") == 0 {
      _ = number
      left.send(ByteBuffer(string: "second"), to: b.publicKey, relays: [1, 2])
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(try await received.wait(for: "second") == 2)
    #expect(await left.status.first { $0.id == 1 }?.error != nil)
    await left.close()
    await right.close()
    await relays[1].0.stop()
  }

  @Test("a peer of which no relay is known is found at whichever it is")
  func search() async throws {
    let relays = try await relays(3)
    let (a, b) = (key(), key())
    let received = Received()
    let left = RelayConnections(nodeKey: a, receive: { _, _, _ in })
    let right = RelayConnections(nodeKey: b, receive: received.handler)
    await left.setRelays(relays.map(\.1))
    await right.setRelays(relays.map(\.1))
    await left.setHome(1, standby: nil)
    await right.setHome(3, standby: nil)
    #expect(try await waitUntilConnected(right, [3]))
    for _ in 0..<500 where received.count(of: "hello") == 0 {
      left.send(ByteBuffer(string: "hello"), to: b.publicKey, relays: [])
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(try await received.wait(for: "hello") == 3)
    await left.close()
    await right.close()
    for (relay, _) in relays { await relay.stop() }
  }

  @Test("a relay that left the map is left")
  func removed() async throws {
    let relays = try await relays(1)
    let connections = RelayConnections(nodeKey: key(), receive: { _, _, _ in })
    await connections.setRelays(relays.map(\.1))
    await connections.setHome(1, standby: nil)
    #expect(try await waitUntilConnected(connections, [1]))
    await connections.setRelays([])
    #expect(await connections.status.isEmpty)
    #expect(!connections.isConnected)
    for _ in 0..<3000 where relays[0].0.server.table.statistics.clients > 0 {
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(relays[0].0.server.table.statistics.clients == 0)
    await connections.close()
    await relays[0].0.stop()
  }
}
