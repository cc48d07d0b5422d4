import Cryptography
import NIOCore
import Netmap
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("relays that lie, stall, flood or close", .timeLimit(.minutes(10)))
struct MisbehavingRelayTests {
  typealias Behaviour = ScriptedRelay.Behaviour

  private let stranger = X25519PrivateKey(random: SeededRandom(21)).publicKey

  private static func frames(_ frames: DERPFrame...) -> ByteBuffer {
    var buffer = ByteBuffer()
    for frame in frames { frame.write(to: &buffer) }
    return buffer
  }

  /// The head of a frame that says to be so long, and the beginning of what would follow.
  private static func head(_ type: UInt8, saying count: UInt32) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.writeInteger(type)
    buffer.writeInteger(count)
    buffer.writeRepeatingByte(7, count: 40)
    return buffer
  }

  /// A client whose home is the relay, and what came to it.
  private func client(
    _ relays: [Relay], standby: UInt16? = nil, key: X25519PrivateKey = X25519PrivateKey(random: SystemRandom())
  ) async -> (RelayConnections, Arrivals) {
    let arrivals = Arrivals()
    let client = RelayConnections(nodeKey: key, receive: arrivals.note)
    await client.setRelays(relays)
    await client.setHome(relays.first?.id, standby: standby)
    return (client, arrivals)
  }

  private func becomes(_ condition: () async -> Bool) async throws -> Bool {
    for _ in 0..<6000 {
      if await condition() { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  @Test("a relay that is asked whether it is there, and does not answer, is left at once, though nothing was sent")
  func asked() async throws {
    let (silent, live) = (try await ScriptedRelay(.takesIn(sends: ByteBuffer(), closes: false)), try await TestRelay())
    var other = live.relay
    other.id = 2
    let (client, _) = await client([silent.relay, other], standby: 2)
    #expect(try await becomes { await client.status.allSatisfy(\.isConnected) })
    await client.ask()
    #expect(try await becomes { silent.connections == 2 })
    #expect(await client.status.first { $0.id == 2 }?.isConnected == true)
    await client.close()
    await silent.stop()
    await live.stop()
  }

  @Test(
    "what is no relay is tried again and again, and its state says what is wrong",
    arguments: [
      (.closes, "closed"), (.refuses, "403"), (.babbles, "relay frame"),
      (.showsAnotherKey, "key"), (.sealsForAnother, "cannot be opened"),
    ] as [(Behaviour, String)])
  func noRelay(behaviour: Behaviour, words: String) async throws {
    let relay = try await ScriptedRelay(behaviour)
    let (client, _) = await client([relay.relay])
    #expect(try await becomes { relay.connections >= 3 })
    #expect(try await becomes { await client.status.first?.error?.contains(words) == true })
    let error = await client.status.first?.error
    #expect(!client.isConnected && error?.contains(words) == true, "\(error ?? "")")
    await client.close()
    await relay.stop()
  }

  @Test(
    "what breaks the rules after it took a client in is left, and its state says why",
    arguments: [
      (head(4, saying: 1 << 24), "more than any may have"), (head(0x77, saying: .max), "more than any may have"),
      (head(8, saying: 3), "malformed"),
    ])
  func breaksRules(bytes: ByteBuffer, words: String) async throws {
    let relay = try await ScriptedRelay(.takesIn(sends: bytes, closes: false), .closes)
    let (client, arrivals) = await client([relay.relay])
    let errors = Errors(client.events)
    #expect(try await becomes { errors.all.contains { $0.contains(words) } }, "\(errors.all)")
    #expect(arrivals.count == 0)
    await client.close()
    await relay.stop()
  }

  @Test("a connection that dies in the middle of a packet delivers nothing of it, and the next one begins anew")
  func diesInTheMiddle() async throws {
    let whole = Self.frames(.receivedPacket(from: stranger, ByteBuffer(string: "whole")))
    var half = whole
    DERPFrame.receivedPacket(from: stranger, ByteBuffer(repeating: 1, count: 5000)).write(to: &half)
    half = half.getSlice(at: half.readerIndex, length: half.readableBytes - 1000) ?? half
    let relay = try await ScriptedRelay(
      .takesIn(sends: half, closes: true), .takesIn(sends: half, closes: true), .takesIn(sends: whole, closes: false))
    let (client, arrivals) = await client([relay.relay])
    #expect(try await becomes { arrivals.count == 3 })
    #expect(arrivals.texts == ["whole", "whole", "whole"])
    #expect(relay.connections == 3)
    #expect(try await becomes { client.isConnected })
    await client.close()
    await relay.stop()
  }

  @Test("frames that have no place in a connection, or that nobody asked for, change nothing")
  func unasked() async throws {
    var lies = Self.frames(
      .serverKey(stranger), .serverInfo(sealed: [UInt8](repeating: 3, count: 60)), .pong(7), .keepAlive,
      .clientInfo(stranger, sealed: [UInt8](repeating: 3, count: 60)), .peerGone(stranger, .notHere),
      .sendPacket(to: stranger, ByteBuffer(string: "not for clients")), .notePreferred(true))
    var unknown = ByteBuffer()
    unknown.writeInteger(UInt8(0x77))
    unknown.writeInteger(UInt32(3))
    unknown.writeString("abc")
    lies.writeBuffer(&unknown)
    DERPFrame.receivedPacket(from: stranger, ByteBuffer(string: "at last")).write(to: &lies)
    let relay = try await ScriptedRelay(.takesIn(sends: lies, closes: false))
    let (client, arrivals) = await client([relay.relay])
    #expect(try await becomes { arrivals.count == 1 })
    #expect(arrivals.texts == ["at last"])
    #expect(relay.connections == 1)
    await client.close()
    await relay.stop()
  }

  @Test(
    "while the home misbehaves the standby carries",
    arguments: [
      .closes, .staysSilent, .refuses, .takesIn(sends: ByteBuffer(), closes: true),
      .takesIn(sends: ByteBuffer(), closes: false),
    ] as [Behaviour])
  func standby(behaviour: Behaviour) async throws {
    let bad = try await ScriptedRelay(behaviour)
    let good = try await TestRelay()
    var second = good.relay
    second.id = 2
    let key = X25519PrivateKey(random: SystemRandom())
    let (left, _) = await client([bad.relay, second], standby: 2)
    let (right, arrivals) = await client([second], key: key)
    #expect(try await becomes { left.isConnected && right.isConnected })
    // One that takes packets and says nothing any more is found out by its silence.
    for _ in 0..<3000 where arrivals.count == 0 {
      left.send(ByteBuffer(string: "hello"), to: key.publicKey, relays: [1, 2])
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(arrivals.texts.first == "hello")
    await left.close()
    await right.close()
    await bad.stop()
    await good.stop()
  }

  @Test("a relay that floods is read as fast as packets are taken, and the others are heard beside it")
  func floods() async throws {
    var flood = ByteBuffer()
    for number in 0..<50 {
      DERPFrame.receivedPacket(from: stranger, ByteBuffer(repeating: UInt8(number), count: 1400)).write(to: &flood)
      DERPFrame.peerGone(X25519PrivateKey(random: SeededRandom(UInt64(number))).publicKey, .notHere).write(to: &flood)
      DERPFrame.health("trouble \(number)").write(to: &flood)
      DERPFrame.ping(UInt64(number)).write(to: &flood)
    }
    let bad = try await ScriptedRelay(.floods(flood))
    let good = try await TestRelay()
    var second = good.relay
    second.id = 2
    let key = X25519PrivateKey(random: SystemRandom())
    let (left, flooded) = await client([bad.relay, second], standby: 2)
    let health = HealthCount(left.events)
    let (right, arrivals) = await client([second], key: key)
    #expect(try await becomes { flooded.count > 5000 })
    #expect(health.count < 1000, "of as many texts as packets one in a second is told")
    #expect(try await becomes { right.isConnected })
    for _ in 0..<3000 where arrivals.count == 0 {
      left.send(ByteBuffer(string: "hello"), to: key.publicKey, relays: [2])
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(arrivals.texts.first == "hello")
    #expect(await left.status.first?.error?.hasPrefix("trouble") == true, "what it says is told")
    await left.close()
    await right.close()
    await bad.stop()
    await good.stop()
  }
}

/// How often it was told what a relay says is wrong.
private final class HealthCount: Sendable {
  private let counter = Counter()

  var count: Int { counter.count }

  init(_ events: AsyncStream<RelayConnections.Event>) {
    Task { [counter] in
      for await event in events { if case .health = event { counter.add() } }
    }
  }
}

/// Counts packets, and keeps the text of the first.
private final class Arrivals: Sendable {
  private let packets = Mutex<(count: Int, texts: [String])>((0, []))

  var count: Int { packets.withLock(\.count) }
  var texts: [String] { packets.withLock(\.texts) }

  var note: @Sendable (ByteBuffer, X25519PublicKey, UInt16) -> Void {
    { packet, _, _ in
      self.packets.withLock {
        $0.count += 1
        if $0.texts.count < 10 { $0.texts.append(String(buffer: packet)) }
      }
    }
  }
}

/// The reasons that a client gave for what it lost.
private final class Errors: Sendable {
  private let reasons = Mutex<[String]>([])

  var all: [String] { reasons.withLock { $0 } }

  init(_ events: AsyncStream<RelayConnections.Event>) {
    Task {
      for await event in events {
        switch event {
        case .disconnected(_, let reason?), .failed(_, let reason): self.reasons.withLock { $0.append(reason) }
        case .disconnected(_, nil), .connected, .health: break
        }
      }
    }
  }
}
