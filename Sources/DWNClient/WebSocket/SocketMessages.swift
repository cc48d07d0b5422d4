import DWN
import Identity
import Wire

/// The JSON-RPC texts of a client over WebSocket (`dwn-server.md` 12.1).
enum SocketRequest {
  /// Opens a subscription under a name that this side gives.
  static func subscribe(call: String, subscription: String, tenant: DID, message: JSONValue) -> JSONValue {
    [
      "jsonrpc": "2.0", "id": .string(call), "method": "rpc.subscribe.dwn.processMessage",
      "params": ["target": .string(tenant.text), "message": message], "subscription": ["id": .string(subscription)],
    ]
  }

  /// Without an `id`: nothing is answered.
  static func acknowledge(_ cursor: ProgressToken, subscription: String) -> JSONValue {
    [
      "jsonrpc": "2.0", "method": "rpc.ack", "params": ["cursor": cursor.json],
      "subscription": ["id": .string(subscription)],
    ]
  }

  static func close(call: String, subscription: String) -> JSONValue {
    [
      "jsonrpc": "2.0", "id": .string(call), "method": "rpc.subscribe.close", "params": [:],
      "subscription": ["id": .string(subscription)],
    ]
  }
}

/// A text that a node sent over WebSocket (`dwn-server.md` 12.2).
enum SocketMessage {
  /// To a request, or to a subscription as a whole: the ids of both stand in one place.
  case frame(subscription: String, SubscriptionFrame)
  /// A frame of a subscription that cannot be read.
  case unreadableFrame(subscription: String)
  case reply(call: String, Reply)
  case failure(call: String, code: Int64, text: String, retryAfter: Duration)
  /// Nothing that concerns anybody here.
  case irrelevant

  /// Errors after which the same request is refused again (`dwn-server.md` 11.3).
  static let permanentErrors: Set<Int64> = [-32700, -32600, -32601, -32602]
  private static let longestPause: Double = 3600

  /// `nil` unless it is JSON-RPC.
  init?(_ text: [UInt8]) {
    guard let json = try? JSONValue(parsing: text, depth: JSONRPCAnswer.depth), json["jsonrpc"] == "2.0" else {
      return nil
    }
    guard let id = json["id"]?.string else {
      self = .irrelevant
      return
    }
    if let frame = json["result"]?["subscription"] {
      self = SubscriptionFrame(frame).map { .frame(subscription: id, $0) } ?? .unreadableFrame(subscription: id)
    } else if let reply = json["result"]?["reply"].flatMap({ Reply($0) }) {
      self = .reply(call: id, reply)
    } else if let error = json["error"], let code = error["code"]?.integer {
      let seconds = error["data"]?["retryAfterSec"]?.double ?? 1
      self = .failure(
        call: id, code: code, text: (error["message"]?.string ?? "error").clipped(to: 300),
        retryAfter: .seconds(seconds.isFinite && seconds > 0 ? min(seconds, Self.longestPause) : 1))
    } else {
      self = .irrelevant
    }
  }
}
