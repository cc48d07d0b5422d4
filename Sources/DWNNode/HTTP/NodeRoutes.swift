import DWN
import Identity
import Logging
import NIOHTTP1
import Wire

/// What a node answers to which request (dwn-server 11.1–11.4).
struct NodeRoutes: Sendable {
  let service: MessageService
  let configuration: ServerConfiguration

  /// A reply that travels in a header beside its data is at most this long; a longer one becomes the body, with the data in it.
  private static let longestReplyHeader = 48 << 10

  func answer(_ request: NodeRequest) async -> NodeAnswer {
    if let wait = service.rates.wait(for: request.caller, now: .now()) {
      service.metrics.refused(.addressRate)
      service.log.debug("an address sends too much", metadata: ["from": "\(request.caller)"])
      return .rateLimited(wait: wait)
    }
    let path = request.uri.prefix { $0 != "?" && $0 != "#" }
    let isRoot = path.allSatisfy { $0 == "/" }
    switch (request.method, String(path)) {
    case (.POST, _) where isRoot: return await call(request)
    case (.OPTIONS, _): return NodeAnswer(status: .noContent)
    case (.GET, _) where isRoot: return .text("This is a Decentralized Web Node of meshd.\n")
    case (.GET, "/health"): return .json(["ok": true])
    case (.GET, "/info"): return .json(info)
    case (.GET, "/metrics") where request.caller.network == nil:
      guard let registry = configuration.metrics as? PrometheusRegistry else { fallthrough }
      return .text(registry.text)
    default: return .text("not found\n", status: .notFound)
    }
  }

  private var info: JSONValue {
    [
      "server": "meshd", "version": .string(configuration.version), "sdkVersion": .string(configuration.version),
      "maxFileSize": .integer(Int64(configuration.largestBody)), "maxInFlight": 32, "webSocketSupport": true,
      "registrationRequirements": [], "httpRpcFraming": [.string(BodyFraming.name)],
    ]
  }

  private func call(_ request: NodeRequest) async -> NodeAnswer {
    guard let (json, data) = Self.split(request) else { return .failure(.noPayload, status: .badRequest) }
    do throws(RPCFailure) {
      let call = try RPCCall(json)
      guard call.method == "dwn.processMessage" else { throw RPCFailure.methodNotFound(call.method) }
      let reply = try await service.process(call.message(), data: data, from: request.caller, over: .http)
      return answer(reply, to: call)
    } catch {
      return .failure(error, id: RPCCall.id(of: json))
    }
  }

  /// The JSON and the data of a request, in whichever of the two framings it came.
  private static func split(_ request: NodeRequest) -> (JSONValue, data: [UInt8]?)? {
    if let type = request.contentType, BodyFraming.isNamed(by: type) {
      guard request.messages.isEmpty, let (text, data) = request.body.flatMap({ BodyFraming.split($0) }),
        let json = try? JSONValue(parsing: text, depth: RPCCall.depth), json.object != nil
      else { return nil }
      return (json, data)
    }
    guard request.messages.count == 1, let text = request.messages.first,
      let json = try? JSONValue(parsing: text, depth: RPCCall.depth), json.object != nil
    else { return nil }
    return (json, request.body)
  }

  private func answer(_ reply: Reply, to call: RPCCall) -> NodeAnswer {
    guard let data = reply.data else { return .json(call.success(["reply": reply.json])) }
    let header = call.success(["reply": reply.json]).asciiText
    guard header.utf8.count <= Self.longestReplyHeader else {
      return .json(call.success(["reply": reply.withDataInside.json]))
    }
    return NodeAnswer(
      status: .ok, headers: [("content-type", "application/octet-stream"), ("dwn-response", header)], body: data)
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
