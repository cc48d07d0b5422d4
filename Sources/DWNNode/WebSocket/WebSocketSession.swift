import DWN
import Identity
import Logging
import NIOCore
import NIOWebSocket
import Synchronization
import Wire

/// One connection that stays open: requests in both senses, subscriptions, and a heart that beats (dwn-server 12).
///
/// What a client can make it hold is bounded: by the size of a message, the requests that are answered at a time, the number of
/// subscriptions, and one frame for each of them. A client that does not read stops its own subscriptions, and is dropped when
/// something has waited for it too long, or when it does not answer a ping. As long as nothing on it rests on a right, the connection
/// gives way to a new one where places are few.
final class WebSocketSession: Sendable {
  typealias Connection = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

  /// Data of a record that is read, in bytes; more goes over HTTP.
  private static let largestData = 1 << 20

  private let service: MessageService
  private let configuration: ServerConfiguration
  private let caller: Caller
  private let connections: Connections
  private let channel: any Channel
  private let outlet: SocketOutlet
  private let intake: Mutex<SocketIntake>
  private let subscriptions: SubscriptionTable
  private let slots: RequestSlots
  private let isAlive = Mutex(true)
  /// Held while the standing is found out and passed on, so that none overtakes a later one.
  private let standing = Mutex(())

  init(
    _ channel: any Channel, service: MessageService, configuration: ServerConfiguration, caller: Caller,
    connections: Connections, budget: SubscriptionBudget
  ) {
    self.channel = channel
    self.service = service
    self.configuration = configuration
    self.caller = caller
    self.connections = connections
    outlet = SocketOutlet(
      channel, caller: caller, budget: connections.replies, patience: configuration.bodyTimeout,
      slowestRate: configuration.slowestRate)
    let limits = configuration.webSocket
    intake = Mutex(SocketIntake(limits, now: .now()))
    subscriptions = SubscriptionTable(maximum: limits.subscriptionsPerConnection, caller: caller, budget: budget)
    slots = RequestSlots(limits.requestsInFlight)
  }

  /// Returns when the connection has ended.
  func run(_ connection: Connection) async {
    service.metrics.change(.webSockets, by: 1)
    defer { service.metrics.change(.webSockets, by: -1) }
    try? await connection.executeThenClose { inbound, _ in
      await withDiscardingTaskGroup { group in
        group.addTask { await self.keepAlive() }
        await self.read(inbound, &group)
        self.subscriptions.closeAll()
        group.cancelAll()
        // Whoever still writes to a client that does not read is set free.
        self.channel.close(promise: nil)
      }
    }
  }

  private func keepAlive() async {
    while (try? await Task.sleep(for: configuration.webSocket.heartbeat)) != nil {
      let answered = isAlive.withLock { isAlive in
        defer { isAlive = false }
        return isAlive
      }
      guard answered, !outlet.isOverdue(now: .now()) else {
        if answered { service.reportEnd(nil, "it reads nothing", caller, as: .slow) }
        channel.close(promise: nil)
        return
      }
      // It stands in line behind what the client has not read.
      outlet.put(WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer()))
    }
  }

  private func read(
    _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>, _ group: inout DiscardingTaskGroup
  ) async {
    var assembly = WebSocketAssembly(largestMessage: RPCCall.largestText)
    var isEnding = false
    do {
      for try await frame in inbound {
        if isEnding {
          if frame.opcode == .connectionClose { return }
          continue
        }
        let excess = excess { $0.excess(frame.opcode, length: frame.length, now: .now()) }
        switch excess.map({ .violation(.policyViolation, $0) }) ?? assembly.receive(frame) {
        case .incomplete: break
        case .text(let text):
          guard let excess = try await receive(text, &group) else { break }
          isEnding = true
          try await end(.policyViolation, excess)
        case .ping(let data): try await outlet.send(WebSocketFrame(fin: true, opcode: .pong, data: data))
        case .pong: isAlive.withLock { $0 = true }
        case .close:
          try await outlet.send(.close(.normalClosure, ""))
          return
        case .violation(let code, let reason):
          isEnding = true
          try await end(code, reason)
        }
      }
    } catch {
      // The connection is gone, which is one of the ways in which it ends.
    }
  }

  /// Ends it for what the client did. It gets to read why, and closes by itself.
  private func end(_ code: WebSocketErrorCode, _ reason: String) async throws {
    service.reportEnd(Int(UInt16(webSocketErrorCode: code)), reason, caller, as: .webSocketAbuse)
    closeSoon()
    try await outlet.send(.close(code, reason))
  }

  private func closeSoon() {
    channel.eventLoop.scheduleTask(in: .nanoseconds(configuration.lingerTimeout.nanoseconds)) { [channel] in
      channel.close(promise: nil)
    }
  }

  private func excess(_ ask: (inout SocketIntake) -> String?) -> String? { intake.withLock { ask(&$0) } }

  // MARK: Requests

  /// Returns why it was one text too many.
  private func receive(_ text: String, _ group: inout DiscardingTaskGroup) async throws -> String? {
    let length = text.utf8.count
    guard service.rates.admits(length, of: caller, now: .now()) else { return "too many bytes from this address" }
    let call = Result { () throws(NoCall) in try Self.call(in: text) }
    let acknowledgement = (try? call.get()).flatMap { $0.method == "rpc.ack" ? $0 : nil }
    let excess = excess { $0.excess(isAcknowledgement: acknowledgement != nil, length: length, now: .now()) }
    if let excess { return excess }
    if let acknowledgement {
      acknowledge(acknowledgement)
      return nil
    }
    let id =
      switch call {
      case .success(let call): call.id
      case .failure(let text): text.id
      }
    let begin = Instant.now()
    if let wait = service.rates.wait(for: caller, now: begin) {
      service.metrics.refused(.addressRate)
      try await answer(.tooMany("rate limit exceeded", retryAfter: wait.retrySeconds), id: id)
      return nil
    }
    do {
      try await receive(call.mapError { $0.failure }.get(), &group)
    } catch let failure as RPCFailure {
      service.report("websocket", "/", "\(failure.code)", caller, bytes: length, since: begin)
      try await answer(failure, id: id)
    }
    return nil
  }

  /// What a text is answered that is no call.
  private struct NoCall: Error {
    var failure: RPCFailure
    var id: JSONValue
  }

  private static func call(in text: String) throws(NoCall) -> RPCCall {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: text, depth: RPCCall.depth)
    } catch {
      throw NoCall(failure: .parseError(error.description), id: .null)
    }
    do { return try RPCCall(json) } catch { throw NoCall(failure: error, id: RPCCall.id(of: json)) }
  }

  private func receive(_ call: RPCCall, _ group: inout DiscardingTaskGroup) async throws {
    switch call.method {
    case "rpc.ping": try await send(call.success(["ok": true]))
    case "rpc.subscribe.close":
      guard let name = call.subscription, subscriptions.close(name) else {
        throw RPCFailure.invalidParameters("no such subscription")
      }
      updateStanding()
      try await send(call.success(["reply": Reply(.init(200, "Accepted")).json]))
    case "rpc.subscribe.dwn.processMessage": try await subscribe(call, &group)
    case "dwn.processMessage": try await process(call, &group)
    default: throw RPCFailure.methodNotFound(call.method)
    }
  }

  private func acknowledge(_ call: RPCCall) {
    guard let name = call.subscription, let cursor = call.params["cursor"].flatMap({ ProgressToken($0) }) else {
      return
    }
    subscriptions.acknowledge(name, cursor)
  }

  private func process(_ call: RPCCall, _ group: inout DiscardingTaskGroup) async throws {
    let addressed = try call.message()
    guard addressed.kind != "RecordsWrite" else {
      throw RPCFailure.invalidParameters("RecordsWrite is not taken over WebSocket: send it over HTTP")
    }
    await slots.take()
    group.addTask {
      defer {
        self.slots.give()
        self.updateStanding()
      }
      do throws(RPCFailure) {
        let reply = try await self.service.process(addressed, data: nil, from: self.caller, over: .webSocket)
        guard reply.file == nil, reply.reply.data?.count ?? 0 <= Self.largestData else {
          throw RPCFailure.invalidParameters("the data is too large for this connection: read it over HTTP")
        }
        await self.answer(call, call.success(["reply": reply.reply.withDataInside.json]).encoded)
      } catch {
        try? await self.answer(error, id: call.id)
      }
    }
  }

  // MARK: Subscriptions

  private func subscribe(_ call: RPCCall, _ group: inout DiscardingTaskGroup) async throws {
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
      let frames = await self.open(place, addressed, call)
      self.slots.give()
      self.updateStanding()
      guard let frames else { return }
      await self.deliver(frames, to: place)
      self.updateStanding()
    }
  }

  private func open(
    _ place: SubscriptionTable.Reservation, _ addressed: AddressedMessage, _ call: RPCCall
  ) async -> (any SubscriptionSource)? {
    do throws(RPCFailure) {
      let (reply, frames) = try await service.subscribe(addressed, from: caller)
      guard let frames, reply.status.isSuccess else {
        frames?.close()
        subscriptions.end(place)
        await answer(call, call.success(["reply": reply.json]).encoded)
        return nil
      }
      guard subscriptions.open(place, frames, standing: Self.standing(of: frames, at: addressed.tenant)) else {
        throw RPCFailure.invalidParameters("the subscription was closed before it was open")
      }
      // Who reads that it follows has the place that goes with it.
      updateStanding()
      let sort = addressed.message["descriptor"]?["dateSort"]?.string.flatMap { DateSort(rawValue: $0) }
      let text = FrameText.subscribed(
        reply, call: call, subscription: place.name, sort: sort ?? .createdAscending,
        limit: configuration.webSocket.largestFrame)
      try? await outlet.event(text)
      return frames
    } catch {
      subscriptions.end(place)
      try? await answer(error, id: call.id)
      return nil
    }
  }

  /// Passes frames on as fast as the client takes them.
  private func deliver(_ frames: any SubscriptionSource, to place: SubscriptionTable.Reservation) async {
    do throws(EndpointError) {
      while let frame = try await frames.next() {
        guard let text = FrameText.event(frame, subscription: place.name, limit: configuration.webSocket.largestFrame)
        else {
          service.log.debug("an event is longer than a frame may be", metadata: ["from": "\(caller)"])
          if let cursor = frame.cursor { frames.passOver(cursor) }
          continue
        }
        intake.withLock { $0.sent(1) }
        guard (try? await outlet.event(text)) != nil else { break }
        service.metrics.sentEvent()
      }
    } catch {
      // A client that is told nothing waits for ever: on another connection it goes on from its cursor.
      service.log.error("a subscription could not go on", metadata: ["error": "\(error)"])
      try? await outlet.send(.close(.unexpectedServerError, "a subscription could not go on"))
      closeSoon()
    }
    frames.close()
    subscriptions.end(place)
  }

  /// How much a connection is needed for one subscription: a right to it keeps its place.
  private static func standing(of frames: any SubscriptionSource, at tenant: DID) -> Connections.Standing {
    guard let access = (frames as? NodeSubscription)?.access, let subscriber = access.subscriber else {
      return .waiting
    }
    return subscriber == tenant || access.claimsRight ? .served : .signed
  }

  /// After something was opened or has ended. What has no subscription waits from now on.
  private func updateStanding() {
    standing.withLock { _ in connections.set(channel, subscriptions.standing) }
  }

  // MARK: Writing

  private func answer(_ failure: RPCFailure, id: JSONValue) async throws { try await send(failure.json(id: id)) }

  private func answer(_ call: RPCCall, _ text: [UInt8]) async {
    do {
      try await outlet.answer(text)
    } catch is SocketOutlet.Full {
      service.metrics.refused(.replyBudget)
      try? await answer(.tooMany("too many answers wait to be read", retryAfter: 1), id: call.id)
    } catch {
      // The connection is gone.
    }
  }

  private func send(_ json: JSONValue) async throws { try await outlet.send(.text(json.encoded)) }
}
