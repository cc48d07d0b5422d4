import DWN
import Identity
import Wire

/// A request of JSON-RPC 2.0, as far as it does not depend on what it came over.
struct RPCCall: Sendable {
  /// A text or an integer; `null` when there was none.
  var id: JSONValue
  var method: String
  var params: JSONValue
  /// The client's name for a subscription.
  var subscription: String?

  /// Largest text of a request: a message with what JSON-RPC puts around it.
  static let largestText = Message.maximumSize + (8 << 10)
  static let depth = Message.maximumDepth + 2
  /// Longest id of a request or a subscription, in bytes.
  static let longestID = 256

  /// The id that a refusal of this text names.
  static func id(of json: JSONValue) -> JSONValue {
    guard let id = json["id"] else { return .null }
    if let text = id.string { return text.utf8.count <= longestID ? id : .null }
    return id.integer == nil ? .null : id
  }

  init(_ json: JSONValue) throws(RPCFailure) {
    guard let method = json["method"]?.string, json["jsonrpc"] == "2.0" else {
      throw .invalidRequest("not a JSON-RPC 2.0 request")
    }
    self.id = Self.id(of: json)
    self.method = method
    self.params = json["params"] ?? .null
    self.subscription = json["subscription"]?["id"]?.string.flatMap {
      (1...Self.longestID).contains($0.utf8.count) ? $0 : nil
    }
  }

  /// The tenant and the message of a call that carries one.
  func message() throws(RPCFailure) -> AddressedMessage {
    guard let tenant = params["target"]?.string.flatMap({ DID($0) }) else {
      throw .invalidParameters("params.target must be a DID")
    }
    guard let message = params["message"], message.object != nil else {
      throw .invalidParameters("params.message must be an object")
    }
    return AddressedMessage(tenant: tenant, message: message)
  }

  func success(_ result: JSONValue) -> JSONValue { ["jsonrpc": "2.0", "id": id, "result": result] }
}

/// A message and whose node it is meant for.
struct AddressedMessage: Sendable {
  var tenant: DID
  var message: JSONValue

  /// Interface and method, for the log: `RecordsWrite`. Only names of the specification, since strangers choose the text.
  var kind: String {
    let descriptor = message["descriptor"]
    let name = (descriptor?["interface"]?.string ?? "") + (descriptor?["method"]?.string ?? "")
    return Self.kinds.contains(name) ? name : "other"
  }

  var opensSubscription: Bool { kind == "RecordsSubscribe" || kind == "MessagesSubscribe" }

  private static let kinds: Set<String> = [
    "RecordsWrite", "RecordsRead", "RecordsQuery", "RecordsCount", "RecordsSubscribe", "RecordsDelete",
    "ProtocolsConfigure", "ProtocolsQuery", "MessagesQuery", "MessagesRead", "MessagesSubscribe",
  ]
}
