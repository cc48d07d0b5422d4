import DWN
import Identity
import Wire

/// One line of an export: JSON, and all of them together zstd-compressed.
///
/// | line | members |
/// | --- | --- |
/// | the first | `export`: `meshd-dwn`, `version`: 1, `tenant`, `exportedAt`, `messages` |
/// | one for each message, in the order of the feed | `message`; `encodedData` or `dataSize`; `kept`: what only the node knows |
/// | after a message with `dataSize` | `data`: the next bytes, base64url, until there are so many |
/// | the last | `end`: how many messages there were |
enum ExportLine {
  case head(Head)
  case message(Entry)
  case data([UInt8])
  case end(messages: Int)

  struct Head: Hashable {
    var tenant: DID
    var exportedAt: WallTime
    var messages: Int
  }

  struct Entry {
    enum Content {
      case none
      case bytes([UInt8])
      /// So many bytes in the lines that follow.
      case following(Int)
    }

    var message: JSONValue
    var content: Content
    var kept: Kept
  }

  /// What no message says of itself.
  struct Kept: Hashable {
    var arrived: WallTime?
    var share: StoredMessage.Share
    var grant: RecordID?
  }

  static let format = "meshd-dwn"
  static let version: Int64 = 1
  /// Bytes of data on one line.
  static let chunk = 192 << 10
  /// A message with data, or a chunk, each with what JSON puts around it.
  static let longest = 512 << 10

  var json: JSONValue {
    switch self {
    case .head(let head):
      return [
        "export": .string(Self.format), "version": .integer(Self.version), "tenant": .string(head.tenant.text),
        "exportedAt": .string(head.exportedAt.timestamp), "messages": .integer(Int64(head.messages)),
      ]
    case .message(let entry):
      var object: JSONObject = ["message": entry.message]
      switch entry.content {
      case .none: break
      case .bytes(let bytes): object["encodedData"] = .string(Base64.encode(bytes))
      case .following(let size): object["dataSize"] = .integer(Int64(size))
      }
      object["kept"] = entry.kept.json
      return .object(object)
    case .data(let bytes): return ["data": .string(Base64.encode(bytes))]
    case .end(let messages): return ["end": .integer(Int64(messages))]
    }
  }

  /// `nil` for what is no line of an export.
  init?(_ text: ArraySlice<UInt8>) {
    guard let json = try? JSONValue(parsing: text, depth: Message.maximumDepth + 2, limit: Self.longest) else {
      return nil
    }
    if let message = json["message"], message.object != nil {
      guard let content = Entry.Content(json) else { return nil }
      self = .message(Entry(message: message, content: content, kept: Kept(json["kept"])))
    } else if let data = json["data"]?.string.flatMap({ Base64.decode($0) }) {
      self = .data(data)
    } else if let messages = json["end"]?.integer {
      self = .end(messages: Int(messages))
    } else if json["export"]?.string == Self.format, json["version"]?.integer == Self.version,
      let tenant = json["tenant"]?.string.flatMap({ DID($0) }), let messages = json["messages"]?.integer,
      let time = json["exportedAt"]?.string.flatMap({ WallTime(timestamp: $0) })
    {
      self = .head(Head(tenant: tenant, exportedAt: time, messages: Int(messages)))
    } else {
      return nil
    }
  }
}

extension ExportLine.Entry.Content {
  fileprivate init?(_ json: JSONValue) {
    if let encoded = json["encodedData"] {
      guard let bytes = encoded.string.flatMap({ Base64.decode($0) }) else { return nil }
      self = .bytes(bytes)
    } else if let size = json["dataSize"] {
      guard let size = size.integer, size > 0 else { return nil }
      self = .following(Int(size))
    } else {
      self = .none
    }
  }
}

extension ExportLine.Kept {
  fileprivate var json: JSONValue? {
    var object = JSONObject()
    object["arrived"] = arrived.map { .string($0.timestamp) }
    if share != .tenant { object["share"] = .integer(Int64(share.rawValue)) }
    object["grant"] = grant.map { .string($0.text) }
    return object.isEmpty ? nil : .object(object)
  }

  fileprivate init(_ json: JSONValue?) {
    arrived = json?["arrived"]?.string.flatMap { WallTime(timestamp: $0) }
    share = json?["share"]?.integer.flatMap { StoredMessage.Share(rawValue: Int($0)) } ?? .tenant
    grant = json?["grant"]?.string.flatMap { RecordID($0) }
  }
}
