public import Wire

/// What a node tells a subscriber, one at a time (`dwn-server.md` 9.3).
public enum SubscriptionFrame: Hashable, Sendable {
  /// A message that matches was stored.
  case event(SubscriptionEvent)
  /// Everything that was stored before the subscription has been told; what follows is new. Only after a resume.
  case endOfStored(ProgressToken)
  /// The subscription has ended, and this is why; nothing follows.
  case failed(ProgressToken?, code: String, detail: String)

  public var cursor: ProgressToken? {
    switch self {
    case .event(let event): event.cursor
    case .endOfStored(let cursor): cursor
    case .failed(let cursor, _, _): cursor
    }
  }

  /// `nil` if it is no frame, or one of a kind that is not known.
  public init?(_ json: JSONValue) {
    let cursor = json["cursor"].flatMap { ProgressToken($0) }
    switch json["type"]?.string {
    case "event":
      guard let cursor, let event = SubscriptionEvent(json, cursor: cursor) else { return nil }
      self = .event(event)
    case "eose":
      guard let cursor else { return nil }
      self = .endOfStored(cursor)
    case "error":
      self = .failed(
        cursor, code: json["error"]?["code"]?.string ?? "", detail: json["error"]?["detail"]?.string ?? "")
    default: return nil
    }
  }

  public var json: JSONValue {
    switch self {
    case .event(let event): return event.json
    case .endOfStored(let cursor): return ["type": "eose", "cursor": cursor.json]
    case .failed(let cursor, let code, let detail):
      var object: JSONObject = ["type": "error"]
      object["cursor"] = cursor?.json
      object["error"] = ["code": .string(code), "detail": .string(detail)]
      return .object(object)
    }
  }
}

/// A message that a tenant's node has stored, at its place in the feed.
public struct SubscriptionEvent: Hashable, Sendable {
  public var cursor: ProgressToken
  /// The message; its data if that is small and fits the frame; and its record's initial write, if it is not that itself.
  public var entry: ReplyEntry
  public var messageCID: CID
  /// Whether it is the newest of its record.
  public var isLatestBaseState: Bool
  public var protocolURI: String?

  public init(
    cursor: ProgressToken, entry: ReplyEntry, messageCID: CID, isLatestBaseState: Bool = true, protocolURI: String?
  ) {
    self.cursor = cursor
    self.entry = entry
    self.messageCID = messageCID
    self.isLatestBaseState = isLatestBaseState
    self.protocolURI = protocolURI
  }

  /// The name of the message is computed here, whatever the frame says.
  init?(_ json: JSONValue, cursor: ProgressToken) {
    guard let message = json["event"]?["message"], var entry = ReplyEntry(message) else { return nil }
    entry.initialWrite = json["event"]?["initialWrite"].map(ReplyEntry.withoutTransport)
    entry.data = entry.data ?? json["encodedData"]?.string.flatMap { Base64.decode($0) }
    self.init(
      cursor: cursor, entry: entry, messageCID: CID(of: entry.message),
      isLatestBaseState: json["isLatestBaseState"]?.bool ?? true, protocolURI: json["protocol"]?.string)
  }

  var json: JSONValue {
    var event: JSONObject = ["message": entry.message]
    event["initialWrite"] = entry.initialWrite
    var object: JSONObject = [
      "type": "event", "cursor": cursor.json, "event": .object(event), "seq": .string(cursor.position.text),
      "messageCid": .string(messageCID.text), "isLatestBaseState": .bool(isLatestBaseState),
    ]
    object["protocol"] = protocolURI.map { .string($0) }
    object["encodedData"] = entry.data.map { .string(Base64.encode($0)) }
    return .object(object)
  }
}
