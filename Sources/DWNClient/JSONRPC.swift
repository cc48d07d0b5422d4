import DWN
import Identity
import Wire

/// A JSON-RPC 2.0 request that hands a message to a node.
struct JSONRPCCall {
  let id: String
  let tenant: DID
  let message: JSONValue

  var json: JSONValue {
    [
      "jsonrpc": "2.0", "id": .string(id), "method": "dwn.processMessage",
      "params": ["target": .string(tenant.text), "message": message],
    ]
  }
}

extension JSONRPCCall {
  static let wholeBodyType = "application/vnd.enbox.dwn-rpc; version=1"

  /// The start of a body that has call and data (`dwn-server.md` 11.1): all but the last line.
  ///
  /// | bytes | |
  /// |---|---|
  /// | 1 | 1: data follows; else 0 |
  /// | 4 | length of the call, most significant first |
  /// | … | the call, JSON in UTF-8 |
  /// | … | the data |
  func bodyBeforeData(hasData: Bool) -> [UInt8] {
    let text = json.encoded
    let length = UInt32(text.count)
    return [hasData ? 1 : 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + text
  }
}

/// What came back over HTTP for one call. The reply is in the header `dwn-response`, and then the body is data; or it is the
/// body.
struct JSONRPCAnswer {
  let status: Int
  /// All values of `dwn-response`.
  let reply: [String]
  let retryAfter: String?
  let body: [UInt8]

  static let tooManyRequests: Int64 = -50429
  /// An entry's `initialWrite` stands five levels deep in an answer: root, result, reply, entries, entry.
  static let depth = Message.maximumDepth + 5

  func reply(to call: JSONRPCCall, from name: String, now: WallTime) throws(EndpointError) -> Reply {
    guard reply.count <= 1 else { throw .notADWN(name: name, reason: "it sent two dwn-response headers") }
    let text = reply.first.map { Array($0.utf8) } ?? body
    let envelope = try? JSONValue(parsing: text, depth: Self.depth)
    if status == 429 || envelope?["error"]?["code"]?.integer == Self.tooManyRequests {
      throw .rateLimited(name: name, retryAfter: waiting(envelope, now: now))
    }
    guard let envelope, envelope["jsonrpc"] == "2.0" else { throw withoutRPC(name) }
    if let error = envelope["error"], let code = error["code"]?.integer {
      throw .refused(name: name, reason: "\(error["message"]?.string?.clipped(to: 300) ?? "error") (\(code))")
    }
    guard envelope["id"]?.string == call.id else {
      throw .notADWN(name: name, reason: "its answer belongs to another request")
    }
    guard let result = envelope["result"]?["reply"], let parsed = Reply(result, data: reply.isEmpty ? nil : body) else {
      throw .notADWN(name: name, reason: "its answer has no reply with a status")
    }
    return parsed
  }

  /// For an answer with HTTP status 429 to something else than a message.
  func rateLimit(from name: String, now: WallTime) -> EndpointError {
    .rateLimited(name: name, retryAfter: waiting(try? JSONValue(parsing: body, depth: Self.depth), now: now))
  }

  private func withoutRPC(_ name: String) -> EndpointError {
    switch status {
    case 502, 503, 504: .unreachable(name: name, reason: "HTTP status \(status)")
    case 408: .timedOut(name: name)
    case 300..<400: .notADWN(name: name, reason: "it redirects elsewhere (HTTP status \(status))")
    case 200: .notADWN(name: name, reason: "its answer is not JSON-RPC")
    default: .notADWN(name: name, reason: "HTTP status \(status) without a JSON-RPC answer")
    }
  }

  /// `retry-after` in seconds or as a date, else the number in the error, else one second; never more than an hour.
  private func waiting(_ envelope: JSONValue?, now: WallTime) -> Duration {
    let seconds: Double =
      if let retryAfter, let number = Double(retryAfter) {
        number
      } else if let retryAfter, let date = HTTPDate.parse(retryAfter) {
        (date - now).seconds
      } else {
        envelope?["error"]?["data"]?["retryAfterSec"]?.double ?? 1
      }
    guard seconds.isFinite, seconds > 0 else { return .seconds(1) }
    return .seconds(min(seconds, 3600))
  }
}
