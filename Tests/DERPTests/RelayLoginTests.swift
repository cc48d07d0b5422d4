import Cryptography
import NIOCore
import NIOPosix
import NIOSSL
import Netmap
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("what a client says of itself to a relay")
struct RelayLoginTests {
  private let random = SeededRandom(12)

  @Test("another relay that shows the key of this one gets nothing with which it could log in here as its client")
  func passedOn() async throws {
    let relay = try await TestRelay()
    let rogue = try await RogueRelay(showing: relay.key)
    let client = X25519PrivateKey(random: SystemRandom())
    let link = Task { try await RelayLink.connect(to: rogue.relay, as: client, onEvent: { _ in }) }
    #expect(try await rogue.bytes.wait { $0.readableBytes > 0 && Self.login(in: $0) != nil })

    // It passes on all it got, and nothing but that.
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let channel = try await RelayDialer(
      relay: relay.relay, certificate: ServerCertificate(pin: relay.relay.certificateSHA256), loop: loop
    ).dial(before: .now() + .seconds(60))
    let answer = CollectedBytes()
    try await channel.pipeline.addHandler(answer.handler())
    try await channel.writeAndFlush(rogue.bytes.all).get()
    #expect(try await answer.waitForEnd())
    #expect(relay.server.table.statistics.clients == 0)
    var frames = answer.all
    var reader = DERPFrameReader()
    while let frame = try reader.next(&frames) {
      if case .serverInfo = frame { Issue.record("it was taken for the client") }
    }
    link.cancel()
    await rogue.stop()
    await relay.stop()
  }

  /// The client's first frame.
  private static func login(in bytes: ByteBuffer) -> DERPFrame? {
    var bytes = bytes
    var reader = DERPFrameReader()
    guard (try? UpgradeRequest.read(&bytes)) != nil else { return nil }
    return try? reader.next(&bytes)
  }

  @Test("it names the certificate that the client saw: its own passes, none is told apart, another and nonsense end it")
  func names() throws {
    let certificate = try #require(Bytes32(random.bytes(32)))
    let digits = JSONValue.string(Hex.encode(certificate.array))
    #expect(try step(SealedInfo.client(certificate: certificate), at: certificate) == true)
    #expect(try step(SealedInfo.client(certificate: nil), at: certificate) == false)
    #expect(try step(SealedInfo.client(certificate: nil), at: nil) == false)
    let other = SealedInfo.client(certificate: Bytes32(random.bytes(32)))
    #expect(throws: DERPError.meantForAnotherRelay) { try step(other, at: certificate) }
    #expect(throws: DERPError.meantForAnotherRelay) { try step(other, at: nil) }
    for value: JSONValue in ["", 7, .null, [digits]] {
      #expect(throws: DERPError.meantForAnotherRelay) {
        try step(["version": 2, "CanAckPings": true, "meshdRelayCertSHA256": value], at: certificate)
      }
    }
    #expect(try step(["version": 2, "CanAckPings": true, "meshdRelayCertSHA256": digits], at: certificate) == true)
  }

  /// Whether a login with this text names the relay.
  private func step(_ info: JSONValue, at certificate: Bytes32?) throws -> Bool? {
    let (clientKey, serverKey) = (X25519PrivateKey(random: random), X25519PrivateKey(random: random))
    var server = RelayServerSession(
      serverKey: serverKey, certificate: certificate, random: random, now: Instant(nanoseconds: 1_000_000_000))
    let box = try #require(NaClBox(clientKey, serverKey.publicKey))
    var bytes = ByteBuffer()
    DERPFrame.clientInfo(clientKey.publicKey, sealed: SealedInfo.seal(info, in: box, random: random)).write(to: &bytes)
    guard case .introduced(clientKey.publicKey, let namesRelay)? = try server.next(&bytes) else { return nil }
    return namesRelay
  }

  @Test("a client names the relay that it is connected with")
  func namesRelay() async throws {
    let admission = NamingOnly()
    let relay = try await TestRelay(admission: admission)
    let link = try await RelayLink.connect(
      to: relay.relay, as: X25519PrivateKey(random: SystemRandom()), onEvent: { _ in })
    link.close()
    await relay.stop()
  }
}

private struct NamingOnly: RelayAdmission {
  func admits(_ key: X25519PublicKey, namesRelay: Bool) async -> Bool { namesRelay }
  func stillAdmits(_ key: X25519PublicKey, namesRelay: Bool) -> Bool { namesRelay }
}

/// A relay with a certificate of its own that says that it has the key of another one. It only listens.
private final class RogueRelay: Sendable {
  let relay: Relay
  let bytes = CollectedBytes()
  private let channel: any Channel

  init(showing key: X25519PublicKey) async throws {
    let certificate = try RelayCertificate(relayKey: key, now: .now())
    let context = try certificate.serverContext()
    channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { [bytes] channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
          try channel.pipeline.syncOperations.addHandler(bytes.handler())
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    relay = Relay(
      id: 2, region: "rogue", host: "127.0.0.1", port: UInt16(channel.localAddress?.port ?? 0),
      certificateSHA256: certificate.sha256)
  }

  func stop() async { try? await channel.close() }
}

/// What came over a connection, and whether it has ended.
private final class CollectedBytes: Sendable {
  private let state = Mutex((bytes: ByteBuffer(), isEnded: false))

  var all: ByteBuffer { state.withLock(\.bytes) }

  func handler() -> some ChannelInboundHandler & Sendable { Handler(self) }

  func wait(_ condition: (ByteBuffer) -> Bool) async throws -> Bool { try await wait { condition($0.bytes) } }
  func waitForEnd() async throws -> Bool { try await wait { $0.isEnded } }

  private func wait(_ condition: ((bytes: ByteBuffer, isEnded: Bool)) -> Bool) async throws -> Bool {
    for _ in 0..<3000 {
      if condition(state.withLock { $0 }) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  private final class Handler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let bytes: CollectedBytes
    init(_ bytes: CollectedBytes) { self.bytes = bytes }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var piece = unwrapInboundIn(data)
      bytes.state.withLock { _ = $0.bytes.writeBuffer(&piece) }
    }
    func channelInactive(context: ChannelHandlerContext) { bytes.state.withLock { $0.isEnded = true } }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
