import DWN
import Identity
import Logging
import Wire

/// Has messages answered by the node, whatever they came over: within the rates, with a line in the log, and with errors that say
/// nothing of what is inside.
struct MessageService: Sendable {
  let endpoint: any DWNEndpoint
  let rates: RateLimits
  let metrics: ServerMetrics
  let log: Logger
  /// Where the line for each message goes.
  let accessLevel: Logger.Level

  /// What a message was and what became of it, for the log.
  enum Transport: String, Sendable {
    case http
    case webSocket = "websocket"
  }

  /// The endpoint, if it is a node in this process.
  var servedNode: (any ServedNode)? { endpoint as? any ServedNode }

  func process(
    _ addressed: AddressedMessage, data: ReceivedData?, from caller: Caller, over transport: Transport
  ) async throws(RPCFailure) -> NodeReply {
    guard !addressed.opensSubscription else {
      report(addressed, "400", caller, transport, bytes: 0, since: .now())
      throw .invalidRequest("a subscription is opened over WebSocket, with rpc.subscribe.dwn.processMessage")
    }
    try await admit(addressed, caller, transport)
    let begin = Instant.now()
    let reply: NodeReply
    do {
      reply = try await asking(for: caller) { () async throws(EndpointError) in
        try await self.reply(to: addressed, data)
      }
    } catch {
      throw failure(error, addressed, caller, transport, since: begin)
    }
    report(addressed, "\(reply.reply.status.code)", caller, transport, bytes: data?.size ?? 0, since: begin)
    if let failure = RPCFailure(refusing: reply.reply.status) { throw failure }
    return reply
  }

  private func reply(to addressed: AddressedMessage, _ data: ReceivedData?) async throws(EndpointError) -> NodeReply {
    if let servedNode {
      return try await servedNode.process(tenant: addressed.tenant, message: addressed.message, received: data)
    }
    guard case .bytes(let bytes)? = data?.content else {
      return NodeReply(
        try await endpoint.process(tenant: addressed.tenant, message: addressed.message, data: nil))
    }
    return NodeReply(try await endpoint.process(tenant: addressed.tenant, message: addressed.message, data: bytes))
  }

  /// Opens a subscription. Without a source the reply is a refusal.
  func subscribe(
    _ addressed: AddressedMessage, from caller: Caller
  ) async throws(RPCFailure) -> (Reply, (any SubscriptionSource)?) {
    try await admit(addressed, caller, .webSocket)
    let begin = Instant.now()
    do {
      let (reply, source) = try await asking(for: caller) { () async throws(EndpointError) in
        guard let servedNode else {
          return try await endpoint.subscribe(tenant: addressed.tenant, message: addressed.message)
        }
        return try await servedNode.subscribe(tenant: addressed.tenant, message: addressed.message, from: caller)
      }
      report(addressed, "\(reply.status.code)", caller, .webSocket, bytes: 0, since: begin)
      return (reply, source)
    } catch {
      throw failure(error, addressed, caller, .webSocket, since: begin)
    }
  }

  /// Whom a write binds whose data is still to come, once its signature was verified.
  func author(
    of addressed: AddressedMessage, at node: any ServedNode, from caller: Caller
  ) async throws(DWNError) -> DID {
    try await asking(for: caller) { () async throws(DWNError) in try await node.author(ofWrite: addressed.message) }
  }

  /// Documents of signers are fetched in the caller's name meanwhile.
  private func asking<Value, Failure: Error>(
    for caller: Caller, _ body: () async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    try await DocumentAsker.$network.withValue(caller.network) { () async -> Result<Value, Failure> in
      do throws(Failure) { return .success(try await body()) } catch { return .failure(error) }
    }.get()
  }

  /// What others send takes nothing from the tenant itself: where its rate is used up, a look at the signature shows whose a message is.
  private func admit(
    _ addressed: AddressedMessage, _ caller: Caller, _ transport: Transport
  ) async throws(RPCFailure) {
    let begin = Instant.now()
    guard let wait = rates.wait(for: addressed.tenant, from: caller, now: begin) else { return }
    if let servedNode {
      let isTenants = await asking(for: caller) { await servedNode.isTenants(addressed.message, addressed.tenant) }
      if isTenants { return }
    }
    metrics.refused(.tenantRate)
    report(addressed, "429", caller, transport, bytes: 0, since: begin)
    log.debug(
      "a tenant's rate is used up", metadata: ["from": "\(caller)", "transport": "\(transport.rawValue)"])
    throw .tooMany("too many messages for this tenant", retryAfter: wait.retrySeconds)
  }

  private func failure(
    _ error: EndpointError, _ addressed: AddressedMessage, _ caller: Caller, _ transport: Transport, since: Instant
  ) -> RPCFailure {
    if case .rateLimited(_, let wait) = error {
      metrics.refused(.authorRate)
      report(addressed, "429", caller, transport, bytes: 0, since: since)
      return .tooMany("too many messages of this author for this tenant", retryAfter: wait.retrySeconds)
    }
    // Who went away while it waited caused no fault.
    log.log(
      level: Task.isCancelled ? .debug : .error, "a message could not be processed", metadata: ["error": "\(error)"])
    report(addressed, "error", caller, transport, bytes: 0, since: since)
    return .internalError
  }

  /// One line for a request that brought no message. `path` is one of ours, or `other`: strangers choose what they ask for. `reason`:
  /// why it was not heard to its end.
  func report(
    _ method: String, _ path: String, _ status: String, _ caller: Caller, bytes: Int, since begin: Instant,
    because reason: ServerMetrics.Refusal? = nil
  ) {
    var metadata: Logger.Metadata = [
      "from": "\(caller)", "method": "\(method)", "path": "\(path)", "status": "\(status)", "bytes": "\(bytes)",
      "ms": "\((Instant.now() - begin).nanoseconds / 1_000_000)",
    ]
    metadata["reason"] = reason.map { "\($0.rawValue)" }
    log.log(level: accessLevel, "request", metadata: metadata)
  }

  /// Counts a WebSocket that ends for what its client did, or did not do, and says so in one line, unless the client's network is beyond
  /// its rate. `code` is what the client is told; `nil` where it would not read it.
  func reportEnd(_ code: Int?, _ reason: String, _ caller: Caller, as refusal: ServerMetrics.Refusal) {
    metrics.refused(refusal)
    guard rates.wait(for: caller, now: .now()) == nil else { return }
    log.log(
      level: accessLevel, "websocket",
      metadata: ["from": "\(caller)", "status": "\(code.map { "\($0)" } ?? "-")", "reason": "\(reason)"])
  }

  /// One line for each message, without what it says.
  private func report(
    _ addressed: AddressedMessage, _ status: String, _ caller: Caller, _ transport: Transport, bytes: Int,
    since begin: Instant
  ) {
    let duration = Instant.now() - begin
    metrics.answered(kind: addressed.kind, status: status, duration: duration)
    log.log(
      level: accessLevel, "message",
      metadata: [
        "from": "\(caller)", "over": "\(transport.rawValue)", "kind": "\(addressed.kind)", "status": "\(status)",
        "bytes": "\(bytes)", "ms": "\(duration.nanoseconds / 1_000_000)",
      ])
  }
}
