import Logging
import NIOCore
import NIOHTTP1
import NIOWebSocket
import Wire

/// Builds what a new connection runs through: HTTP, behind TLS where a client begins with it, until another protocol takes over.
struct ConnectionPipeline: Sendable {
  /// Largest name and value of one header, in bytes; a message travels in one.
  static let largestHeader = 80 << 10
  /// All headers of a request together, in bytes, and their number.
  static let largestHead = 128 << 10
  static let mostHeaders = 100

  let routes: NodeRoutes
  let configuration: ServerConfiguration
  let connections: Connections
  let subscriptions: SubscriptionBudget

  func install(on channel: any Channel) -> EventLoopFuture<Void> {
    guard connections.admit(channel) else {
      routes.service.metrics.refused(.connections)
      routes.service.log.debug(
        "connection refused: too many are open", metadata: ["from": "\(channel.remoteAddress?.description ?? "?")"])
      return channel.close()
    }
    let metrics = routes.service.metrics
    metrics.change(.connections, by: 1)
    channel.closeFuture.whenComplete { _ in metrics.change(.connections, by: -1) }
    guard let tls = configuration.tls else { return addHTTP(to: channel) }
    return channel.eventLoop.makeCompletedFuture {
      try channel.pipeline.syncOperations.addHandler(
        FirstByte(timeout: configuration.headTimeout) { isTLS, channel in
          guard isTLS || !configuration.requiresTLS else {
            return channel.eventLoop.makeFailedFuture(ChannelError.inappropriateOperationForState)
          }
          do {
            if isTLS { try channel.pipeline.syncOperations.addHandler(tls.makeHandler()) }
            return addHTTP(to: channel)
          } catch {
            return channel.eventLoop.makeFailedFuture(error)
          }
        })
    }
  }

  func addHTTP(to channel: any Channel) -> EventLoopFuture<Void> {
    channel.eventLoop.makeCompletedFuture {
      var limits = NIOHTTPDecoderLimitConfiguration()
      limits.maxHeaderFieldSize = Self.largestHeader
      limits.maxHeaderListSize = Self.largestHead
      limits.maxHeaderFieldCount = Self.mostHeaders
      let pipeline = channel.pipeline.syncOperations
      let handler = RequestHandler(routes: routes, configuration: configuration, connections: connections)
      let removal = NIOLoopBound(handler, eventLoop: channel.eventLoop)
      try pipeline.configureHTTPServerPipeline(
        withPipeliningAssistance: true,
        withServerUpgrade: (
          upgraders: upgraders,
          completionHandler: { $0.pipeline.syncOperations.removeHandler(removal.value, promise: nil) }
        ),
        withErrorHandling: false, withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
      try pipeline.addHandler(handler)
    }
  }

  /// Whoever may take over a connection after its first request.
  private var upgraders: [any HTTPServerProtocolUpgrader & Sendable] {
    configuration.upgrades.map { ConnectionTakeover(upgrade: $0) } + [webSocket]
  }

  /// At the base URL, whatever slashes it ends with.
  private var webSocket: NIOWebSocketServerUpgrader {
    NIOWebSocketServerUpgrader(
      maxFrameSize: RPCCall.largestText, automaticErrorHandling: false,
      shouldUpgrade: { channel, head in
        let isRoot = head.uri.prefix { $0 != "?" && $0 != "#" }.allSatisfy { $0 == "/" }
        return channel.eventLoop.makeSucceededFuture(isRoot && head.method == .GET ? HTTPHeaders() : nil)
      },
      upgradePipelineHandler: { [self] channel, head in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            WebSocketFaults(linger: configuration.lingerTimeout, metrics: routes.service.metrics))
          let connection = try WebSocketSession.Connection(wrappingChannelSynchronously: channel)
          let session = WebSocketSession(
            service: routes.service, configuration: configuration,
            caller: Caller(
              remote: channel.remoteAddress, forwardedFor: head.headers["x-forwarded-for"],
              trusting: configuration.trustedProxies),
            budget: subscriptions)
          // It ends with the connection, which the server closes when it ends itself.
          Task { await session.run(connection) }
        }
      })
  }
}
