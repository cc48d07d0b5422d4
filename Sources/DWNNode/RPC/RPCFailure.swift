import DWN
import Wire

/// An error of JSON-RPC: why a request got no reply of the DWN kind (dwn-server 11.3).
struct RPCFailure: Error, Hashable, Sendable {
  var code: Int64
  var message: String
  /// In seconds; for refusals that time mends.
  var retryAfter: Int?

  static func parseError(_ text: String) -> RPCFailure { RPCFailure(code: -32700, message: text) }
  static func invalidRequest(_ text: String) -> RPCFailure { RPCFailure(code: -32600, message: text) }
  static func methodNotFound(_ method: String) -> RPCFailure {
    RPCFailure(code: -32601, message: "the method \"\(method.prefix(100))\" is not known")
  }
  static func invalidParameters(_ text: String) -> RPCFailure { RPCFailure(code: -32602, message: text) }
  /// Says nothing of what happened inside; the log does.
  static let internalError = RPCFailure(code: -32603, message: "internal error")
  static let noPayload = RPCFailure(code: -50400, message: "request payload required.")
  static func tooMany(_ text: String, retryAfter: Int) -> RPCFailure {
    RPCFailure(code: -50429, message: text, retryAfter: retryAfter)
  }

  static let tooManyCode: Int64 = -50429

  /// `id` is that of the request, where it could be read.
  func json(id: JSONValue) -> JSONValue {
    var error: JSONObject = ["code": .integer(code), "message": .string(message)]
    if let retryAfter { error["data"] = ["retryAfterSec": .integer(Int64(retryAfter))] }
    return ["jsonrpc": "2.0", "id": id, "error": .object(error)]
  }
}

extension RPCFailure {
  /// Limits of the node are told in this way, and not as a reply (dwn-server 11.3).
  init?(refusing status: Reply.Status) {
    let codes = ["RecordDataSizeLimitExceeded", "TenantMessageQuotaExceeded", "TenantStorageQuotaExceeded"]
    guard codes.contains(where: { status.detail.hasPrefix($0 + ":") }) else { return nil }
    self = .invalidParameters(status.detail)
  }
}
