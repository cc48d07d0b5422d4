import Glibc
import TestSupport
import Testing
import Wire

@testable import DataPath

@Suite("the ring between two threads")
struct PacketRingTests {
  private func bytes(_ consumer: inout PacketRing.Consumer) -> [UInt8]? {
    consumer.next().map { Array($0.payload) }
  }

  @Test("gives records back in their order, whole, whatever their sizes", arguments: [1, 2, 3] as [UInt64])
  func keepsOrder(seed: UInt64) {
    let random = SeededRandom(seed)
    let ring = PacketRing(capacity: 4096)
    let producer = ring.producer
    var consumer = ring.consumer
    var expected: [[UInt8]] = []
    for _ in 0..<20_000 {
      if random.uniform(below: 2) == 0 {
        let record = random.bytes(Int(random.uniform(below: 700)))
        let split = Int(random.uniform(below: UInt64(record.count + 1)))
        let isTaken = record.withUnsafeBytes { whole in
          producer.push(
            kind: 7, subject: UInt32(record.count), prefix: UnsafeRawBufferPointer(rebasing: whole[..<split]),
            payload: UnsafeRawBufferPointer(rebasing: whole[split...]))
        }
        if isTaken { expected.append(record) }
        #expect(isTaken || expected.reduce(0) { $0 + $1.count + 32 } > 2048, "seed \(seed)")
      } else {
        _ = consumer.look()
        if let record = bytes(&consumer) {
          #expect(record == expected.removeFirst(), "seed \(seed)")
        } else {
          #expect(expected.isEmpty, "seed \(seed)")
        }
      }
    }
  }

  @Test("gives only what was there at the last look")
  func limitsToLook() {
    let ring = PacketRing(capacity: 4096)
    let producer = ring.producer
    var consumer = ring.consumer
    var kinds: [UInt32?] = []
    var looks = [consumer.look()]
    #expect(producer.push(kind: 1))
    kinds.append(consumer.next()?.header.kind)
    looks.append(consumer.look())
    #expect(producer.push(kind: 2))
    kinds.append(consumer.next()?.header.kind)
    kinds.append(consumer.next()?.header.kind)
    looks.append(consumer.look())
    kinds.append(consumer.next()?.header.kind)
    #expect(looks == [false, true, true])
    #expect(kinds == [nil, 1, nil, 2])
  }

  @Test("refuses a record for which there is no room, and takes it when there is")
  func refusesWhenFull() {
    let ring = PacketRing(capacity: 4096)
    let producer = ring.producer
    var consumer = ring.consumer
    let large = [UInt8](repeating: 1, count: 3000)
    func push() -> Bool { large.withUnsafeBytes { producer.push(kind: 1, payload: $0) } }
    #expect(push())
    #expect(!push())
    _ = consumer.look()
    let taken = bytes(&consumer)
    // Asking for the next one gives the space of the last one back.
    let nothing = bytes(&consumer)
    #expect(taken == large && nothing == nil)
    #expect(push())
  }

  @Test("loses, repeats and tears nothing between two threads")
  func concurrent() {
    final class Shared: Sendable { let ring = PacketRing(capacity: 8192) }
    let shared = Shared()
    let total = 100_000
    var thread = pthread_t()
    let context = Unmanaged.passRetained(shared)
    pthread_create(&thread, nil, producePackets, context.toOpaque())
    var consumer = shared.ring.consumer
    var next: UInt64 = 0
    var isWhole = true
    while next < UInt64(total) {
      guard consumer.look() else {
        sched_yield()
        continue
      }
      while let (header, payload) = consumer.next() {
        isWhole = isWhole && header.value == next && payload.allSatisfy { $0 == UInt8(truncatingIfNeeded: next) }
        isWhole = isWhole && payload.count == Int(next % 300)
        next += 1
      }
    }
    pthread_join(thread, nil)
    context.release()
    #expect(isWhole)

    func producePackets(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
      let producer = Unmanaged<Shared>.fromOpaque(context!).takeUnretainedValue().ring.producer
      for number in 0..<UInt64(100_000) {
        let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: Int(number % 300))
        while !payload.withUnsafeBytes({ producer.push(kind: 1, value: number, payload: $0) }) { sched_yield() }
      }
      return nil
    }
  }
}
