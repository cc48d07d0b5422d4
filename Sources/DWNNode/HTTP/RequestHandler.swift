import NIOCore
import NIOHTTP1
import NIOWebSocket
import Wire

/// One connection: receives a request within its bounds, has it answered, writes the answer, and waits for the next.
final class RequestHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    case waiting
    case receiving(HTTPRequestHead, ByteBuffer)
    case answering(keepAlive: Bool, isHead: Bool)
    /// The answer was given before the request ended; what still comes is dropped.
    case discarding
  }

  private let routes: NodeRoutes
  private let configuration: ServerConfiguration
  private let connections: Connections
  private var state = State.waiting
  private var reservedBytes = 0
  private var isServerClosing = false
  private var deadline: Scheduled<Void>?

  init(routes: NodeRoutes, configuration: ServerConfiguration, connections: Connections) {
    self.routes = routes
    self.configuration = configuration
    self.connections = connections
  }

  func handlerAdded(context: ChannelHandlerContext) {
    // Behind the first bytes of a connection, or TLS, it has long been active.
    if context.channel.isActive { setDeadline(configuration.headTimeout, context) }
  }

  func channelActive(context: ChannelHandlerContext) {
    setDeadline(configuration.headTimeout, context)
    context.fireChannelActive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    deadline?.cancel()
    releaseBody()
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    releaseBody()
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ServerIsClosing {
      isServerClosing = true
      if case .waiting = state { context.close(promise: nil) }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (unwrapInboundIn(data), state) {
    case (.head(let head), .waiting): begin(head, context)
    case (.body(let part), .receiving(let head, var body)):
      state = .discarding
      guard body.readableBytes + part.readableBytes <= configuration.largestBody else {
        return refuse(.tooLarge(limit: configuration.largestBody), .bodyTooLarge, context)
      }
      guard reserve(part.readableBytes) else { return refuse(.busy, .bodyBudget, context) }
      body.writeImmutableBuffer(part)
      state = .receiving(head, body)
    case (.end, .receiving(let head, let body)): answer(head, body, context)
    case (.end, .discarding): context.close(promise: nil)
    default: break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // An upgrade that is not one is answered like a request without it.
    if error is NIOWebSocketUpgradeError { return }
    guard let error = error as? HTTPParserError else {
      context.close(promise: nil)
      return
    }
    switch state {
    case .waiting, .receiving:
      refuse(error == .headerOverflow ? .headTooLarge : .malformed, .malformed, context)
    case .answering, .discarding: context.close(promise: nil)
    }
  }

  private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
    guard length <= configuration.largestBody else {
      return refuse(.tooLarge(limit: configuration.largestBody), .bodyTooLarge, context)
    }
    let isChunked = head.headers.contains(name: "transfer-encoding")
    setDeadline(timeout(for: isChunked ? configuration.largestBody : length), context)
    if length > 0 || isChunked, head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      context.writeAndFlush(
        wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }
    state = .receiving(head, context.channel.allocator.buffer(capacity: min(length, 64 << 10)))
  }

  private func answer(_ head: HTTPRequestHead, _ body: ByteBuffer, _ context: ChannelHandlerContext) {
    deadline?.cancel()
    state = .answering(keepAlive: head.isKeepAlive, isHead: head.method == .HEAD)
    let hasBody = body.readableBytes > 0 || head.headers.contains(name: "transfer-encoding")
    let request = NodeRequest(
      method: head.method == .HEAD ? .GET : head.method, uri: head.uri, messages: head.headers["dwn-request"],
      contentType: head.headers.first(name: "content-type"), body: hasBody ? Array(body.readableBytesView) : nil,
      caller: Caller(
        remote: context.remoteAddress, forwardedFor: head.headers["x-forwarded-for"],
        trusting: configuration.trustedProxies))
    let here = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop
    Task { [routes] in
      let answer = await routes.answer(request)
      eventLoop.execute { here.value.handler.finish(answer, here.value.context) }
    }
  }

  private func finish(_ answer: NodeAnswer, _ context: ChannelHandlerContext) {
    releaseBody()
    guard context.channel.isActive, case .answering(let keepAlive, let isHead) = state else { return }
    write(answer, keepAlive: keepAlive && !isServerClosing, isHead: isHead, context)
  }

  /// Writes an answer, and lets the next request in once this one has left: a client that does not read gets no second answer.
  private func write(_ answer: NodeAnswer, keepAlive: Bool, isHead: Bool, _ context: ChannelHandlerContext) {
    state = .answering(keepAlive: keepAlive, isHead: isHead)
    setDeadline(timeout(for: answer.body.count), context)
    let promise = context.eventLoop.makePromise(of: Void.self)
    let here = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    promise.futureResult.whenComplete { result in
      let (handler, context) = here.value
      guard case .success = result, keepAlive, !handler.isServerClosing else {
        context.close(promise: nil)
        return
      }
      handler.state = .waiting
      handler.setDeadline(handler.configuration.headTimeout, context)
      context.writeAndFlush(handler.wrapOutboundOut(.end(nil)), promise: nil)
    }
    context.write(wrapOutboundOut(.head(head(of: answer, keepAlive: keepAlive))), promise: nil)
    let body = ByteBuffer(bytes: isHead ? [] : answer.body)
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(body))), promise: promise)
  }

  /// Answers before the request has ended.
  private func refuse(_ answer: NodeAnswer, _ reason: ServerMetrics.Refusal, _ context: ChannelHandlerContext) {
    routes.service.metrics.refused(reason)
    releaseBody()
    state = .discarding
    setDeadline(configuration.lingerTimeout, context)
    context.write(wrapOutboundOut(.head(head(of: answer, keepAlive: false))), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  private func head(of answer: NodeAnswer, keepAlive: Bool) -> HTTPResponseHead {
    var headers = HTTPHeaders(answer.headers + NodeAnswer.crossOrigin)
    if answer.status != .noContent { headers.add(name: "content-length", value: String(answer.body.count)) }
    headers.add(name: "connection", value: keepAlive ? "keep-alive" : "close")
    return HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
  }

  private func timeout(for bytes: Int) -> Duration {
    configuration.bodyTimeout + .seconds(bytes / configuration.slowestRate)
  }

  /// When it passes, the connection ends: with an answer if half a request had come.
  private func setDeadline(_ duration: Duration, _ context: ChannelHandlerContext) {
    deadline?.cancel()
    let here = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: .nanoseconds(duration.nanoseconds)) {
      let (handler, context) = here.value
      if case .receiving = handler.state {
        handler.refuse(.timedOut, .slow, context)
      } else {
        context.close(promise: nil)
      }
    }
  }

  private func reserve(_ bytes: Int) -> Bool {
    guard connections.reserve(bytes) else { return false }
    reservedBytes += bytes
    return true
  }

  private func releaseBody() {
    connections.release(reservedBytes)
    reservedBytes = 0
  }
}
