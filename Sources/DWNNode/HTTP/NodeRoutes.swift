import DWN
import Identity
import Logging
import NIOHTTP1
import Wire

/// What a node answers to which request (dwn-server 11.1–11.4).
struct NodeRoutes: Sendable {
  let service: MessageService
  let configuration: ServerConfiguration
  let callers: RequestCallers

  init(service: MessageService, configuration: ServerConfiguration) {
    self.service = service
    self.configuration = configuration
    callers = RequestCallers(trusting: configuration.trustedProxies, log: service.log)
  }

  /// A reply that travels in a header beside its data is at most this long; a longer one becomes the body, with the data in it.
  private static let longestReplyHeader = 48 << 10

  /// Why nothing is taken of somebody now, asked once for each request, before its body.
  func refusal(of caller: Caller) -> NodeAnswer? {
    guard let wait = service.rates.wait(for: caller, now: .now()) else { return nil }
    service.metrics.refused(.addressRate)
    service.log.debug("an address sends too much", metadata: ["from": "\(caller)"])
    return .rateLimited(wait: wait)
  }

  /// Each request has a line in the log of accesses: one that names the route, where it is no
  /// message; and each message has one.
  func answer(_ request: NodeRequest) async -> NodeAnswer {
    let begin = Instant.now()
    let path = String(request.uri.prefix { $0 != "?" && $0 != "#" })
    let isRoot = path.allSatisfy { $0 == "/" }
    let answer: NodeAnswer
    if isRoot, request.method == .POST {
      switch call(of: request) {
      case .process(let addressed, let call): return await process(addressed, call, request)
      case .refuse(let refusal): answer = refusal
      }
    } else {
      answer = await self.answer(request, path: path, isRoot: isRoot)
    }
    service.report(
      Self.name(request.method), Self.name(path), "\(answer.status.code)", request.caller,
      bytes: request.data?.size ?? 0, since: begin)
    return answer
  }

  /// A line for a request that was turned away, or broke off, before it was whole; `head` is `nil` where not even that could be read.
  /// What a network sends beyond its rate is counted, and has none.
  func report(
    _ head: HTTPRequestHead?, _ status: String, because reason: ServerMetrics.Refusal?, _ caller: Caller, bytes: Int,
    since begin: Instant
  ) {
    guard service.rates.wait(for: caller, now: .now()) == nil else { return }
    let path = head.map { $0.uri.prefix { $0 != "?" && $0 != "#" } }
    service.report(
      head.map { Self.name($0.method) } ?? "-", path.map { Self.name(String($0)) } ?? "-", status, caller, bytes: bytes,
      since: begin, because: reason)
  }

  private static func name(_ method: HTTPMethod) -> String { methods.contains(method) ? method.rawValue : "other" }

  private static func name(_ path: String) -> String {
    path.allSatisfy { $0 == "/" } ? "/" : paths.contains(path) ? path : "other"
  }

  /// Those that the log names.
  private static let paths: Set = [
    "/health", "/info", "/metrics", "/registration", "/registration/proof-of-work", "/registration/terms-of-service",
  ]
  private static let methods: [HTTPMethod] = [.GET, .POST, .OPTIONS, .HEAD, .PUT, .DELETE]

  private func answer(_ request: NodeRequest, path: String, isRoot: Bool) async -> NodeAnswer {
    switch (request.method, path) {
    case (.OPTIONS, _): return NodeAnswer(status: .noContent)
    case (.GET, _) where isRoot: return .text("This is a Decentralized Web Node of meshd.\n")
    case (.GET, "/health"): return .json(["ok": true])
    case (.GET, "/info"): return .json(info)
    case (.GET, "/registration/proof-of-work"), (.GET, "/registration/terms-of-service"), (.POST, "/registration"):
      guard let gate = service.servedNode?.gate else { return .notFound }
      return await RegistrationRoutes(gate: gate, log: service.log).answer(request, path: path)
    case (.GET, "/metrics") where request.caller.network == nil:
      guard let registry = configuration.metrics as? PrometheusRegistry else { return .notFound }
      return .text(registry.text)
    case (.GET, _): return await PublicRoutes(service: service).answer(request)
    default: return .notFound
    }
  }

  private var info: JSONValue {
    let requirements = service.servedNode?.gate.tenancy.requirements?.names ?? []
    var info: JSONObject = [
      "server": "meshd", "version": .string(configuration.version), "sdkVersion": .string(configuration.version),
      "maxFileSize": .integer(Int64(largestData)), "maxInFlight": 32, "webSocketSupport": true,
      "registrationRequirements": .array(requirements.map { .string($0) }),
      "httpRpcFraming": [.string(BodyFraming.name)],
    ]
    info["url"] = configuration.publicURL.map { .string($0) }
    return .object(info)
  }

  /// Of the data of one record, in bytes.
  var largestData: Int { min(configuration.largestBody, service.servedNode?.largestData ?? .max) }

  /// What may become of data that is still coming.
  enum DataAdmission: Sendable {
    /// It may go on, and waits in this place.
    case receive(IncomingData)
    /// Nobody here would take it.
    case refuse(NodeAnswer)
  }

  /// Looks at the message, which stands before its data, and verifies who signed it: nothing is stored for somebody who only says so.
  func admitData(for request: NodeRequest) async -> DataAdmission {
    guard let node = service.servedNode else { return .refuse(.tooLarge(limit: largestData)) }
    switch call(of: request) {
    case .refuse(let answer): return .refuse(answer)
    case .process(let addressed, let call):
      guard addressed.kind == "RecordsWrite" else {
        return .refuse(.failure(.invalidParameters("data belongs to a RecordsWrite"), id: call.id))
      }
      guard node.gate.mayServe(addressed.tenant) else {
        return .refuse(.json(call.success(["reply": Reply.notATenant().json])))
      }
      let size = addressed.message["descriptor"]?["dataSize"]?.integer ?? 0
      guard size <= largestData else { return .refuse(.tooLarge(limit: largestData)) }
      do throws(DWNError) {
        let author = try await service.author(of: addressed, at: node, from: request.caller)
        let bytes = Int(max(size, 0))
        if let refusal = await node.refusalOfRoom(for: bytes, of: author, at: addressed.tenant) { throw refusal }
        // On a node for everybody, a tenant is just another stranger.
        let isNamed = author == addressed.tenant && node.gate.tenancy.names(author)
        return .receive(node.receive(for: isNamed ? .tenant : .other(request.caller)))
      } catch {
        return .refuse(.json(call.success(["reply": Reply(error).json])))
      }
    }
  }

  private enum Call {
    case process(AddressedMessage, RPCCall)
    /// It brings no message.
    case refuse(NodeAnswer)
  }

  private func call(of request: NodeRequest) -> Call {
    guard let json = request.call else { return .refuse(.failure(.noPayload, status: .badRequest)) }
    do throws(RPCFailure) {
      let call = try RPCCall(json)
      guard call.method == "dwn.processMessage" else { throw RPCFailure.methodNotFound(call.method) }
      return .process(try call.message(), call)
    } catch {
      return .refuse(.failure(error, id: RPCCall.id(of: json)))
    }
  }

  private func process(_ addressed: AddressedMessage, _ call: RPCCall, _ request: NodeRequest) async -> NodeAnswer {
    do throws(RPCFailure) {
      let reply = try await service.process(addressed, data: request.data, from: request.caller, over: .http)
      return answer(reply, to: call)
    } catch {
      return .failure(error, id: call.id)
    }
  }

  private func answer(_ answer: NodeReply, to call: RPCCall) -> NodeAnswer {
    let reply = answer.reply
    guard reply.data != nil || answer.file != nil else { return .json(call.success(["reply": reply.json])) }
    let header = call.success(["reply": reply.json]).asciiText
    guard answer.file != nil || header.utf8.count <= Self.longestReplyHeader else {
      return .json(call.success(["reply": reply.withDataInside.json]))
    }
    return NodeAnswer(
      status: .ok, headers: [("content-type", "application/octet-stream"), ("dwn-response", header)],
      body: reply.data ?? [], file: answer.file)
  }
}

extension Reply {
  /// With the data in the entry, for where it cannot travel beside the reply.
  var withDataInside: Reply {
    guard let data, var entry = members["entry"]?.object else { return self }
    if var write = entry["recordsWrite"]?.object {
      write["encodedData"] = .string(Base64.encode(data))
      entry["recordsWrite"] = .object(write)
    } else {
      entry["encodedData"] = .string(Base64.encode(data))
    }
    var members = members
    members["entry"] = .object(entry)
    return Reply(status, members: members)
  }
}
