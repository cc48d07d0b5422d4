import Cryptography
import NIOCore
import NIOPosix
import Netmap
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("relays that speak and do not read", .timeLimit(.minutes(10)))
struct DeafRelayTests {
  private let stranger = X25519PrivateKey(random: SeededRandom(21)).publicKey

  /// Without TLS, and with as little room as kernels give.
  private func link(
    to relay: ScriptedRelay, stallTimeout: Duration, onEvent: @escaping @Sendable (RelayLink.Event) -> Void
  ) async throws -> RelayLink {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.socketOption(.so_sndbuf), value: 4096)
      .connect(host: "127.0.0.1", port: Int(relay.relay.port)).get()
    return try await RelayLink.establish(
      over: channel, with: relay.relay, as: X25519PrivateKey(random: SystemRandom()), certificate: nil,
      certifiedKey: nil, stallTimeout: stallTimeout, onEvent: onEvent)
  }

  private func becomes(_ condition: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<6000 {
      if try await condition() { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  @Test("pings without end make nothing pile up here: the last is answered, when there is room")
  func pings() async throws {
    var flood = ByteBuffer()
    for number in 0..<1000 { DERPFrame.ping(UInt64(number)).write(to: &flood) }
    DERPFrame.receivedPacket(from: stranger, ByteBuffer(string: "a thousand")).write(to: &flood)
    let relay = try await ScriptedRelay(.floods(flood, reads: false), isBare: true)
    let thousands = Counter()
    let link = try await link(to: relay, stallTimeout: .seconds(600)) { event in
      if case .packet = event { thousands.add() }
    }
    #expect(try await becomes { thousands.count >= 40 })
    let waiting = try await link.channel.getOption(.bufferedWritableBytes).get()
    #expect(waiting < 128 << 10, "of more than 512 KiB of answers")
    link.close()
    await relay.stop()
  }

  @Test("a relay that takes nothing is left, although it never falls silent")
  func takesNothing() async throws {
    var flood = ByteBuffer()
    for _ in 0..<100 { DERPFrame.keepAlive.write(to: &flood) }
    let relay = try await ScriptedRelay(.floods(flood, reads: false), isBare: true)
    let events = LinkEvents()
    let link = try await link(to: relay, stallTimeout: .milliseconds(100), onEvent: events.handler)
    let packet = ByteBuffer(repeating: 1, count: 60_000)
    #expect(
      try await becomes {
        link.send(packet, to: stranger)
        return events.all.contains(.closed(.takesNothing))
      })
    await relay.stop()
  }
}
