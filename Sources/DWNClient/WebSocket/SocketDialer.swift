import DWN
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Wire

/// Makes WebSocket connections to one node: TCP, TLS where the URL says so, and the upgrade.
struct SocketDialer: Sendable {
  let url: EndpointURL
  let limits: HTTPEndpoint.Limits
  let random: any RandomSource
  /// For URLs of https.
  var tls: TLSConfiguration

  /// Why there is no connection.
  enum Failure: Error {
    case endpoint(EndpointError)
    /// The node answers HTTP and does not speak WebSocket.
    case unsupported(status: Int)
  }

  private enum Outcome: Sendable {
    case socket(SocketConnection)
    /// The status comes right after.
    case refused(EventLoopFuture<Int>)
  }

  func connect() async throws(Failure) -> SocketConnection {
    do {
      switch try await upgrade() {
      case .socket(let connection): return connection
      case .refused(let status): throw refusal(try await status.get())
      }
    } catch let failure as Failure {
      throw failure
    } catch {
      throw .endpoint(describe(error))
    }
  }

  private func upgrade() async throws -> Outcome {
    let timeout = TimeAmount.nanoseconds(limits.connectTimeout.nanoseconds)
    let context = url.isTLS ? try NIOSSLContext(configuration: tls) : nil
    let outcome = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connectTimeout(timeout)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .connect(host: url.host, port: url.port) { channel in
        channel.eventLoop.makeCompletedFuture { try prepare(channel, context, timeout) }
      }
    return try await outcome.get()
  }

  private func prepare(
    _ channel: any Channel, _ context: NIOSSLContext?, _ timeout: TimeAmount
  ) throws -> EventLoopFuture<Outcome> {
    let pipeline = channel.pipeline.syncOperations
    if let context {
      try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: url.hostName))
      if let name = url.hostName { try CertificateNameHandler.add(for: name, to: pipeline) }
    }
    let upgrader = NIOTypedWebSocketClientUpgrader<Outcome>(
      maxFrameSize: SocketLimits.largestMessage, enableAutomaticErrorHandling: false
    ) { channel, _ in
      channel.eventLoop.makeCompletedFuture { .socket(try takeOver(channel)) }
    }
    var headers = HTTPHeaders()
    headers.add(name: "host", value: url.authority)
    let request = HTTPRequestHead(version: .http1_1, method: .GET, uri: url.path + "/", headers: headers)
    let configuration = NIOTypedHTTPClientUpgradeConfiguration<Outcome>(
      upgradeRequestHead: request, upgraders: [upgrader]
    ) { channel in
      let status = channel.eventLoop.makePromise(of: Int.self)
      return channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(StatusReader(status))
        return .refused(status.futureResult)
      }
    }
    let outcome = try pipeline.configureUpgradableHTTPClientPipeline(
      configuration: NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: configuration))
    // A node that takes the connection and says nothing.
    let patience = channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
    outcome.whenSuccess { outcome in if case .socket = outcome { patience.cancel() } }
    return outcome
  }

  private func takeOver(_ channel: any Channel) throws -> SocketConnection {
    let connection = SocketConnection(channel, name: url.text, replyTimeout: limits.timeout, random: random)
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(
      NIOWebSocketFrameAggregator(
        minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: SocketLimits.mostFragments,
        maxAccumulatedFrameSize: SocketLimits.largestMessage))
    try pipeline.addHandler(SocketHandler(connection, name: url.text, heartbeat: limits.heartbeat))
    return connection
  }

  private func refusal(_ status: Int) -> Failure {
    switch status {
    case 429: .endpoint(.rateLimited(name: url.text, retryAfter: .seconds(1)))
    case 408, 500...599: .endpoint(.unreachable(name: url.text, reason: "HTTP status \(status)"))
    default: .unsupported(status: status)
    }
  }

  private func describe(_ error: any Error) -> EndpointError {
    switch error {
    case is NIOHTTPClientUpgradeError:
      .notADWN(name: url.text, reason: "it does not take the upgrade to WebSocket as RFC 6455 says")
    case is HTTPParserError: .notADWN(name: url.text, reason: "it does not answer in HTTP")
    case is NIOSSLError, is NIOSSLExtraError: .unreachable(name: url.text, reason: String("TLS: \(error)".prefix(200)))
    default: TransportFailure.describe(error, name: url.text, limits: limits)
    }
  }
}

/// Reads the status of an answer that is no upgrade, and closes.
private final class StatusReader: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart

  private let status: EventLoopPromise<Int>

  init(_ status: EventLoopPromise<Int>) {
    self.status = status
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data) else { return }
    status.succeed(Int(head.status.code))
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    status.fail(ChannelError.eof)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    status.fail(error)
    context.close(promise: nil)
  }

  func handlerRemoved(context: ChannelHandlerContext) { status.fail(ChannelError.eof) }
}
