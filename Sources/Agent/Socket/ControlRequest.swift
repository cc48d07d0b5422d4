public import Wire

/// What a command line asks of the daemon of its state directory.
public struct ControlRequest: Sendable {
  public var method: String
  public var path: String
  public var headers: [String: String]
  public var body: [UInt8]

  public init(method: String, path: String, headers: [String: String] = [:], body: [UInt8] = []) {
    self.method = method
    self.path = path
    self.headers = headers
    self.body = body
  }

  public static let status = ControlRequest(method: "GET", path: "/api/v0/status")

  /// The keys of the machines that the daemon's network has now.
  static let members = ControlRequest(method: "GET", path: "/api/v0/members")

  public static func shutdown(instance: String) -> ControlRequest {
    ControlRequest(method: "POST", path: "/api/v0/shutdown", headers: [instanceHeader: instance])
  }

  public static func command(_ name: String, _ arguments: JSONObject) -> ControlRequest {
    ControlRequest(method: "POST", path: "/api/v0/commands/" + name, body: JSONValue.object(arguments).encoded)
  }

  /// Names the process that is meant, so that a daemon which was just started is not stopped for its predecessor.
  static let instanceHeader = "x-meshd-instance-id"

  func header(_ name: String) -> String? { headers[name.lowercased()] }
}

/// What the daemon answers: an HTTP status and a JSON value. Errors are `{"error": text}`.
public struct ControlResponse: Sendable {
  public var status: Int
  public var body: JSONValue

  public init(_ status: Int, _ body: JSONValue) {
    self.status = status
    self.body = body
  }

  public static func error(_ status: Int, _ text: String) -> ControlResponse {
    ControlResponse(status, ["error": .string(text)])
  }
}
