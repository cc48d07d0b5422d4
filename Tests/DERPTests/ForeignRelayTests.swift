import Cryptography
import Foundation
import NIOCore
import Netmap
import Synchronization
import Testing
import Wire

@testable import DERP

/// A relay of another maker, named by the environment: `MESHD_RELAY=https://ADDRESS:PORT#PIN`, the pin being the SHA-256 of its
/// certificate in hexadecimal.
private enum ForeignRelay {
  static let text = ProcessInfo.processInfo.environment["MESHD_RELAY"]

  static func relay() throws -> Relay {
    let text = try #require(text)
    let parts = text.split(separator: "#")
    let address = try #require(SocketAddress(parts[0].dropFirst("https://".count)))
    let digits = try #require(parts.dropFirst().first)
    let bytes = try #require(Hex.decode(digits))
    #expect(bytes.count == 32, "a pin has 64 hexadecimal digits")
    return Relay(
      id: 1, region: "foreign", host: address.ip.description, port: address.port, ipv4: address.ip,
      certificateSHA256: Bytes32(bytes))
  }
}

/// The lengths of packets that came, in their order.
private final class ArrivedLengths: Sendable {
  private let lengths = Mutex<[Int]>([])
  var all: [Int] { lengths.withLock { $0 } }
  func append(_ length: Int) { lengths.withLock { $0.append(length) } }
}

@Suite(
  "a relay of another maker",
  .enabled(if: ForeignRelay.text != nil, "skipped: MESHD_RELAY names no relay (https://ADDRESS:PORT#PIN)"))
struct ForeignRelayTests {
  @Test("carries packets of every size in both directions, in their order")
  func carriesPackets() async throws {
    let relay = try ForeignRelay.relay()
    let keys = [X25519PrivateKey(random: SystemRandom()), X25519PrivateKey(random: SystemRandom())]
    let arrived = [ArrivedLengths(), ArrivedLengths()]
    let sizes = [1, 64, 148, 1400, 9000, 65_535]
    var ends: [RelayConnections] = []
    for index in 0..<2 {
      let end = RelayConnections(nodeKey: keys[index]) { packet, source, _ in
        guard source == keys[1 - index].publicKey else { return }
        arrived[index].append(packet.readableBytes)
      }
      await end.setRelays([relay])
      await end.setHome(1, standby: nil)
      ends.append(end)
    }
    for end in ends {
      #expect(try await becomes { end.isConnected }, "connected with \(relay.host)")
    }
    for size in sizes {
      for index in 0..<2 {
        ends[index].send(
          ByteBuffer(repeating: UInt8(size & 0xff), count: size), to: keys[1 - index].publicKey, relays: [1])
      }
    }
    for index in 0..<2 {
      #expect(try await becomes { arrived[index].all.count == sizes.count })
      #expect(arrived[index].all == sizes)
    }
    for end in ends { await end.close() }
  }

  private func becomes(_ condition: () async -> Bool) async throws -> Bool {
    for _ in 0..<1000 {
      if await condition() { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }
}
