public import Netmap
import NIOCore
import NIOPosix
import Wire

/// How long a relay takes to answer over HTTPS: one request on a connection that stands already (`traversal.md` 5).
public enum RelayLatency {
  /// For connection and request together.
  public static let patience: Duration = .milliseconds(1900)

  /// Throws what stands in the way: no answer, no such relay, or a certificate that is not its own.
  public static func measure(_ relay: Relay) async throws -> Duration {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let deadline = NIODeadline.now() + .nanoseconds(patience.nanoseconds)
    let dialer = RelayDialer(relay: relay, certificate: ServerCertificate(pin: relay.certificateSHA256), loop: loop)
    let channel = try await dialer.dial(before: deadline)
    let answer = loop.makePromise(of: Duration.self)
    let timer = loop.scheduleTask(deadline: deadline) { answer.fail(DERPError.silent) }
    channel.eventLoop.execute {
      do {
        try channel.pipeline.syncOperations.addHandler(LatencyQuestion(host: relay.host, answer))
      } catch {
        answer.fail(error)
      }
    }
    defer {
      timer.cancel()
      channel.close(promise: nil)
    }
    return try await answer.futureResult.get()
  }
}

/// Asks once, and takes the time until the first line of the answer.
private final class LatencyQuestion: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private static let longestStatus = 1024

  private let host: String
  private let answer: EventLoopPromise<Duration>
  private var askedAt = Instant.now()
  private var head = ByteBuffer()
  private var isAnswered = false

  init(host: String, _ answer: EventLoopPromise<Duration>) {
    self.host = host
    self.answer = answer
  }

  func handlerAdded(context: ChannelHandlerContext) {
    askedAt = .now()
    let name = host.contains(":") ? "[\(host)]" : host
    let request = "GET /derp/latency-check HTTP/1.1\r\nHost: \(name)\r\nUser-Agent: meshd\r\nConnection: close\r\n\r\n"
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isAnswered else { return }
    head.writeImmutableBuffer(unwrapInboundIn(data))
    guard let end = head.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else {
      isAnswered = head.readableBytes > Self.longestStatus
      if isAnswered { answer.fail(DERPError.notUpgraded(status: "a line without end")) }
      return
    }
    isAnswered = true
    let line = String(decoding: head.readableBytesView[..<end].prefix(100), as: UTF8.self)
    if line.split(separator: " ").dropFirst().first?.first == "2" {
      answer.succeed(Instant.now() - askedAt)
    } else {
      answer.fail(DERPError.notUpgraded(status: line))
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    answer.fail(DERPError.closed)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    answer.fail(error)
    context.close(promise: nil)
  }
}
