import Cryptography
import Logging
import NIOCore
import Wire

/// One connection of a relay, from its first byte on: behind TLS, before everything else.
///
/// It never waits for another connection: what comes is put into the table, and what waits for this client is written as fast as it
/// takes it.
final class RelayConnectionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private enum Phase {
    case head
    case introduction(RelayServerSession)
    case asking(RelayServerSession)
    case relaying(RelayServerSession, RelayClient)
    case closed
  }

  /// So much is gathered into one write: with the packet that makes it full, about one record of TLS.
  private static let gathered = 14 << 10
  /// So many writes, and the event loop's other clients have their turn.
  private static let roundsAtOnce = 16

  private let relay: RelayServer.Core
  private var phase = Phase.head
  private var input = ByteBuffer()
  private var address = "?"
  private var network: IPPrefix?
  private var isStranger = false
  private var deadline: Scheduled<Void>?
  private var keepAlive: RepeatedTask?
  private var stalled: Scheduled<Void>?
  private var budget: ByteRate

  init(_ relay: RelayServer.Core) {
    self.relay = relay
    budget = ByteRate(perSecond: relay.table.limits.bytesPerSecond, burst: relay.table.limits.burst)
  }

  // MARK: Coming and going

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { begin(context) }
  }

  func channelActive(context: ChannelHandlerContext) {
    begin(context)
    context.fireChannelActive()
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard deadline == nil else { return }
    address = context.remoteAddress?.ipAddress ?? "?"
    network = StrangerBudget.network(of: context.remoteAddress?.ipAddress)
    isStranger = relay.strangers.enter(network)
    guard isStranger else { return end(context, "too many strangers") }
    deadline = context.eventLoop.assumeIsolated().scheduleTask(
      in: .nanoseconds(relay.table.limits.handshake.nanoseconds)
    ) { [self] in end(context, "no handshake in time") }
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish()
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { finish() }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { end(context, "\(error)") }

  private func end(_ context: ChannelHandlerContext, _ reason: String) {
    if case .closed = phase { return }
    relay.logger.debug("relay connection ends", metadata: ["from": "\(address)", "reason": "\(reason)"])
    finish()
    context.close(promise: nil)
  }

  private func finish() {
    leaveStrangers()
    deadline?.cancel()
    keepAlive?.cancel()
    stalled?.cancel()
    if case .relaying(_, let client) = phase { relay.table.leave(client) }
    phase = .closed
  }

  private func leaveStrangers() {
    guard isStranger else { return }
    isStranger = false
    relay.strangers.leave(network)
  }

  // MARK: Reading

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if case .closed = phase { return }
    var bytes = unwrapInboundIn(data)
    let count = bytes.readableBytes
    if input.readableBytes == 0 { input = bytes } else { input.writeBuffer(&bytes) }
    do throws(DERPError) {
      try readAll(context)
    } catch {
      return end(context, error.description)
    }
    if input.readableBytes == 0 { input = ByteBuffer() } else { input.discardReadBytes() }
    if case .relaying = phase, let pause = budget.take(count, now: relay.now()) { rest(context, pause) }
  }

  private func readAll(_ context: ChannelHandlerContext) throws(DERPError) {
    if case .head = phase {
      guard let request = try UpgradeRequest.read(&input) else { return }
      guard try accept(request, context) else {
        // The next request may have come with it, and no more: nothing piles up here.
        guard input.readableBytes <= UpgradeRequest.longestHead else {
          throw .badRequest("more than one request at a time")
        }
        return
      }
    }
    while true {
      switch phase {
      case .introduction(var session):
        guard let step = try session.next(&input) else {
          phase = .introduction(session)
          return
        }
        phase = .asking(session)
        if case .introduced(let key, let namesRelay) = step { ask(key, namesRelay, context) }
      case .relaying(var session, let client):
        guard let step = try session.next(&input) else {
          phase = .relaying(session, client)
          return
        }
        phase = .relaying(session, client)
        perform(step, of: client)
      case .asking, .closed, .head: return
      }
    }
  }

  /// `true`: the connection is a relay's from here on.
  private func accept(_ request: UpgradeRequest, _ context: ChannelHandlerContext) throws(DERPError) -> Bool {
    var output = context.channel.allocator.buffer(capacity: 512)
    guard request.wantsRelay else {
      guard context.channel.isWritable else { throw .takesNothing }
      let answer =
        request.isProbe && (request.method == "GET" || request.method == "HEAD")
        ? "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"
        : request.path == "/derp"
          ? "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 32\r\n\r\nDERP requires connection upgrade"
          : "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
      output.writeString(answer)
      context.writeAndFlush(wrapOutboundOut(output), promise: nil)
      return false
    }
    if !request.isFastStart {
      output.writeString(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"
          + "Derp-Version: \(DERPFrame.protocolVersion)\r\n"
          + "Derp-Public-Key: \(Hex.encode(relay.key.publicKey.bytes.array))\r\n\r\n")
    }
    let session = RelayServerSession(
      serverKey: relay.key, certificate: relay.certificate, random: relay.random, now: relay.now())
    session.greet(&output)
    context.writeAndFlush(wrapOutboundOut(output), promise: nil)
    phase = .introduction(session)
    return true
  }

  /// Nothing is read meanwhile: what somebody sends who may never be admitted waits where it is.
  private func ask(_ key: X25519PublicKey, _ namesRelay: Bool, _ context: ChannelHandlerContext) {
    _ = context.channel.setOption(.autoRead, value: false)
    let answer = context.eventLoop.makePromise(of: Bool.self)
    answer.completeWithTask { [relay] in await relay.admission.admits(key, namesRelay: namesRelay) }
    answer.futureResult.assumeIsolated().whenComplete { [self] result in
      guard case .asking(var session) = phase else { return }
      guard case .success(true) = result else { return end(context, "\(key) is not admitted") }
      enter(key, namesRelay, &session, context)
      do throws(DERPError) {
        try readAll(context)
      } catch {
        return end(context, error.description)
      }
      _ = context.channel.setOption(.autoRead, value: true)
    }
  }

  private func enter(
    _ key: X25519PublicKey, _ namesRelay: Bool, _ session: inout RelayServerSession, _ context: ChannelHandlerContext
  ) {
    // The handler belongs to its event loop; whoever wakes it does not.
    let loop = context.eventLoop
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: loop)
    let client = relay.table.enter(
      key, wake: { loop.execute { bound.value.handler.write(bound.value.context) } },
      close: { loop.execute { bound.value.handler.end(bound.value.context, "not admitted any more, or too often") } })
    guard let client else { return end(context, "the relay is full") }
    guard relay.admission.stillAdmits(key, namesRelay: namesRelay) else {
      relay.table.leave(client)
      return end(context, "\(key) is not admitted any more")
    }
    deadline?.cancel()
    leaveStrangers()
    var output = context.channel.allocator.buffer(capacity: 128)
    session.admit(&output)
    phase = .relaying(session, client)
    context.writeAndFlush(wrapOutboundOut(output), promise: nil)
    // Apart, so that not all are due at once.
    let interval = relay.table.limits.keepAlive + .milliseconds(Int64(relay.random.uniform(below: 5000)))
    keepAlive = loop.scheduleRepeatedTask(
      initialDelay: .nanoseconds(interval.nanoseconds), delay: .nanoseconds(interval.nanoseconds)
    ) { _ in client.put { outbox, _ in outbox.keepAlive() } }
    relay.logger.debug("relay client", metadata: ["key": "\(key)", "from": "\(address)"])
  }

  private func perform(_ step: RelayServerSession.Step, of client: RelayClient) {
    relay.table.noteActive(client)
    switch step {
    case .packet(let packet, let key):
      // A copy: while it waits it must not hold everything that was read with it.
      guard case .unknown(true) = relay.table.relay(ByteBuffer(bytes: packet.readableBytesView), from: client, to: key),
        case .relaying(var session, _) = phase
      else { return }
      if session.maySayNotHere(now: relay.now()) {
        client.put { [limits = relay.table.limits] outbox, room in
          outbox.tellGone(key, .notHere, limits, room: room)
        }
      }
      phase = .relaying(session, client)
    case .ping(let number): client.put { outbox, _ in outbox.answerPing(number) }
    case .introduced, .preferred, .nothing: break
    }
  }

  /// Reads nothing for a while: the client has sent more than its share.
  private func rest(_ context: ChannelHandlerContext, _ pause: Duration) {
    let channel = context.channel
    _ = channel.setOption(.autoRead, value: false)
    context.eventLoop.scheduleTask(in: .nanoseconds(pause.nanoseconds)) {
      _ = channel.setOption(.autoRead, value: true)
    }
  }

  // MARK: Writing

  private func write(_ context: ChannelHandlerContext) {
    guard case .relaying(_, let client) = phase else { return }
    var rounds = 0
    while context.channel.isWritable {
      guard rounds < Self.roundsAtOnce else {
        client.wake()
        break
      }
      rounds += 1
      var output = context.channel.allocator.buffer(capacity: 2048)
      while output.readableBytes < Self.gathered, let frame = client.next() { frame.write(to: &output) }
      guard output.readableBytes > 0 else { break }
      // Flushed one by one: TLS counts nothing as waiting before, and would encrypt all of it at once.
      context.writeAndFlush(wrapOutboundOut(output), promise: nil)
    }
    watchStall(context)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { write(context) } else { watchStall(context) }
    context.fireChannelWritabilityChanged()
  }

  /// A client that takes nothing for too long is cut off.
  private func watchStall(_ context: ChannelHandlerContext) {
    if context.channel.isWritable {
      stalled?.cancel()
      stalled = nil
    } else if stalled == nil {
      stalled = context.eventLoop.assumeIsolated().scheduleTask(
        in: .nanoseconds(relay.table.limits.writeTimeout.nanoseconds)
      ) { [self] in end(context, "it takes nothing") }
    }
  }
}
