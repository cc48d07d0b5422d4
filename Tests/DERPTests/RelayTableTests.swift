import Cryptography
import NIOCore
import TestSupport
import Testing

@testable import DERP

@Suite("who gets what at a relay")
struct RelayTableTests {
  private let random = SeededRandom(9)

  private func key() -> X25519PublicKey { X25519PrivateKey(random: random).publicKey }

  private func table(_ change: (inout RelayLimits) -> Void) -> RelayTable {
    var limits = RelayLimits()
    change(&limits)
    return RelayTable(limits: limits)
  }

  private func enter(_ table: RelayTable, _ key: X25519PublicKey, wakes: Counter = Counter()) throws -> RelayClient {
    let client = table.enter(key, wake: { wakes.add() }, close: {})
    return try #require(client)
  }

  private func drain(_ client: RelayClient) -> [DERPFrame] {
    var frames: [DERPFrame] = []
    while let frame = client.next() { frames.append(frame) }
    return frames
  }

  private func packet(_ number: Int, count: Int = 4) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.writeInteger(UInt32(number))
    buffer.writeRepeatingByte(0, count: max(0, count - 4))
    return buffer
  }

  private func disco(_ number: Int) -> ByteBuffer {
    ByteBuffer(bytes: [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac] + [UInt8](repeating: UInt8(number & 0xff), count: 100))
  }

  @Test("a packet comes to whom it was sent, with the key of who sent it, and the receiver is woken once")
  func delivers() throws {
    let table = RelayTable()
    let wakes = Counter()
    let a = try enter(table, key())
    let b = try enter(table, key(), wakes: wakes)
    for number in 0..<3 { _ = table.relay(packet(number), from: a, to: b.key) }
    #expect(wakes.count == 1)
    #expect(drain(b) == (0..<3).map { .receivedPacket(from: a.key, packet($0)) })
    _ = table.relay(packet(3), from: a, to: b.key)
    #expect(wakes.count == 2)
    #expect(drain(a).isEmpty)
  }

  @Test("what is too much drops the oldest, and full data does not keep path discovery from getting through")
  func drops() throws {
    let table = table { $0.queuedPackets = 8 }
    let a = try enter(table, key())
    let b = try enter(table, key())
    for number in 0..<100 { _ = table.relay(packet(number), from: a, to: b.key) }
    _ = table.relay(disco(1), from: a, to: b.key)
    let frames = drain(b)
    #expect(frames.contains(.receivedPacket(from: a.key, disco(1))))
    #expect(
      frames.filter { $0 != .receivedPacket(from: a.key, disco(1)) }
        == (92..<100).map { .receivedPacket(from: a.key, packet($0)) })
    #expect(frames.firstIndex(of: .receivedPacket(from: a.key, disco(1))) ?? 9 <= 1, "in turn, not behind the data")
    #expect(table.statistics.overflows == 92)
  }

  @Test("a line is bounded in bytes too")
  func dropsBytes() throws {
    let table = table { $0.queuedBytes = 100_000 }
    let a = try enter(table, key())
    let b = try enter(table, key())
    for number in 0..<20 { _ = table.relay(packet(number, count: 65536), from: a, to: b.key) }
    #expect(drain(b).count == 1)
  }

  @Test("all that waits for all is bounded, and who takes what he gets finds room beside those who do not")
  func waitsInAll() throws {
    let table = table { $0.waitingBytes = 1 << 20 }
    let a = try enter(table, key())
    let idle = try (0..<60).map { _ in try enter(table, key()) }
    let live = try enter(table, key())
    for number in 0..<50 {
      for client in idle { _ = table.relay(packet(number, count: 1400), from: a, to: client.key) }
      for client in idle { _ = table.relay(disco(number), from: a, to: client.key) }
      #expect(table.budget.inUse <= table.limits.waitingBytes)
    }
    #expect(table.statistics.overflows > 0 && table.budget.inUse > table.limits.waitingBytes / 4)
    for number in 0..<50 {
      _ = table.relay(packet(number, count: 1400), from: a, to: live.key)
      #expect(drain(live) == [.receivedPacket(from: a.key, packet(number, count: 1400))])
    }
    for client in idle.dropLast() { table.leave(client) }
    _ = drain(idle[59])
    #expect(table.budget.inUse == 0)
    // Somebody may have looked it up before it left.
    idle[0].put { outbox, _ in outbox.tellGone(a.key, .disconnected, RelayLimits(), room: .max) }
    #expect(table.budget.inUse == 0 && drain(idle[0]).isEmpty)
  }

  @Test("of whose leaving is told is bounded for all together, and what is over makes room")
  func watchesInAll() throws {
    let table = table { $0.watchedPeersInAll = 3 }
    let receiver = try enter(table, key())
    for round in 0..<3 {
      let senders = try (0..<5).map { _ in try enter(table, key()) }
      for sender in senders + senders { _ = table.relay(packet(round), from: sender, to: receiver.key) }
      _ = drain(receiver)
      for sender in senders { table.leave(sender) }
      #expect(drain(receiver).count == 3)
    }
  }

  @Test("of two connections with one key the one that spoke last is sent to, and the other when it leaves")
  func duplicates() throws {
    let table = RelayTable()
    let a = try enter(table, key())
    let shared = key()
    let first = try enter(table, shared)
    let second = try enter(table, shared)
    _ = table.relay(packet(1), from: a, to: shared)
    #expect(drain(second).count == 1 && drain(first).isEmpty)
    table.noteActive(first)
    _ = table.relay(packet(2), from: a, to: shared)
    #expect(drain(first).count == 1 && drain(second).isEmpty)
    table.leave(first)
    _ = table.relay(packet(3), from: a, to: shared)
    #expect(drain(second).count == 1)
    #expect(drain(a).isEmpty, "the key is still here")
  }

  @Test("whoever got packets of a peer is told when its last connection is gone, and nobody else")
  func gone() throws {
    let table = RelayTable()
    let a = try enter(table, key())
    let b = try enter(table, key())
    let c = try enter(table, key())
    _ = table.relay(packet(1), from: a, to: b.key)
    _ = drain(b)
    table.leave(a)
    table.leave(a)
    #expect(drain(b) == [.peerGone(a.key, .disconnected)])
    #expect(drain(c).isEmpty)
    guard case .unknown(isDisco: true) = table.relay(disco(1), from: b, to: a.key),
      case .unknown(isDisco: false) = table.relay(packet(1), from: b, to: a.key)
    else {
      Issue.record("the key should be unknown")
      return
    }
    #expect(table.statistics.unknownDestination == 2 && table.statistics.clients == 2)
  }

  @Test("the relay takes no more clients than it may")
  func full() throws {
    let table = table { $0.clients = 2 }
    let a = try enter(table, key())
    _ = try enter(table, key())
    #expect(table.enter(key(), wake: {}, close: {}) == nil)
    table.leave(a)
    #expect(table.enter(key(), wake: {}, close: {}) != nil)
  }

  @Test(
    "of too many connections with one key the one that spoke longest ago is closed, and nobody is told that the key is gone"
  )
  func manyOfOneKey() throws {
    let table = table {
      $0.clientsPerKey = 2
      $0.clients = 3
    }
    let other = try enter(table, key())
    let shared = key()
    let closed = Counter()
    let first = try enter(table, shared)
    let entered = table.enter(shared, wake: {}, close: { closed.add() })
    let second = try #require(entered)
    _ = table.relay(packet(1), from: first, to: other.key)
    table.noteActive(first)
    let third = try enter(table, shared)
    #expect(closed.count == 1 && table.statistics.clients == 3)
    table.leave(second)
    _ = table.relay(packet(2), from: other, to: shared)
    #expect(drain(third).count == 1 && drain(first).isEmpty)
    #expect(drain(other) == [.receivedPacket(from: shared, packet(1))])
    #expect(table.statistics.clients == 3)
  }

  @Test("a relay takes half as many clients as the process may have files open, and ten thousand at most")
  func openFiles() {
    #expect(RelayLimits(openFiles: 1024).clients == 512)
    #expect(RelayLimits(openFiles: 1 << 20).clients == 10_000)
  }

  @Test("who is not admitted any more is closed")
  func closes() throws {
    let table = RelayTable()
    let closed = Counter()
    let a = key()
    _ = table.enter(a, wake: {}, close: { closed.add() })
    _ = table.enter(key(), wake: {}, close: { Issue.record("this one stays") })
    table.closeUnless { $0 != a }
    #expect(closed.count == 1)
  }

  @Test("many threads relay at once, and every packet that is not dropped arrives in its order")
  func concurrent() async throws {
    let table = table {
      $0.queuedPackets = 100_000
      $0.queuedBytes = 1 << 30
    }
    let receiver = try enter(table, key())
    let senders = try (0..<8).map { _ in try enter(table, key()) }
    await withTaskGroup(of: Void.self) { group in
      for sender in senders {
        group.addTask { for number in 0..<500 { _ = table.relay(packet(number), from: sender, to: receiver.key) } }
      }
    }
    var next: [X25519PublicKey: Int] = [:]
    for case .receivedPacket(let source, let bytes) in drain(receiver) {
      #expect(bytes == packet(next[source, default: 0]))
      next[source, default: 0] += 1
    }
    #expect(next.values.allSatisfy { $0 == 500 } && next.count == 8)
  }
}
