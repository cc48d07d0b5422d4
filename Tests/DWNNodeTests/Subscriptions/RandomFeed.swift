import DWN
import Identity
import TestSupport
import Wire

@testable import DWNNode

/// Messages and filters from a world so small that they often meet.
struct RandomFeed {
  let random: SeededRandom
  private let dids: [DID] = ["a", "b", "c"].map { DID("did:example:\($0)")! }
  private let uris = ["https://example.org/one", "https://example.org/two", PermissionsProtocol.uri]
  private let paths: [ProtocolPath] = ["x", "y", "x/y", "x/y/z", "xx"]
  private let ids = ["r", "s", "t", "rr"]
  private let schemas = ["https://example.org/s", "https://example.org/t"]
  private let values: [JSONValue] = [
    "a", "ab", "b", "é", "", 1, 2, .number(1.5), true, false, "1", .string(PermissionsProtocol.uri),
    "https://example.org/one",
  ]
  private let start = WallTime(timestamp: "2026-01-01T00:00:00.000000Z")!

  func number(_ bound: Int) -> Int { Int(random.uniform(below: UInt64(bound))) }
  func pick<Value>(_ values: [Value]) -> Value { values[number(values.count)] }
  private func maybe<Value>(_ odds: Int, _ value: () -> Value) -> Value? { number(odds) == 0 ? value() : nil }
  private func time() -> WallTime { start + .seconds(Int64(number(6))) }
  private func context() -> ContextID {
    ContextID((0...number(3)).map { _ in pick(ids) }.joined(separator: "/"))!
  }
  private func dataCID() -> CID { CID(of: .integer(Int64(number(3)))) }

  func tags() -> JSONObject {
    var tags = JSONObject()
    for name in ["protocol", "n", "m"] where number(2) == 0 {
      tags[name] = number(4) == 0 ? .array([pick(values), pick(values)]) : pick(values)
    }
    return tags
  }

  /// `number` makes it different from all others.
  func message(_ number: Int) -> StoredMessage {
    let kind: StoredMessage.Kind = pick([.write, .write, .write, .delete, .configure])
    let cid = CID(of: .array(["message", .integer(Int64(number))])).text
    var message = StoredMessage(
      kind: kind, cid: cid, element: cid, author: pick(dids), timestamp: time(), json: "{}", protocolURI: pick(uris),
      isPublishedDefinition: kind == .configure && self.number(2) == 0, isLatest: self.number(6) > 0)
    guard kind != .configure else { return message }
    let context = context()
    message.place = StoredMessage.Place(
      recordID: context.record, contextID: context, path: pick(paths), recipient: maybe(2) { pick(dids) },
      schema: maybe(2) { pick(schemas) }, dateCreated: time())
    let published = maybe(2) { time() }
    let tags = maybe(2) { self.tags() }
    if kind == .delete {
      message.ended = .init(isPublished: published != nil, datePublished: published, tags: tags)
    } else {
      message.attester = maybe(3) { pick(dids) }
      message.content = StoredMessage.Content(
        dataFormat: pick(["f", "g"]), dataCID: dataCID(), dataSize: self.number(5), isPublished: published != nil,
        datePublished: published, isSquash: false, isInitial: self.number(2) == 0, tags: tags ?? [:])
    }
    return message
  }

  func filter() -> FeedFilter {
    guard number(4) == 0 else { return .records(recordsFilter()) }
    return .messages((0..<number(3)).map { _ in messagesFilter() })
  }

  func recordsFilter() -> RecordsFilter {
    var filter = RecordsFilter()
    let odds = 2 + number(6)
    filter.protocolURI = maybe(2) { pick(uris) }
    filter.path = maybe(odds) { pick(paths) }
    filter.schema = maybe(odds) { pick(schemas) }
    filter.recordID = maybe(odds) { RecordID(pick(ids))! }
    filter.parentID = maybe(odds) { RecordID(pick(ids))! }
    filter.contextID = maybe(odds) { context() }
    filter.author = maybe(odds) { (0...number(2)).map { _ in pick(dids) } } ?? []
    filter.recipient = maybe(odds) { (0...number(2)).map { _ in pick(dids) } } ?? []
    filter.attester = maybe(odds * 2) { pick(dids) }
    filter.published = maybe(odds) { number(2) == 0 }
    filter.dataFormat = maybe(odds * 2) { pick(["f", "g"]) }
    filter.dataCID = maybe(odds * 2) { dataCID().text }
    filter.dataSize = maybe(odds * 2) { 1...3 }
    filter.dateCreated = maybe(odds) { range() }
    filter.dateUpdated = maybe(odds) { range() }
    filter.datePublished = maybe(odds) { range() }
    for name in ["n", "m"] where number(odds) == 0 { filter.tags[name] = tagFilter() }
    // A path says how deep its records are.
    if filter.path != nil { filter.contextID = nil }
    return filter
  }

  private func messagesFilter() -> MessagesFilter {
    var filter = MessagesFilter()
    filter.interface = maybe(3) { pick(["Records", "Protocols", "Messages"]) }
    filter.method = maybe(3) { pick(["Write", "Delete", "Configure"]) }
    filter.protocolURI = maybe(2) { pick(uris) }
    filter.pathPrefix = maybe(3) { pick(paths).text }
    filter.contextPrefix = maybe(3) { context().text }
    filter.timestamp = maybe(3) { range() }
    return filter
  }

  private func range() -> RecordsFilter.DateRange {
    switch number(3) {
    case 0: .init(from: time())
    case 1: .init(to: time())
    default: .init(from: time(), to: time())
    }
  }

  private func tagFilter() -> RecordsFilter.TagFilter {
    switch number(3) {
    case 0: .equals(pick(values))
    case 1: .startsWith(pick(["a", "", "é", "https"]))
    default:
      (try? RecordsFilter(["tags": ["n": pick([["gte": 1, "lt": 2], ["gt": "a"], ["lte": "ab"], ["gt": 1]])]]))?
        .tags["n"] ?? .equals(1)
    }
  }
}

/// What a filter means, said as plainly as possible: one member after the other, over what is known of a message by name.
struct PlainFilter {
  let filter: FeedFilter

  func matches(_ message: StoredMessage) -> Bool {
    switch filter {
    case .records(let filter): message.isLatest && message.kind != .configure && holds(filter.json, message)
    case .messages(let filters): filters.isEmpty || filters.contains { holds($0.json, message) }
    }
  }

  private func holds(_ filter: JSONValue, _ message: StoredMessage) -> Bool {
    (filter.object?.members ?? []).allSatisfy { name, wanted in holds(name, wanted, message) }
  }

  private func holds(_ name: String, _ wanted: JSONValue, _ message: StoredMessage) -> Bool {
    let content = message.content
    let place = message.place
    switch name {
    case "protocol":
      if message.protocolURI == wanted.string { return true }
      guard case .messages = filter, message.protocolURI == PermissionsProtocol.uri else { return false }
      let named = (content?.tags ?? message.ended?.tags)?["protocol"]
      return named == wanted || named?.array?.contains(wanted) == true
    case "protocolPath": return place?.path.text == wanted.string
    case "schema": return place?.schema == wanted.string
    case "recordId": return place?.recordID.text == wanted.string
    case "parentId": return place?.contextID.parent?.record.text == wanted.string
    case "contextId", "contextIdPrefix": return isWithin(place?.contextID.text, wanted)
    case "protocolPathPrefix": return isWithin(place?.path.text, wanted)
    case "author": return (wanted.array ?? [wanted]).contains { $0.string == message.author.text }
    case "recipient": return (wanted.array ?? [wanted]).contains { $0.string == place?.recipient?.text }
    case "attester": return message.attester?.text == wanted.string
    case "published": return message.isPublished == wanted.bool
    case "dataFormat": return content?.dataFormat == wanted.string
    case "dataCid": return content?.dataCID.text == wanted.string
    case "dataSize": return content.map { (1...3).contains($0.dataSize) } ?? false
    case "dateCreated": return isWithin(place?.dateCreated, wanted)
    case "dateUpdated", "messageTimestamp": return isWithin(message.timestamp, wanted)
    case "datePublished": return isWithin(message.datePublished, wanted)
    case "interface": return wanted == (message.kind == .configure ? "Protocols" : "Records")
    case "method":
      return wanted == (message.kind == .configure ? "Configure" : message.kind == .delete ? "Delete" : "Write")
    case "tags":
      let tags = content?.tags ?? message.ended?.tags
      return (wanted.object?.members ?? []).allSatisfy { name, condition in
        guard let value = tags?[name] else { return false }
        return (value.array ?? [value]).contains { holds(condition, $0) }
      }
    default: return false
    }
  }

  private func isWithin(_ text: String?, _ prefix: JSONValue) -> Bool {
    guard let text, let prefix = prefix.string else { return false }
    return (text + "/").hasPrefix(prefix + "/")
  }

  private func isWithin(_ time: WallTime?, _ range: JSONValue) -> Bool {
    guard let time = time?.timestamp else { return false }
    return range["from"]?.string.map { time >= $0 } ?? true && range["to"]?.string.map { time < $0 } ?? true
  }

  private func holds(_ condition: JSONValue, _ value: JSONValue) -> Bool {
    guard let bounds = condition.object else { return isEqual(condition, value) }
    return bounds.members.allSatisfy { name, bound in
      if name == "startsWith" { return value.string?.hasPrefix(bound.string ?? "?") ?? false }
      if let a = value.string, let b = bound.string { return compare(name, a, b) }
      if let a = value.double, let b = bound.double { return compare(name, a, b) }
      return false
    }
  }

  private func isEqual(_ a: JSONValue, _ b: JSONValue) -> Bool {
    if let a = a.double, let b = b.double { return a == b }
    return a == b
  }

  private func compare<Value: Comparable>(_ name: String, _ a: Value, _ b: Value) -> Bool {
    switch name {
    case "gt": a > b
    case "gte": a >= b
    case "lt": a < b
    default: a <= b
    }
  }
}
