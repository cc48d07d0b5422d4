import Cryptography
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Netmap
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("a relay and its clients, over TLS")
struct RelayTests {
  private func key() -> X25519PrivateKey { X25519PrivateKey(random: SystemRandom()) }

  @Test("two clients reach each other, in order and in both directions")
  func reach() async throws {
    let relay = try await TestRelay()
    let (a, b) = (key(), key())
    let (atA, atB) = (LinkEvents(), LinkEvents())
    let left = try await RelayLink.connect(to: relay.relay, as: a, onEvent: atA.handler)
    let right = try await RelayLink.connect(to: relay.relay, as: b, onEvent: atB.handler)
    for number in 0..<100 {
      left.send(ByteBuffer(string: "to b \(number)"), to: b.publicKey)
      right.send(ByteBuffer(string: "to a \(number)"), to: a.publicKey)
    }
    let toB = (0..<100).map { RelayLink.Event.packet(from: a.publicKey, ByteBuffer(string: "to b \($0)")) }
    let toA = (0..<100).map { RelayLink.Event.packet(from: b.publicKey, ByteBuffer(string: "to a \($0)")) }
    // On a slow machine the relay is asked meanwhile whether it lives.
    #expect(try await atB.wait { $0.filter(\.isPacket) == toB })
    #expect(try await atA.wait { $0.filter(\.isPacket) == toA })
    right.close()
    #expect(try await atA.wait { $0.contains(.peerGone(b.publicKey, .disconnected)) })
    left.close()
    await relay.stop()
  }

  @Test("packets of every size up to 64 KiB arrive whole, and a longer one is not sent")
  func sizes() async throws {
    let relay = try await TestRelay()
    let (a, b) = (key(), key())
    let atB = LinkEvents()
    let left = try await RelayLink.connect(to: relay.relay, as: a, onEvent: { _ in })
    let right = try await RelayLink.connect(to: relay.relay, as: b, onEvent: atB.handler)
    let random = SeededRandom(3)
    let packets = [0, 1, 61, 62, 1280, 1500, 65535, 65536].map { ByteBuffer(bytes: random.bytes($0)) }
    left.send(ByteBuffer(repeating: 1, count: 65537), to: b.publicKey)
    for (number, packet) in packets.enumerated() {
      left.send(packet, to: b.publicKey)
      #expect(try await atB.wait { $0.count(where: \.isPacket) == number + 1 }, "\(packet.readableBytes) bytes")
    }
    #expect(atB.all.filter(\.isPacket) == packets.map { .packet(from: a.publicKey, $0) })
    left.close()
    right.close()
    await relay.stop()
  }

  @Test("whoever asks for the path to a key that is not here is told, and told once")
  func notHere() async throws {
    let relay = try await TestRelay()
    let events = LinkEvents()
    let nobody = key().publicKey
    let link = try await RelayLink.connect(to: relay.relay, as: key(), onEvent: events.handler)
    let disco = ByteBuffer(bytes: [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac] + [UInt8](repeating: 1, count: 100))
    link.send(ByteBuffer(string: "plain data"), to: nobody)
    for _ in 0..<20 { link.send(disco, to: nobody) }
    link.ping()
    #expect(try await events.wait { $0.contains { if case .answered = $0 { true } else { false } } })
    let told = events.all.filter { $0 == .peerGone(nobody, .notHere) }
    #expect((1...3).contains(told.count))
    link.close()
    await relay.stop()
  }

  @Test("a client that is not admitted is closed, and one that is admitted no more")
  func admission() async throws {
    let (friend, stranger) = (key(), key())
    let relay = try await TestRelay(admission: OnlyThese([friend.publicKey]))
    let events = LinkEvents()
    let link = try await RelayLink.connect(to: relay.relay, as: friend, onEvent: events.handler)
    await #expect(throws: DERPError.self) {
      _ = try await RelayLink.connect(to: relay.relay, as: stranger, onEvent: { _ in })
    }
    relay.server.table.closeUnless { _ in false }
    #expect(try await events.wait { if case .closed? = $0.last { true } else { false } })
    #expect(relay.server.table.statistics.clients == 0)
    _ = link
    await relay.stop()
  }

  @Test("who is removed between the look-up and its place at the relay does not keep the place")
  func removedMeanwhile() async throws {
    let relay = try await TestRelay(admission: JustRemoved())
    await #expect(throws: DERPError.self) {
      _ = try await RelayLink.connect(to: relay.relay, as: key(), onEvent: { _ in })
    }
    #expect(relay.server.table.statistics.clients == 0)
    await relay.stop()
  }

  @Test("another certificate than the records name is not believed, and the error says which it is")
  func wrongPin() async throws {
    let relay = try await TestRelay(pin: Bytes32(repeatElement(7, count: 32)))
    await #expect(throws: DERPError.wrongCertificate(found: Hex.encode(relay.certificate.array))) {
      _ = try await RelayLink.connect(to: relay.relay, as: key(), onEvent: { _ in })
    }
    await relay.stop()
  }

  @Test("a family of which the record gives no address is looked up by the relay's name, and what works is taken")
  func nameBesideLiteral() async throws {
    let relay = try await TestRelay()
    var record = relay.relay
    record.host = "localhost"
    // Nobody listens there.
    record.ipv6 = IPAddress("::1")
    let link = try await RelayLink.connect(to: record, as: key(), onEvent: { _ in })
    link.close()
    await relay.stop()
  }

  @Test("an address for a host leaves the other family off, a name does not")
  func ways() {
    let address = IPAddress("198.51.100.1")!
    let other = IPAddress("2001:db8::1")!
    var relay = Relay(id: 1, region: "", host: "198.51.100.1", port: 1)
    #expect(relay.way(over: .v4) == .address(address) && relay.way(over: .v6) == .off)
    relay.ipv6 = other
    #expect(relay.way(over: .v6) == .address(other))
    relay.host = "anchor.example.org"
    #expect(relay.way(over: .v4) == .name && relay.way(over: .v6) == .address(other))
  }

  @Test("a port where nobody listens is an error at once, and it says so")
  func nobodyListens() async throws {
    let relay = Relay(id: 1, region: "", host: "127.0.0.1", port: 1, certificateSHA256: Bytes32.zero)
    await #expect(throws: DERPError.self) {
      _ = try await RelayLink.connect(to: relay, as: key(), onEvent: { _ in })
    }
  }

  @Test("the client's key comes from the certificate, and from the answer where there is none")
  func fastStart() throws {
    let relayKey = key().publicKey
    let certificate = try RelayCertificate(relayKey: relayKey, now: .now())
    let again = try RelayCertificate(pem: certificate.pem, relayKey: relayKey, now: .now())
    #expect(again.sha256 == certificate.sha256, "what is kept is the same certificate")
    _ = try again.serverContext()
  }

  @Test(
    "the key is found in another server's certificate",
    .enabled(if: Fixtures.have("engine/derp_frames.json"), Comment(rawValue: Fixtures.skipped)))
  func otherCertificate() throws {
    let vectors = try Fixtures.json("engine/derp_frames.json")
    let der = try #require(vectors["meta_certificate_der"]?.string.flatMap { Hex.decode($0) })
    let expected = try #require(vectors["keys"]?["server_public"]?.string.flatMap { Hex.decode($0) })
    #expect(ServerCertificate.relayKey(in: der)?.bytes.array == expected)
    #expect(ServerCertificate.relayKey(in: Array(der.prefix(100))) == nil)
  }

  @Test("strangers who say nothing are few and are not kept")
  func strangers() async throws {
    var limits = RelayLimits()
    limits.strangersPerNetwork = 2
    limits.handshake = .seconds(3)
    let relay = try await TestRelay(limits: limits)
    let address = try NIOCore.SocketAddress(ipAddress: "127.0.0.1", port: Int(relay.relay.port))
    var ends: [EventLoopFuture<Void>] = []
    for _ in 0..<10 {
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address).get()
      ends.append(channel.closeFuture)
    }
    for end in ends { try await end.get() }
    // There is room again. A machine that is busy with other tests may take longer than strangers have.
    var link: RelayLink?
    for _ in 0..<20 where link == nil {
      link = try? await RelayLink.connect(to: relay.relay, as: key(), onEvent: { _ in })
    }
    try #require(link).close()
    await relay.stop()
  }

  @Test("what is no request of a relay is answered or refused, and nothing is kept of it")
  func otherRequests() async throws {
    let relay = RelayServer(key: key(), certificate: nil, admission: OpenAdmission())
    let listener = try await relay.listen(on: .init(ipAddress: "127.0.0.1", port: 0), tls: nil)
    let port = try #require(listener.localAddress?.port)
    func ask(_ text: String) async throws -> String {
      let answer = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: String.self)
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { $0.pipeline.addHandler(FirstBytes(answer)) }
        .connect(host: "127.0.0.1", port: port).get()
      try await channel.writeAndFlush(ByteBuffer(string: text)).get()
      let result = try await answer.futureResult.get()
      try? await channel.close()
      return result
    }
    #expect(try await ask("GET /derp/probe HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix("HTTP/1.1 200"))
    #expect(try await ask("HEAD /derp/latency-check HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 200"))
    #expect(try await ask("GET /derp HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 426"))
    #expect(try await ask("GET / HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 404"))
    #expect(
      try await ask("GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: derp\r\n\r\n").hasPrefix("HTTP/1.1 101"))
    #expect(try await ask("\u{16}\u{3}\u{1}garbage\r\n\r\n").isEmpty)
    #expect(try await ask(String(repeating: "x", count: 20_000)).isEmpty)
    try await listener.close()
  }
}

extension RelayLink.Event {
  fileprivate var isPacket: Bool { if case .packet = self { true } else { false } }
}

private struct OnlyThese: RelayAdmission {
  let keys: Set<X25519PublicKey>
  init(_ keys: Set<X25519PublicKey>) { self.keys = keys }
  func admits(_ key: X25519PublicKey, namesRelay: Bool) async -> Bool { keys.contains(key) }
  func stillAdmits(_ key: X25519PublicKey, namesRelay: Bool) -> Bool { keys.contains(key) }
}

/// Whoever comes was a member a moment ago.
private struct JustRemoved: RelayAdmission {
  func admits(_ key: X25519PublicKey, namesRelay: Bool) async -> Bool { true }
  func stillAdmits(_ key: X25519PublicKey, namesRelay: Bool) -> Bool { false }
}

/// The first bytes that come, or nothing when the connection ends before.
private final class FirstBytes: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  private let promise: EventLoopPromise<String>
  init(_ promise: EventLoopPromise<String>) { self.promise = promise }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    promise.succeed(String(buffer: unwrapInboundIn(data)))
  }
  func channelInactive(context: ChannelHandlerContext) { promise.succeed("") }
}
