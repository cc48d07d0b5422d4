import Cryptography
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("what a relay bears from those whom it does not know yet")
struct StrangerTests {
  private static let chunk = 1 << 20
  private static let chunks = 32

  /// Answers when it is told to.
  private final class SlowAdmission: RelayAdmission {
    private let state = Mutex((isAsked: false, isOpen: false))
    var isAsked: Bool { state.withLock(\.isAsked) }
    func open() { state.withLock { $0.isOpen = true } }
    func admits(_ key: X25519PublicKey, namesRelay: Bool) async -> Bool {
      state.withLock { $0.isAsked = true }
      while !state.withLock(\.isOpen) { try? await Task.sleep(for: .milliseconds(10)) }
      return true
    }
    func stillAdmits(_ key: X25519PublicKey, namesRelay: Bool) -> Bool { true }
  }

  @Test("what somebody pours in while it is looked up stays in the network, and is taken once it is admitted")
  func pours() async throws {
    let serverKey = X25519PrivateKey(random: SystemRandom())
    let admission = SlowAdmission()
    let relay = RelayServer(key: serverKey, certificate: nil, admission: admission, limits: TestRelay.patient)
    let listener = try await relay.listen(on: .init(ipAddress: "127.0.0.1", port: 0), tls: nil)
    let address = try #require(listener.localAddress)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address).get()
    var session = RelayClientSession(
      nodeKey: X25519PrivateKey(random: SystemRandom()), host: "relay", certificate: nil,
      certifiedKey: serverKey.publicKey,
      random: SystemRandom(), now: .now())
    var introduction = ByteBuffer()
    try session.start(&introduction)
    try await channel.writeAndFlush(introduction).get()
    #expect(try await becomes { admission.isAsked })

    // Frames that later versions might have: they are skipped.
    var frame = ByteBuffer()
    frame.writeInteger(UInt8(0x7f))
    frame.writeInteger(UInt32(Self.chunk))
    frame.writeRepeatingByte(0, count: Self.chunk)
    let written = Counter()
    for _ in 0..<Self.chunks {
      channel.writeAndFlush(frame).whenSuccess { written.add() }
    }
    // Until nothing goes on for a second, or all is gone.
    var calm = (count: -1, polls: 0)
    while calm.polls < 100, written.count < Self.chunks {
      calm = written.count == calm.count ? (calm.count, calm.polls + 1) : (written.count, 0)
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(written.count < Self.chunks, "what the kernel holds is less")
    admission.open()
    #expect(try await becomes { written.count == Self.chunks })
    try await channel.close()
    try await listener.close()
  }

  @Test("requests that come faster than they are answered end the connection, and one after the other are answered")
  func requests() async throws {
    let relay = RelayServer(
      key: X25519PrivateKey(random: SystemRandom()), certificate: nil, admission: OpenAdmission(),
      limits: TestRelay.patient)
    let listener = try await relay.listen(on: .init(ipAddress: "127.0.0.1", port: 0), tls: nil)
    let address = try #require(listener.localAddress)
    let request = "GET /derp/probe HTTP/1.1\r\n\r\n"
    let answers = Answers()
    let polite = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { $0.pipeline.addHandler(answers) }.connect(to: address).get()
    for number in 1...20 {
      try await polite.writeAndFlush(ByteBuffer(string: request)).get()
      #expect(try await becomes { answers.count == number })
    }
    try await polite.close()

    let rude = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address).get()
    let ended = Counter()
    rude.closeFuture.whenComplete { _ in ended.add() }
    rude.writeAndFlush(ByteBuffer(string: String(repeating: request, count: 10_000)), promise: nil)
    #expect(try await becomes { ended.count == 1 })
    try await listener.close()
  }

  @Test("strangers are counted by IPv4 address and by IPv6 /64, however they are written, and everybody together")
  func networks() {
    func enters(_ budget: StrangerBudget, _ address: String?) -> Bool {
      budget.enter(StrangerBudget.network(of: address))
    }
    var limits = RelayLimits()
    limits.strangersPerNetwork = 2
    limits.strangers = 6
    let budget = StrangerBudget(limits)
    #expect(enters(budget, "192.0.2.1") && enters(budget, "::ffff:192.0.2.1") && !enters(budget, "192.0.2.1"))
    #expect(enters(budget, "192.0.2.2"))
    #expect(enters(budget, "2001:db8::1") && enters(budget, "2001:db8::2:0:0:2") && !enters(budget, "2001:db8::3"))
    #expect(enters(budget, "2001:db8:0:1::1"))
    budget.leave(StrangerBudget.network(of: "2001:db8::1"))
    #expect(enters(budget, "2001:db8::4"))
    #expect(enters(budget, nil) == false, "six are here")
  }

  private func becomes(_ condition: () -> Bool) async throws -> Bool {
    for _ in 0..<3000 {
      if condition() { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }
}

/// Counts heads of answers.
private final class Answers: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  private let counter = Counter()
  var count: Int { counter.count }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    for _ in String(buffer: unwrapInboundIn(data)).split(separator: "HTTP/1.1 200") { counter.add() }
  }
}
