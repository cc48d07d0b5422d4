import DWN
import Identity
import Logging
import NIOHTTP1
import Wire

/// What a node answers to which request (dwn-server 11.1–11.4).
struct NodeRoutes: Sendable {
  let endpoint: any DWNEndpoint
  let configuration: ServerConfiguration
  let log: Logger

  /// A reply that travels in a header beside its data is at most this long; a longer one becomes the body, with the data in it.
  private static let longestReplyHeader = 48 << 10

  func answer(_ request: NodeRequest) async -> NodeAnswer {
    let path = request.uri.prefix { $0 != "?" && $0 != "#" }
    let isRoot = path.allSatisfy { $0 == "/" }
    switch (request.method, String(path)) {
    case (.POST, _) where isRoot: return await call(request)
    case (.OPTIONS, _): return NodeAnswer(status: .noContent)
    case (.GET, _) where isRoot: return .text("This is a Decentralized Web Node of meshd.\n")
    case (.GET, "/health"): return .json(["ok": true])
    case (.GET, "/info"): return .json(info)
    default: return .text("not found\n", status: .notFound)
    }
  }

  private var info: JSONValue {
    [
      "server": "meshd", "version": .string(configuration.version), "sdkVersion": .string(configuration.version),
      "maxFileSize": .integer(Int64(configuration.largestBody)), "maxInFlight": 32, "webSocketSupport": false,
      "registrationRequirements": [], "httpRpcFraming": [],
    ]
  }

  private func call(_ request: NodeRequest) async -> NodeAnswer {
    guard request.messages.count == 1, let text = request.messages.first,
      let json = try? JSONValue(parsing: text, depth: Message.maximumDepth + 2), json.object != nil
    else { return .failure(-50400, "request payload required.", status: .badRequest) }
    let id: JSONValue = if let id = json["id"], id.string != nil || id.integer != nil { id } else { .null }
    guard let method = json["method"]?.string, json["jsonrpc"] == "2.0" else {
      return .failure(-32600, "not a JSON-RPC 2.0 request", id: id)
    }
    guard method == "dwn.processMessage" else {
      return .failure(-32601, "the method \"\(method.prefix(100))\" is not known", id: id)
    }
    guard let tenant = json["params"]?["target"]?.string.flatMap({ DID($0) }) else {
      return .failure(-32602, "params.target must be a DID", id: id)
    }
    guard let message = json["params"]?["message"], message.object != nil else {
      return .failure(-32602, "params.message must be an object", id: id)
    }
    do {
      let reply = try await endpoint.process(tenant: tenant, message: message, data: request.body)
      report(request, message, "\(reply.status.code)")
      return answer(reply, id: id)
    } catch {
      log.error("a message could not be processed", metadata: ["error": "\(error)"])
      report(request, message, "error")
      return .failure(-32603, "internal error", id: id)
    }
  }

  private func answer(_ reply: Reply, id: JSONValue) -> NodeAnswer {
    func envelope(_ reply: JSONValue) -> JSONValue { ["jsonrpc": "2.0", "id": id, "result": ["reply": reply]] }
    guard let data = reply.data else { return .json(envelope(reply.json)) }
    let header = envelope(reply.json).asciiText
    if header.utf8.count <= Self.longestReplyHeader {
      return NodeAnswer(
        status: .ok, headers: [("content-type", "application/octet-stream"), ("dwn-response", header)], body: data)
    }
    var members = reply.members
    if var entry = members["entry"]?.object, var write = entry["recordsWrite"]?.object {
      write["encodedData"] = .string(Base64.encode(data))
      entry["recordsWrite"] = .object(write)
      members["entry"] = .object(entry)
    }
    return .json(envelope(Reply(reply.status, members: members).json))
  }

  /// One line for each message, without what it says.
  private func report(_ request: NodeRequest, _ message: JSONValue, _ status: String) {
    let descriptor = message["descriptor"]
    let kind = (descriptor?["interface"]?.string ?? "?") + (descriptor?["method"]?.string ?? "?")
    log.debug(
      "message",
      metadata: [
        "from": "\(request.from)", "kind": "\(kind.prefix(40))", "status": "\(status)",
        "bytes": "\(request.body?.count ?? 0)",
      ])
  }
}
