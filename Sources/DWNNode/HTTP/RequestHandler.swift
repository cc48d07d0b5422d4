import DWN
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Wire

/// One connection: receives a request within its bounds, has it answered, writes the answer, and waits for the next.
final class RequestHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundIn = HTTPServerResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    case waiting
    case receiving(HTTPRequestHead)
    case answering(keepAlive: Bool, isHead: Bool)
    /// The answer was given before the request ended; what still comes is dropped.
    case discarding
  }

  private let routes: NodeRoutes
  private let configuration: ServerConfiguration
  private let connections: Connections
  private var state = State.waiting
  /// Of the request that is being received.
  private var body = BodyIntake(isFramed: false, limit: 0)
  private var incoming: IncomingData?
  private var caller = Caller(nil)
  private var begun = Instant.now()
  private var receivedBytes = 0
  private var isLargeBody = false
  private var reservedBytes = 0
  /// Of an answer that is not read yet.
  private var unreadBytes = 0
  /// Why the request that comes is not answered otherwise. It ends the connection only where a body would have to be waited for.
  var refusal: NodeAnswer?
  /// Nothing is answered after what is being answered now.
  private var isEnding = false
  /// While a piece of a body goes to the disk, nothing more is read from the connection.
  private var holdsRead = false
  private var deadline: Scheduled<Void>?
  /// Of the whole body, and of its next piece.
  /// As far as its head says: bytes of the body at most.
  private var bodyLength = 0
  private var bodyDeadline = NIODeadline.distantFuture
  private var pieceDeadline = NIODeadline.distantFuture

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
    releaseAnswer()
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    if case .receiving = state { noteCutOff(context) }
    releaseBody()
    releaseAnswer()
    state = .discarding
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ServerIsClosing || event is PlaceIsNeeded {
      isEnding = true
      if case .waiting = state { context.close(promise: nil) }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func read(context: ChannelHandlerContext) {
    if body.isStoring { holdsRead = true } else { context.read() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (unwrapInboundIn(data), state) {
    case (.head(let head), .waiting): begin(head, context)
    case (.body(let part), .receiving):
      receivedBytes += part.readableBytes
      guard reserve(part.readableBytes) else { return refuse(.busy, .bodyBudget, context) }
      pieceDeadline = .now() + .nanoseconds(configuration.idleTimeout.nanoseconds)
      take(body.receive(part), context)
    case (.end, .receiving): take(body.end(), context)
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
    case .waiting where error == .invalidEOFState, .receiving where error == .invalidEOFState:
      noteCutOff(context)
      state = .discarding
      context.close(promise: nil)
    case .waiting, .receiving:
      refuse(error == .headerOverflow ? .headTooLarge : .malformed, .malformed, context)
    case .answering, .discarding: context.close(promise: nil)
    }
  }

  // MARK: Receiving

  private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    state = .receiving(head)
    connections.set(context.channel, .served)
    caller = routes.callers.caller(context.remoteAddress, head.headers)
    (begun, receivedBytes) = (.now(), 0)
    let isFramed = head.headers.first(name: "content-type").map(BodyFraming.isNamed) ?? false
    let limit = head.method == .POST ? routes.largestData : 0
    let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
    guard length <= limit + (isFramed ? BodyFraming.headerLength + BodyFraming.largestJSON : 0) else {
      return refuse(.tooLarge(limit: limit), .bodyTooLarge, context)
    }
    let isChunked = head.headers.contains(name: "transfer-encoding")
    refusal = refusal ?? routes.refusal(of: caller)
    if let refusal, length > 0 || isChunked {
      self.refusal = nil
      return refuse(refusal, nil, context)
    }
    body = BodyIntake(
      isFramed: isFramed, limit: limit,
      storesBeyond: routes.service.servedNode == nil ? .max : NodeLimits.dataInDatabase,
      memory: context.channel.allocator.buffer(capacity: min(length, 4 << 10)))
    bodyLength = isChunked ? limit : length
    // Until a signature shows whose it is, nobody is waited for longer than what may come before takes.
    let before = NodeLimits.dataInDatabase + (isFramed ? BodyFraming.headerLength + BodyFraming.largestJSON : 0)
    let awaited = routes.service.servedNode == nil ? bodyLength : min(bodyLength, before)
    bodyDeadline = .now() + .nanoseconds(timeout(for: awaited).nanoseconds)
    pieceDeadline = .now() + .nanoseconds(configuration.idleTimeout.nanoseconds)
    awaitBody(context)
    if length > 0 || isChunked, head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      context.writeAndFlush(
        wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }
  }

  private func take(_ step: BodyIntake.Step, _ context: ChannelHandlerContext) {
    guard case .receiving(let head) = state else { return }
    switch step {
    case .wait: break
    case .store(let bytes): store(bytes, of: head, context)
    case .whole: finishBody(of: head, context)
    case .tooLarge: refuse(.tooLarge(limit: routes.largestData), .bodyTooLarge, context)
    case .malformed: refuse(.failure(.noPayload, status: .badRequest), .malformed, context)
    }
  }

  private func store(_ bytes: [UInt8], of head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    guard let incoming else { return admit(bytes, of: head, context) }
    onDisk(context) {
      try incoming.append(bytes)
    } then: { [self] in
      connections.bodies.give(bytes.count, for: caller)
      reservedBytes -= bytes.count
      pieceDeadline = .now() + .nanoseconds(configuration.idleTimeout.nanoseconds)
      take(body.stored(), context)
      readAgain(context)
    }
  }

  /// Before the first piece of a large body is stored, and nothing more is read meanwhile.
  private func admit(_ bytes: [UInt8], of head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    guard connections.beginLargeBody(of: caller) else { return refuse(.busy, .bodyBudget, context) }
    isLargeBody = true
    let request = request(head, data: nil)
    let here = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop
    Task { [routes] in
      let admission = await routes.admitData(for: request)
      eventLoop.execute {
        let (handler, context) = here.value
        guard case .receiving = handler.state else { return }
        switch admission {
        case .refuse(let answer): handler.refuse(answer, .data, context)
        case .receive(let incoming):
          handler.incoming = incoming
          handler.bodyDeadline = .now() + .nanoseconds(handler.timeout(for: handler.bodyLength).nanoseconds)
          handler.store(bytes, of: head, context)
        }
      }
    }
  }

  private func finishBody(of head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    guard let incoming else {
      let hasData = body.hasData ?? head.headers.contains(name: "transfer-encoding")
      return answer(head, hasData ? ReceivedData(body.takeData()) : nil, context)
    }
    onDisk(context) {
      try incoming.finish()
    } then: { [self] received in
      answer(head, received, context)
    }
  }

  /// Does what may take the disk a while. What fails is the answer; `then` runs only if the request is still wanted.
  private func onDisk<Value: Sendable>(
    _ context: ChannelHandlerContext, _ work: @escaping @Sendable () throws -> Value, then: @escaping (Value) -> Void
  ) {
    NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop, work).assumeIsolated().whenComplete {
      [self] result in
      guard case .receiving = state else { return }
      switch result {
      case .success(let value): then(value)
      case .failure(let refusal as DWNError):
        refuse(
          refusal.status == 413 ? .tooLarge(limit: routes.largestData) : .busy,
          refusal.status == 413 ? .bodyTooLarge : .bodyBudget, context)
      case .failure(let error):
        routes.service.log.error("data could not be received", metadata: ["error": "\(error)"])
        refuse(.failure(.internalError), .data, context)
      }
    }
  }

  /// Reads what was held back, once nothing is being stored any more.
  private func readAgain(_ context: ChannelHandlerContext) {
    guard holdsRead, !body.isStoring else { return }
    holdsRead = false
    context.read()
  }

  private func request(_ head: HTTPRequestHead, data: ReceivedData?) -> NodeRequest {
    NodeRequest(
      method: head.method == .HEAD ? .GET : head.method, uri: head.uri, messages: head.headers["dwn-request"],
      framedJSON: body.json, data: data, caller: caller)
  }

  // MARK: Answering

  private func answer(_ head: HTTPRequestHead, _ data: ReceivedData?, _ context: ChannelHandlerContext) {
    deadline?.cancel()
    if let refusal {
      self.refusal = nil
      report("\(refusal.status.code)", nil, context)
      state = .answering(keepAlive: head.isKeepAlive, isHead: head.method == .HEAD)
      return finish(refusal, context)
    }
    state = .answering(keepAlive: head.isKeepAlive, isHead: head.method == .HEAD)
    let request = request(head, data: data)
    let here = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop
    Task { [routes] in
      let answer = await routes.answer(request)
      eventLoop.execute { here.value.handler.finish(answer, here.value.context) }
    }
  }

  private func finish(_ answer: NodeAnswer, _ context: ChannelHandlerContext) {
    releaseBody()
    readAgain(context)
    guard context.channel.isActive, case .answering(let keepAlive, let isHead) = state else { return }
    write(held(answer), keepAlive: keepAlive && !isEnding, isHead: isHead, context)
  }

  /// The answer, if there is memory for it until it is read. Of a file one piece is in memory.
  private func held(_ answer: NodeAnswer) -> NodeAnswer {
    let bytes = answer.file == nil ? answer.body.count : min(answer.length, FileBody.piece)
    guard bytes > configuration.smallReply else { return answer }
    guard connections.replies.take(bytes, for: caller) else {
      routes.service.metrics.refused(.replyBudget)
      return .unread
    }
    unreadBytes = bytes
    return answer
  }

  /// Writes an answer, and lets the next request in once this one has left: a client that does not read gets no second answer.
  private func write(_ answer: NodeAnswer, keepAlive: Bool, isHead: Bool, _ context: ChannelHandlerContext) {
    state = .answering(keepAlive: keepAlive, isHead: isHead)
    setDeadline(timeout(for: answer.length), context)
    let promise = context.eventLoop.makePromise(of: Void.self)
    promise.futureResult.assumeIsolated().whenComplete { [self] result in
      releaseAnswer()
      guard case .success = result, keepAlive, !isEnding else {
        context.close(promise: nil)
        return
      }
      state = .waiting
      connections.set(context.channel, .waiting)
      setDeadline(configuration.headTimeout, context)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
    context.write(wrapOutboundOut(.head(head(of: answer, keepAlive: keepAlive))), promise: nil)
    if let file = answer.file, !isHead { return FileBody.write(file, context, written: promise) }
    let body = ByteBuffer(bytes: isHead ? [] : answer.body)
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(body))), promise: promise)
  }

  /// Answers before the request has ended.
  private func refuse(_ answer: NodeAnswer, _ reason: ServerMetrics.Refusal?, _ context: ChannelHandlerContext) {
    if let reason { routes.service.metrics.refused(reason) }
    report("\(answer.status.code)", reason, context)
    state = .discarding
    releaseBody()
    readAgain(context)
    setDeadline(configuration.lingerTimeout, context)
    context.write(wrapOutboundOut(.head(head(of: answer, keepAlive: false))), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  /// Nobody is there any more to be answered.
  private func noteCutOff(_ context: ChannelHandlerContext) {
    routes.service.metrics.refused(.cutOff)
    report("-", .cutOff, context)
  }

  /// Of what is not heard to its end: the request that is being received, or bytes that are none.
  private func report(_ status: String, _ reason: ServerMetrics.Refusal?, _ context: ChannelHandlerContext) {
    guard case .receiving(let head) = state else {
      let caller = routes.callers.caller(context.remoteAddress, HTTPHeaders())
      return routes.report(nil, status, because: reason, caller, bytes: 0, since: .now())
    }
    routes.report(head, status, because: reason, caller, bytes: receivedBytes, since: begun)
  }

  private func head(of answer: NodeAnswer, keepAlive: Bool) -> HTTPResponseHead {
    var headers = HTTPHeaders(answer.headers + NodeAnswer.crossOrigin)
    if answer.status != .noContent { headers.add(name: "content-length", value: String(answer.length)) }
    headers.add(name: "connection", value: keepAlive ? "keep-alive" : "close")
    return HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
  }

  // MARK: Bounds

  private func timeout(for bytes: Int) -> Duration {
    configuration.bodyTimeout + .seconds(bytes / configuration.slowestRate)
  }

  /// When it passes, the connection ends.
  private func setDeadline(_ duration: Duration, _ context: ChannelHandlerContext) {
    deadline?.cancel()
    let here = NIOLoopBound(context, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: .nanoseconds(duration.nanoseconds)) {
      here.value.close(promise: nil)
    }
  }

  /// A body that takes too long as a whole, or of which nothing comes for too long, is answered.
  private func awaitBody(_ context: ChannelHandlerContext) {
    deadline?.cancel()
    let here = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(deadline: min(bodyDeadline, pieceDeadline)) {
      let (handler, context) = here.value
      guard case .receiving = handler.state else { return }
      // It is not the client for whom the disk is waited for.
      if handler.body.isStoring { handler.pieceDeadline = .now() + .seconds(1) }
      guard min(handler.bodyDeadline, handler.pieceDeadline) <= .now() else { return handler.awaitBody(context) }
      handler.refuse(.timedOut, .slow, context)
    }
  }

  private func reserve(_ bytes: Int) -> Bool {
    guard connections.bodies.take(bytes, for: caller) else { return false }
    reservedBytes += bytes
    return true
  }

  private func releaseBody() {
    connections.bodies.give(reservedBytes, for: caller)
    reservedBytes = 0
    incoming = nil
    if isLargeBody { connections.endLargeBody(of: caller) }
    isLargeBody = false
    body = BodyIntake(isFramed: false, limit: 0)
  }

  private func releaseAnswer() {
    connections.replies.give(unreadBytes, for: caller)
    unreadBytes = 0
  }
}
