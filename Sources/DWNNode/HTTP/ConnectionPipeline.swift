import Logging
import NIOCore
import NIOHTTP1
import NIOSSL
import NIOWebSocket
import Wire

/// Builds what a new connection runs through: HTTP, behind TLS where a client begins with it, until another protocol takes over; or
/// another protocol from the first request on.
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
    return channel.eventLoop.makeCompletedFuture {
      guard configuration.tls != nil || configuration.takeover != nil else { return try addHTTP(to: channel) }
      // One limit for all of it: who is nobody yet does not get the time of those who ask for something.
      let patience = configuration.takeover?.patience ?? configuration.headTimeout
      let limit = NIODeadline.now() + .nanoseconds(patience.nanoseconds)
      try channel.pipeline.syncOperations.addHandler(
        OpeningBytes(before: limit) {
          $0.first.map { $0 == Self.tlsHandshake }
        } install: { isTLS, channel in
          if isTLS {
            try addTLS(to: channel, before: limit)
          } else if configuration.requiresTLS {
            throw ChannelError.inappropriateOperationForState
          } else {
            try addHTTP(to: channel)
          }
        })
    }
  }

  /// The first byte of a TLS connection (RFC 8446 5.1, a handshake record). No request of HTTP begins with it.
  private static let tlsHandshake: UInt8 = 0x16

  /// The node's certificate, or that of the protocol beside it; and behind TLS whichever of the two the first request is for.
  private func addTLS(to channel: any Channel, before limit: NIODeadline) throws {
    let pipeline = channel.pipeline.syncOperations
    if let tls = configuration.tls {
      try pipeline.addHandler(tls.makeHandler())
    } else if let takeover = configuration.takeover {
      try pipeline.addHandler(takeover.makeTLSHandler())
    }
    guard let takeover = configuration.takeover else { return try addHTTP(to: channel) }
    try pipeline.addHandler(
      OpeningBytes(before: limit) {
        takeover.claims($0)
      } install: { isClaimed, channel in
        guard isClaimed else { return try addHTTP(to: channel) }
        connections.handOver(channel)
        try takeover.install(channel)
      })
  }

  private func addHTTP(to channel: any Channel) throws {
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderFieldSize = Self.largestHeader
    limits.maxHeaderListSize = Self.largestHead
    limits.maxHeaderFieldCount = Self.mostHeaders
    let pipeline = channel.pipeline.syncOperations
    let handler = RequestHandler(routes: routes, configuration: configuration, connections: connections)
    let onLoop = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    try pipeline.configureHTTPServerPipeline(
      withPipeliningAssistance: true,
      withServerUpgrade: (
        upgraders: [webSocket(beside: onLoop)],
        completionHandler: { $0.pipeline.syncOperations.removeHandler(onLoop.value, promise: nil) }
      ),
      withErrorHandling: false, withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
    try pipeline.addHandler(
      UpgradeNames(), position: .before(try pipeline.handler(type: HTTPServerUpgradeHandler.self)))
    try pipeline.addHandler(handler)
  }

  /// At the base URL, whatever slashes it ends with. Where there is no place or the address has asked too often, `handler` says so.
  private func webSocket(beside handler: NIOLoopBound<RequestHandler>) -> NIOWebSocketServerUpgrader {
    NIOWebSocketServerUpgrader(
      maxFrameSize: RPCCall.largestText, automaticErrorHandling: false,
      shouldUpgrade: { [self] channel, head in
        let isRoot = head.uri.prefix { $0 != "?" && $0 != "#" }.allSatisfy { $0 == "/" }
        guard isRoot, head.method == .GET else { return channel.eventLoop.makeSucceededFuture(nil) }
        let refusal = refusal(of: channel, caller(on: channel, head))
        handler.value.refusal = refusal
        return channel.eventLoop.makeSucceededFuture(refusal == nil ? HTTPHeaders() : nil)
      },
      upgradePipelineHandler: { [self] channel, head in
        channel.eventLoop.makeCompletedFuture {
          let caller = caller(on: channel, head)
          try channel.pipeline.syncOperations.addHandler(
            WebSocketFaults(linger: configuration.lingerTimeout, service: routes.service, caller: caller))
          let connection = try WebSocketSession.Connection(wrappingChannelSynchronously: channel)
          let session = WebSocketSession(
            channel, service: routes.service, configuration: configuration, caller: caller, connections: connections,
            budget: subscriptions)
          // It ends with the connection, which the server closes when it ends itself.
          Task { await session.run(connection) }
        }
      })
  }

  private func caller(on channel: any Channel, _ head: HTTPRequestHead) -> Caller {
    routes.callers.caller(channel.remoteAddress, head.headers)
  }

  /// Why a connection may not stay open; `nil` once it has a place.
  private func refusal(of channel: any Channel, _ caller: Caller) -> NodeAnswer? {
    if let refusal = routes.refusal(of: caller) { return refusal }
    guard connections.becomeWebSocket(channel, of: caller) else {
      routes.service.metrics.refused(.webSockets)
      return .full
    }
    return nil
  }
}
