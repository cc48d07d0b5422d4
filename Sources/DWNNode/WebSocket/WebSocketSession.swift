import DWN
import Logging
import NIOCore
import NIOWebSocket
import Synchronization
import Wire

/// One connection that stays open: requests in both senses, subscriptions, and a heart that beats (dwn-server 12).
///
/// What a client can make it hold is bounded: by the size of a message, the requests that are answered at a time, the number of
/// subscriptions, and one frame for each of them. A client that does not read stops its own subscriptions, and is dropped when it
/// does not answer a ping.
final class WebSocketSession: Sendable {
  typealias Connection = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>
  private typealias Output = NIOAsyncChannelOutboundWriter<WebSocketFrame>

  /// Data of a record that is read, in bytes; more goes over HTTP.
  private static let largestData = 1 << 20

  private let service: MessageService
  private let configuration: ServerConfiguration
  private let caller: Caller
  private let subscriptions: SubscriptionTable
  private let slots: RequestSlots
  private let isAlive = Mutex(true)

  init(service: MessageService, configuration: ServerConfiguration, caller: Caller, budget: SubscriptionBudget) {
    self.service = service
    self.configuration = configuration
    self.caller = caller
    let limits = configuration.webSocket
    subscriptions = SubscriptionTable(maximum: limits.subscriptionsPerConnection, budget: budget)
    slots = RequestSlots(limits.requestsInFlight)
  }

  /// Returns when the connection has ended.
  func run(_ connection: Connection) async {
    service.metrics.change(.webSockets, by: 1)
    defer { service.metrics.change(.webSockets, by: -1) }
    try? await connection.executeThenClose { inbound, outbound in
      await withDiscardingTaskGroup { group in
        group.addTask { await self.keepAlive(connection.channel) }
        await self.read(inbound, outbound, connection.channel, &group)
        self.subscriptions.closeAll()
        group.cancelAll()
        // Whoever still writes to a client that does not read is set free.
        connection.channel.close(promise: nil)
      }
    }
  }

  private func keepAlive(_ channel: any Channel) async {
    while (try? await Task.sleep(for: configuration.webSocket.heartbeat)) != nil {
      let answered = isAlive.withLock { isAlive in
        defer { isAlive = false }
        return isAlive
      }
      guard answered else {
        channel.close(promise: nil)
        return
      }
      // Not waited for: it stands in line behind what the client has not read.
      channel.writeAndFlush(WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer()), promise: nil)
    }
  }

  private func read(
    _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>, _ outbound: Output, _ channel: any Channel,
    _ group: inout DiscardingTaskGroup
  ) async {
    var assembly = WebSocketAssembly(largestMessage: RPCCall.largestText)
    let rate = configuration.webSocket.controlRate
    var control = TokenBucket(full: rate, now: .now())
    var isEnding = false
    do {
      for try await frame in inbound {
        if isEnding {
          if frame.opcode == .connectionClose { return }
          continue
        }
        let counts = frame.opcode != .text && frame.opcode != .pong
        let event =
          counts && control.take(rate, now: .now()) != nil
          ? .violation(.policyViolation, "too many control frames and fragments") : assembly.receive(frame)
        switch event {
        case .incomplete: break
        case .text(let text): try await receive(text, outbound, &group)
        case .ping(let data): try await outbound.write(WebSocketFrame(fin: true, opcode: .pong, data: data))
        case .pong: isAlive.withLock { $0 = true }
        case .close:
          try await outbound.write(.close(.normalClosure, ""))
          return
        case .violation(let code, let reason):
          isEnding = true
          service.metrics.refused(.webSocket)
          service.log.debug("websocket ended", metadata: ["from": "\(caller)", "reason": "\(reason)"])
          // The other side gets to read why, and closes by itself.
          channel.eventLoop.scheduleTask(in: .nanoseconds(configuration.lingerTimeout.nanoseconds)) {
            channel.close(promise: nil)
          }
          try await outbound.write(.close(code, reason))
        }
      }
    } catch {
      // The connection is gone, which is one of the ways in which it ends.
    }
  }

  // MARK: Requests

  private func receive(_ text: String, _ outbound: Output, _ group: inout DiscardingTaskGroup) async throws {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: text, depth: RPCCall.depth)
    } catch {
      return try await answer(.parseError(error.description), id: .null, outbound)
    }
    let call: RPCCall
    do {
      call = try RPCCall(json)
    } catch {
      return try await answer(error, id: RPCCall.id(of: json), outbound)
    }
    if call.method == "rpc.ack" { return acknowledge(call) }
    if let wait = service.rates.wait(for: caller, now: .now()) {
      service.metrics.refused(.addressRate)
      return try await answer(.tooMany("rate limit exceeded", retryAfter: wait.retrySeconds), id: call.id, outbound)
    }
    do {
      switch call.method {
      case "rpc.ping": try await write(call.success(["ok": true]), outbound)
      case "rpc.subscribe.close":
        guard let name = call.subscription, subscriptions.close(name) else {
          throw RPCFailure.invalidParameters("no such subscription")
        }
        try await write(call.success(["reply": Reply(.init(200, "Accepted")).json]), outbound)
      case "rpc.subscribe.dwn.processMessage": try await subscribe(call, outbound, &group)
      case "dwn.processMessage": try await process(call, outbound, &group)
      default: throw RPCFailure.methodNotFound(call.method)
      }
    } catch let failure as RPCFailure {
      try await answer(failure, id: call.id, outbound)
    }
  }

  private func acknowledge(_ call: RPCCall) {
    guard let name = call.subscription, let cursor = call.params["cursor"].flatMap({ ProgressToken($0) }) else {
      return
    }
    subscriptions.acknowledge(name, cursor)
  }

  private func process(
    _ call: RPCCall, _ outbound: Output, _ group: inout DiscardingTaskGroup
  ) async throws {
    let addressed = try call.message()
    guard addressed.kind != "RecordsWrite" else {
      throw RPCFailure.invalidParameters("RecordsWrite is not taken over WebSocket: send it over HTTP")
    }
    await slots.take()
    group.addTask {
      defer { self.slots.give() }
      do throws(RPCFailure) {
        let reply = try await self.service.process(addressed, data: nil, from: self.caller, over: .webSocket)
        guard reply.file == nil, reply.reply.data?.count ?? 0 <= Self.largestData else {
          throw RPCFailure.invalidParameters("the data is too large for this connection: read it over HTTP")
        }
        try? await self.write(call.success(["reply": reply.reply.withDataInside.json]), outbound)
      } catch {
        try? await self.answer(error, id: call.id, outbound)
      }
    }
  }

  // MARK: Subscriptions

  private func subscribe(_ call: RPCCall, _ outbound: Output, _ group: inout DiscardingTaskGroup) async throws {
    guard let name = call.subscription else {
      throw RPCFailure.invalidRequest("subscription.id must name the subscription")
    }
    let addressed = try call.message()
    let place: SubscriptionTable.Reservation
    do {
      place = try subscriptions.reserve(name)
    } catch {
      switch error {
      case .nameInUse: throw RPCFailure.invalidParameters("the subscription id is in use")
      case .connectionFull, .serverFull:
        service.metrics.refused(.subscriptions)
        throw RPCFailure.tooMany("too many subscriptions", retryAfter: 1)
      }
    }
    await slots.take()
    group.addTask {
      let frames = await self.open(place, addressed, call, outbound)
      self.slots.give()
      if let frames { await self.deliver(frames, to: place, outbound) }
    }
  }

  private func open(
    _ place: SubscriptionTable.Reservation, _ addressed: AddressedMessage, _ call: RPCCall, _ outbound: Output
  ) async -> (any SubscriptionSource)? {
    do throws(RPCFailure) {
      let (reply, frames) = try await service.subscribe(addressed, from: caller)
      guard let frames, reply.status.isSuccess else {
        frames?.close()
        subscriptions.end(place)
        try? await write(call.success(["reply": reply.json]), outbound)
        return nil
      }
      guard subscriptions.open(place, frames) else {
        throw RPCFailure.invalidParameters("the subscription was closed before it was open")
      }
      let sort = addressed.message["descriptor"]?["dateSort"]?.string.flatMap { DateSort(rawValue: $0) }
      let text = FrameText.subscribed(
        reply, call: call, subscription: place.name, sort: sort ?? .createdAscending,
        limit: configuration.webSocket.largestFrame)
      try? await write(text, outbound)
      return frames
    } catch {
      subscriptions.end(place)
      try? await answer(error, id: call.id, outbound)
      return nil
    }
  }

  /// Passes frames on as fast as the client takes them.
  private func deliver(
    _ frames: any SubscriptionSource, to place: SubscriptionTable.Reservation, _ outbound: Output
  ) async {
    do throws(EndpointError) {
      while let frame = try await frames.next() {
        guard let text = FrameText.event(frame, subscription: place.name, limit: configuration.webSocket.largestFrame)
        else {
          service.log.debug("an event is longer than a frame may be", metadata: ["from": "\(caller)"])
          if let cursor = frame.cursor { frames.passOver(cursor) }
          continue
        }
        guard (try? await write(text, outbound)) != nil else { break }
        service.metrics.sentEvent()
      }
    } catch {
      // A client that is told nothing waits for ever: on another connection it goes on from its cursor.
      service.log.error("a subscription could not go on", metadata: ["error": "\(error)"])
      try? await outbound.write(.close(.unexpectedServerError, "a subscription could not go on"))
      outbound.finish()
    }
    frames.close()
    subscriptions.end(place)
  }

  // MARK: Writing

  private func answer(_ failure: RPCFailure, id: JSONValue, _ outbound: Output) async throws {
    try await write(failure.json(id: id), outbound)
  }

  private func write(_ json: JSONValue, _ outbound: Output) async throws {
    try await write(json.encoded, outbound)
  }

  private func write(_ text: [UInt8], _ outbound: Output) async throws {
    try await outbound.write(WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(bytes: text)))
  }
}
