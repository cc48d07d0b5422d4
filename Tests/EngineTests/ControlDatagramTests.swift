import TestSupport
import Testing
import Traversal
import Wire

@testable import DataPath

@Suite("datagrams for the control side")
struct ControlDatagramTests {
  private static let disco: [UInt8] = [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac] + [UInt8](repeating: 7, count: 90)
  private static let stun: [UInt8] =
    [1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42] + [UInt8](repeating: 5, count: 24)

  private func kind(_ bytes: [UInt8]) -> ControlDatagram? {
    bytes.withUnsafeBytes { memory in memory.baseAddress.flatMap { ControlDatagram($0, count: memory.count) } }
  }

  @Test("handshake messages are known by type and exact length")
  func handshakes() {
    for (type, length) in [(1, 148), (2, 92), (3, 64)] {
      let message = [UInt8(type), 0, 0, 0] + [UInt8](repeating: 0x21, count: length - 4)
      #expect(kind(message) == .handshake)
      #expect(kind(message + [0]) == nil && kind(message.dropLast()) == nil)
      var reserved = message
      reserved[2] = 1
      #expect(kind(reserved) == nil)
    }
  }

  @Test("what is disco and what is STUN is decided as everywhere else, at every length")
  func agrees() {
    let random = SeededRandom(4)
    let request = [0, 1] + ControlDatagramTests.stun.dropFirst(2)
    var samples = [ControlDatagramTests.disco, ControlDatagramTests.stun, request]
    for sample in samples {
      for length in 0..<sample.count { samples.append(Array(sample[..<length])) }
      for _ in 0..<200 {
        var changed = sample
        changed[Int(random.uniform(below: 8))] ^= UInt8(1 << random.uniform(below: 8))
        samples.append(changed)
      }
    }
    for sample in samples {
      let expected: ControlDatagram? =
        switch DatagramKind(sample) {
        case .stun: .stun
        case .disco: .disco
        case .relayed, .wireGuard: nil
        }
      #expect(kind(sample) == expected, "\(sample)")
    }
  }

  @Test("what is longer than a frame is neither")
  func tooLong() {
    for sample in [ControlDatagramTests.disco, ControlDatagramTests.stun] {
      let longest = sample + [UInt8](repeating: 0, count: ControlDatagram.longestProbe - sample.count)
      #expect(kind(longest) != nil && kind(longest + [0]) == nil)
    }
  }

  @Test("disco and STUN reach the control side whole, with their source")
  func reach() throws {
    let link = try Link()
    link.a.inject(ControlDatagramTests.disco, to: link.b.endpoint)
    link.a.inject(ControlDatagramTests.stun, to: link.b.endpoint)
    #expect(link.b.collect { link.b.disco.count == 1 && link.b.stun.count == 1 })
    #expect(link.b.disco.map(\.datagram) == [ControlDatagramTests.disco])
    #expect(link.b.stun.map(\.datagram) == [ControlDatagramTests.stun])
    #expect((link.b.disco + link.b.stun).map(\.source) == [link.a.endpoint, link.a.endpoint])
  }

  @Test("a flood of disco is dropped and counted, and pushes out no handshake message")
  func flood() throws {
    let link = try Link()
    let total = 1000
    let unknown: [UInt8] = [4, 0, 0, 0] + [UInt8](repeating: 0, count: 28)
    for sent in 1...total {
      link.a.inject(ControlDatagramTests.disco, to: link.b.endpoint)
      // The socket's own queue, which is small, is not what is tested: let it become empty now and then.
      guard sent % 50 == 0 else { continue }
      link.a.inject(unknown, to: link.b.endpoint)
      #expect(link.b.sees { link.b.dataPath.drops(.noSession) == sent / 50 })
    }
    link.a.inject([1, 0, 0, 0] + [UInt8](repeating: 7, count: 144), to: link.b.endpoint)
    #expect(link.b.collect { link.b.handshakes.count == 1 })
    #expect(link.b.disco.count + Int(link.b.dataPath.drops(.probeQueueFull)) == total)
    #expect(link.b.dataPath.drops(.probeQueueFull) > 0 && link.b.dataPath.drops(.handshakeQueueFull) == 0)
  }
}
