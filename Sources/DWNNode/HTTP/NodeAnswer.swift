import NIOHTTP1
import Wire

/// A request as far as routes look at it.
struct NodeRequest: Sendable {
  var method: HTTPMethod
  var uri: String
  /// All values of the header `dwn-request`.
  var messages: [String]
  /// `nil` when it was empty.
  var body: [UInt8]?
  /// For the log.
  var from: String
}

/// What is sent back.
struct NodeAnswer: Sendable {
  var status: HTTPResponseStatus
  var headers: [(String, String)] = []
  var body: [UInt8] = []

  /// Pages of any origin may use a node: every right comes from a signature.
  static let crossOrigin = [
    ("access-control-allow-origin", "*"), ("access-control-allow-methods", "GET, POST, OPTIONS"),
    ("access-control-allow-headers", "*"), ("access-control-expose-headers", "dwn-response"),
    ("access-control-max-age", "86400"),
  ]

  static func json(_ value: JSONValue, status: HTTPResponseStatus = .ok) -> NodeAnswer {
    NodeAnswer(status: status, headers: [("content-type", "application/json")], body: value.encoded)
  }

  static func text(_ text: String, status: HTTPResponseStatus = .ok) -> NodeAnswer {
    NodeAnswer(status: status, headers: [("content-type", "text/plain; charset=utf-8")], body: Array(text.utf8))
  }

  /// A JSON-RPC error. `id` is that of the request, where it could be read.
  static func failure(
    _ code: Int64, _ message: String, id: JSONValue = .null, status: HTTPResponseStatus = .internalServerError
  ) -> NodeAnswer {
    json(
      ["jsonrpc": "2.0", "id": id, "error": ["code": .integer(code), "message": .string(message)]], status: status)
  }

  static func tooLarge(limit: Int) -> NodeAnswer {
    failure(-32602, "RecordDataSizeLimitExceeded: a body has at most \(limit) bytes", status: .payloadTooLarge)
  }

  static let headTooLarge = failure(
    -50400, "the headers of the request are too large", status: .requestHeaderFieldsTooLarge)
  static let malformed = failure(-50400, "not an HTTP request", status: .badRequest)
  static let timedOut = failure(-32300, "the request took too long", status: .requestTimeout)

  static var busy: NodeAnswer {
    var answer = failure(-32300, "too much is being received at once: try again", status: .serviceUnavailable)
    answer.headers.append(("retry-after", "1"))
    return answer
  }
}
