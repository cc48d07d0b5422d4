public import Wire

/// What a node answers.
public struct Reply: Sendable, Hashable {
  public struct Status: Hashable, Sendable {
    public var code: Int
    public var detail: String

    public init(_ code: Int, _ detail: String) {
      self.code = code
      self.detail = detail
    }

    public var isSuccess: Bool { (200..<300).contains(code) }
  }

  public var status: Status
  /// Everything beside `status`: `entries`, `entry`, `cursor` …
  public var members: JSONObject
  /// Data that travels beside the reply: that of a record that was read.
  public var data: [UInt8]?

  public init(_ status: Status, members: JSONObject = JSONObject(), data: [UInt8]? = nil) {
    self.status = status
    self.members = members
    self.data = data
  }

  public init(_ error: DWNError) {
    self.init(Status(error.status, error.description))
  }

  public var json: JSONValue {
    var object: JSONObject = ["status": ["code": .integer(Int64(status.code)), "detail": .string(status.detail)]]
    for (name, value) in members.members { object[name] = value }
    return .object(object)
  }

  /// `nil` unless it has a status, whose detail is clipped: a node may say what it likes, and people read it.
  public init?(_ json: JSONValue, data: [UInt8]? = nil) {
    guard var object = json.object, let code = json["status"]?["code"]?.integer, (100...599).contains(code) else {
      return nil
    }
    object["status"] = nil
    self.init(
      Status(Int(code), (json["status"]?["detail"]?.string ?? "").clipped()), members: object, data: data)
  }

  /// The entries of a query: writes, or definitions.
  public var entries: [ReplyEntry] {
    (members["entries"]?.array ?? []).compactMap { ReplyEntry($0) }
  }

  /// The record of a read, or of a read that found a delete (404).
  public var entry: ReplyEntry? {
    guard let entry = members["entry"]?.object else { return nil }
    let write = entry["recordsWrite"]
    guard let message = write ?? entry["recordsDelete"] ?? entry["message"], var result = ReplyEntry(message) else {
      return nil
    }
    result.initialWrite = entry["initialWrite"].map(ReplyEntry.withoutTransport)
    result.data = data ?? result.data ?? entry["encodedData"]?.string.flatMap { Base64.decode($0) }
    return result
  }
}

/// A message in a reply, without the members that belong to the reply only.
public struct ReplyEntry: Sendable, Hashable {
  public var message: JSONValue
  public var data: [UInt8]?
  /// Comes with a write that is not itself the initial one.
  public var initialWrite: JSONValue?

  public init(message: JSONValue, data: [UInt8]? = nil, initialWrite: JSONValue? = nil) {
    self.message = message
    self.data = data
    self.initialWrite = initialWrite
  }

  /// Takes `encodedData`, `initialWrite` and the `recordsWrite` wrapper off. `nil` if no object is left.
  public init?(_ json: JSONValue) {
    guard let outer = json.object else { return nil }
    guard let inner = (outer["recordsWrite"] ?? json).object else { return nil }
    var message = inner
    let encoded = inner["encodedData"] ?? outer["encodedData"]
    message["encodedData"] = nil
    message["initialWrite"] = nil
    self.message = .object(message)
    self.data = encoded?.string.flatMap { Base64.decode($0) }
    self.initialWrite = (inner["initialWrite"] ?? outer["initialWrite"]).map(ReplyEntry.withoutTransport)
  }

  static func withoutTransport(_ json: JSONValue) -> JSONValue {
    guard var object = json.object else { return json }
    object["encodedData"] = nil
    return .object(object)
  }

  /// As it stands in the `entries` of a reply.
  public var json: JSONValue {
    guard var object = message.object else { return message }
    object["encodedData"] = data.map { .string(Base64.encode($0)) }
    object["initialWrite"] = initialWrite
    return .object(object)
  }
}
