import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

@Suite("Hostile input") struct HostileInputTests {
  private let stranger = SocketAddress("203.0.113.66:666")!

  private func established() throws -> SimulatedNetwork {
    let network = try SimulatedNetwork(seed: 3)
    network.send(from: 0, to: 1, number: 1)
    network.send(from: 1, to: 0, number: 2)
    network.run(for: .seconds(1))
    return network
  }

  /// Real messages of every type, as they were on the wire.
  private func samples(_ network: SimulatedNetwork) throws -> [[UInt8]] {
    let initiation = try #require(network.sent.filter(\.isInitiation).first).bytes
    var checker = CookieChecker(network[1].privateKey.publicKey)
    let reply = checker.reply(to: initiation, sender: 7, from: stranger, at: network.now, network.random)
    return network.sent.map(\.bytes) + [reply.bytes]
  }

  @Test("random bytes of any length get no answer, deliver nothing and move nobody")
  func randomBytes() throws {
    let network = try established()
    network.forgetSent()
    let deliveries = network.deliveries.count
    let endpoint = network.status(0, of: 1)?.endpoint
    for length in Array(0...200) + [500, 1500, 9000, 65_507, 65_535, 100_000] {
      for type in [nil, 0, 1, 2, 3, 4, 5, 255] as [UInt8?] {
        var bytes = network.random.bytes(length)
        if let type, length >= 4 { bytes.replaceSubrange(0..<4, with: [type, 0, 0, 0]) }
        network.inject(bytes, from: stranger, into: 0)
      }
    }
    #expect(network.sent.isEmpty && network.deliveries.count == deliveries)
    #expect(network.status(0, of: 1)?.endpoint == endpoint)
  }

  @Test("messages with changed, missing or added bytes get no answer and do no harm")
  func mutations() throws {
    let network = try established()
    let samples = try samples(network)
    network.forgetSent()
    let deliveries = network.deliveries.count
    for sample in samples {
      for _ in 0..<60 {
        var bytes = sample
        switch network.random.uniform(below: 3) {
        case 0: bytes.removeLast(1 + Int(network.random.uniform(below: UInt64(bytes.count))))
        case 1: bytes += network.random.bytes(1 + Int(network.random.uniform(below: 40)))
        default:
          bytes[Int(network.random.uniform(below: UInt64(bytes.count)))] ^= 1 << UInt8(network.random.uniform(below: 8))
        }
        network.inject(bytes, from: stranger, into: Int(network.random.uniform(below: 2)))
      }
    }
    #expect(network.sent.isEmpty && network.deliveries.count == deliveries)
    network.send(from: 0, to: 1, number: 50)
    network.send(from: 1, to: 0, number: 51)
    network.run(for: .seconds(1))
    #expect(network.numbers(at: 1).last == 50 && network.numbers(at: 0).last == 51)
  }

  @Test("whoever knows our public key makes mac1, but gets no further")
  func madeMAC1() throws {
    let network = try established()
    network.forgetSent()
    for machine in 0...1 {
      var cookies = CookieGenerator(network[machine].privateKey.publicKey)
      for type in [1, 2] as [UInt8] {
        for _ in 0..<50 {
          let body = [type, 0, 0, 0] + network.random.bytes(type == 1 ? 112 : 56)
          network.inject(cookies.authenticate(body, at: network.now), from: stranger, into: machine)
        }
      }
    }
    #expect(network.sent.isEmpty)
  }

  @Test("a flood makes us ask for cookies, which one who cannot receive them does not have; peers still get in")
  func flood() throws {
    var configuration = Device.Configuration()
    configuration.handshakesPerSecond = 20
    let network = try SimulatedNetwork(seed: 6, configuration: configuration)
    var cookies = CookieGenerator(network[1].privateKey.publicKey)
    func flood(_ count: Int) {
      for _ in 0..<count {
        let source = SocketAddress(IPAddress(v4: network.random.uint32()), port: 1)
        let body = [1, 0, 0, 0] + network.random.bytes(112)
        network.inject(cookies.authenticate(body, at: network.now), from: source, into: 1)
      }
    }
    flood(100)
    #expect(network.sent.count == 80 && network.sent.allSatisfy { $0.isCookieReply && $0.bytes.count == 64 })
    network.send(from: 0, to: 1, number: 1)
    for _ in 0..<40 {
      network.run(for: .milliseconds(250))
      flood(10)
    }
    #expect(network.numbers(at: 1) == [1])
  }

  @Test("a wrong mac1 is not counted as load")
  func uncountedFlood() throws {
    var configuration = Device.Configuration()
    configuration.handshakesPerSecond = 20
    let network = try SimulatedNetwork(seed: 6, configuration: configuration)
    for _ in 0..<500 {
      network.inject([1, 0, 0, 0] + network.random.bytes(144), from: stranger, into: 1)
    }
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(1))
    #expect(network.numbers(at: 1) == [1])
    #expect(network.sent.filter(\.isCookieReply).isEmpty)
  }

  @Test("packets from the machine itself that are none, or go nowhere, are dropped")
  func badInnerPackets() throws {
    let network = try established()
    network.forgetSent()
    for length in 0...100 {
      let output = network[0].tunnel.send(
        network.random.bytes(length), now: network.now, wallTime: network.wallTime(of: 0))
      #expect(output.datagrams.isEmpty)
    }
  }
}
