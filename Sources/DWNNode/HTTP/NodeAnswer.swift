import NIOHTTP1
import Wire

/// A request as far as routes look at it.
struct NodeRequest: Sendable {
  var method: HTTPMethod
  var uri: String
  /// All values of the header `dwn-request`.
  var messages: [String]
  /// The JSON of a body that begins with it.
  var framedJSON: [UInt8]?
  /// `nil` when there was none: neither a length above zero nor a transfer encoding.
  var data: ReceivedData?
  var caller: Caller

  /// The call that is made, in whichever of the two framings it came. A request in both is none.
  var call: JSONValue? {
    let json: JSONValue?
    if let framedJSON {
      json = messages.isEmpty ? try? JSONValue(parsing: framedJSON, depth: RPCCall.depth) : nil
    } else if messages.count == 1, !messages[0].unicodeScalars.contains("\u{fffd}") {
      json = try? JSONValue(parsing: messages[0], depth: RPCCall.depth)
    } else {
      // What was no UTF-8 has that character by now. Who means it escapes it.
      json = nil
    }
    return json?.object == nil ? nil : json
  }
}

/// What is sent back.
struct NodeAnswer: Sendable {
  var status: HTTPResponseStatus
  var headers: [(String, String)] = []
  var body: [UInt8] = []
  /// In place of `body`.
  var file: DataFile?

  var length: Int { file?.size ?? body.count }

  /// Pages of any origin may use a node: every right comes from a signature.
  static let crossOrigin = [
    ("access-control-allow-origin", "*"), ("access-control-allow-methods", "GET, POST, OPTIONS"),
    ("access-control-allow-headers", "*"), ("access-control-expose-headers", "dwn-response"),
    ("access-control-max-age", "86400"),
  ]

  static func json(_ value: JSONValue, status: HTTPResponseStatus = .ok) -> NodeAnswer {
    NodeAnswer(status: status, headers: [("content-type", "application/json")], body: value.encoded)
  }

  static let notFound = text("not found\n", status: .notFound)

  static func text(_ text: String, status: HTTPResponseStatus = .ok) -> NodeAnswer {
    NodeAnswer(status: status, headers: [("content-type", "text/plain; charset=utf-8")], body: Array(text.utf8))
  }

  /// A JSON-RPC error. `id` is that of the request, where it could be read.
  static func failure(
    _ failure: RPCFailure, id: JSONValue = .null, status: HTTPResponseStatus? = nil
  ) -> NodeAnswer {
    var answer = json(
      failure.json(id: id),
      status: status ?? (failure.code == RPCFailure.tooManyCode ? .tooManyRequests : .internalServerError))
    if let wait = failure.retryAfter { answer.headers.append(("retry-after", "\(wait)")) }
    return answer
  }

  static func tooLarge(limit: Int) -> NodeAnswer {
    failure(
      .invalidParameters("RecordDataSizeLimitExceeded: a body has at most \(limit) bytes"), status: .payloadTooLarge)
  }

  /// An address that sends too much: not JSON-RPC, since nobody looked at what was asked.
  static func rateLimited(wait: Duration) -> NodeAnswer {
    var answer = json(["error": "Rate limit exceeded"], status: .tooManyRequests)
    answer.headers.append(("retry-after", "\(wait.retrySeconds)"))
    return answer
  }

  static let headTooLarge = failure(
    RPCFailure(code: -50400, message: "the headers of the request are too large"), status: .requestHeaderFieldsTooLarge)
  static let malformed = failure(RPCFailure(code: -50400, message: "not an HTTP request"), status: .badRequest)
  static let timedOut = failure(RPCFailure(code: -32300, message: "the request took too long"), status: .requestTimeout)
  static let busy = failure(
    RPCFailure(code: -32300, message: "too much is being received at once: try again", retryAfter: 1),
    status: .serviceUnavailable)
  static let full = failure(
    RPCFailure(code: -32300, message: "too many connections stay open: try again", retryAfter: 5),
    status: .serviceUnavailable)
  static let unread = failure(
    RPCFailure(code: -32300, message: "too many answers wait to be read: try again", retryAfter: 1),
    status: .serviceUnavailable)
}
