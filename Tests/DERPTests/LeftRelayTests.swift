import Cryptography
import NIOCore
import NIOPosix
import Netmap
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("a relay that was left")
struct LeftRelayTests {
  /// Stands where TLS does, which closes a connection only when the other side has said goodbye, and passes on what comes before.
  private final class Goodbye: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer

    private let closings: Counter
    private let passed: Counter

    init(closings: Counter, passed: Counter) {
      self.closings = closings
      self.passed = passed
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) { closings.add() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      context.fireChannelRead(data)
      if closings.count > 0 { passed.add() }
    }
  }

  /// Says what is no relay's, without end.
  private final class Babbler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelActive(context: ChannelHandlerContext) {
      context.channel.pour(ByteBuffer(repeating: UInt8(ascii: "x"), count: 10_000))
    }
  }

  @Test("what it goes on to say is thrown away")
  func babbles() async throws {
    let accepted = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: (any Channel).self)
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        accepted.succeed(channel)
        return channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Babbler()) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let (closings, passed) = (Counter(), Counter())
    let address = try #require(listener.localAddress)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Goodbye(closings: closings, passed: passed))
        }
      }
      .connect(to: address).get()
    let relay = Relay(id: 1, region: "", host: "127.0.0.1", port: 443)
    let established = channel.eventLoop.makePromise(of: Void.self)
    let handler = try await channel.eventLoop.submit {
      let handler = RelayLinkHandler(
        nodeKey: X25519PrivateKey(random: SystemRandom()), relay: relay, certificate: nil, certifiedKey: nil,
        stallTimeout: .seconds(600), established: established, onEvent: { _ in })
      try channel.pipeline.syncOperations.addHandler(handler)
      return NIOLoopBound(handler, eventLoop: channel.eventLoop)
    }.get()
    await #expect(throws: DERPError.self) { try await established.futureResult.get() }
    for _ in 0..<3000 where passed.count < 100 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(passed.count >= 100 && closings.count == 1)
    let keepsNothing = try await channel.eventLoop.submit { handler.value.session == nil }.get()
    #expect(keepsNothing)
    try await accepted.futureResult.get().close()
    try await channel.closeFuture.get()
    try await listener.close()
  }
}
