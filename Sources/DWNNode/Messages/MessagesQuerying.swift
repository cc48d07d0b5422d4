import DWN
import Identity
import Wire

/// Answers a MessagesQuery: the entries of a tenant's feed after a position, whatever kind of message they are (dwn-server 9.5).
struct MessagesQuerying {
  let tokens: FeedTokens
  let reader: any MessageReader
  let limits: NodeLimits
  /// Whether small data is shown beside its message.
  let showsData: Bool

  /// Positions that one query goes over; the next one goes on from there.
  private static let stride: Int64 = 100_000
  /// Entries that are fetched from the store at a time.
  private static let fetchSize = 200

  func reply(to query: MessagesQuery) throws -> Reply {
    var after: Int64 = 0
    if let cursor = query.cursor {
      switch try tokens.resume(cursor, in: reader) {
      case .gap(let reply): return reply
      case .from(let position): after = position
      }
    }
    let head = try reader.head()
    let filter = FeedFilter.messages(query.filters)
    let page = try page(query, filter, after: after, through: min(head, after + Self.stride))
    var members: JSONObject = [
      "entries": .array(page.entries), "cursor": try tokens.token(page.end, in: reader).json,
      "drained": .bool(page.end == head),
    ]
    members["fingerprint"] = try fingerprint(of: query, through: head).map { .string($0) }
    return Reply(.init(200, "OK"), members: members)
  }

  private func page(
    _ query: MessagesQuery, _ filter: FeedFilter, after: Int64, through: Int64
  ) throws -> (entries: [JSONValue], end: Int64) {
    var entries: [JSONValue] = []
    var size = 0
    var end = after
    while true {
      let found = try reader.feed(FeedSpan(after: end, through: through, limit: Self.fetchSize, filter: filter))
      for message in found {
        let entry = try entry(message, cidsOnly: query.cidsOnly ?? false)
        size += entry.encoded.count
        guard entries.count < query.limit ?? .max, size <= limits.largestReply || entries.isEmpty else {
          return (entries, end)
        }
        entries.append(entry)
        end = message.position
      }
      if found.count < Self.fetchSize { return (entries, through) }
    }
  }

  private func entry(_ message: StoredMessage, cidsOnly: Bool) throws -> JSONValue {
    var entry: JSONObject = [
      "seq": .string(String(message.position)), "messageCid": .string(message.cid),
      "isLatestBaseState": .bool(message.isLatest), "protocol": .string(message.protocolURI),
    ]
    guard !cidsOnly else { return .object(entry) }
    entry["message"] = try message.message()
    if showsData, let content = message.content, content.dataSize <= NodeLimits.inlineData {
      entry["encodedData"] = try reader.data(of: message).map { .string(Base64.encode($0)) }
    }
    return .object(entry)
  }

  /// Of all that matches, up to the head. Without a filter it is at hand; with one, the whole feed is looked at, and there is none of a
  /// feed that is too long for that.
  private func fingerprint(of query: MessagesQuery, through head: Int64) throws -> String? {
    var fingerprint = FeedFingerprint()
    if query.filters.isEmpty {
      fingerprint = try reader.fingerprint()
    } else {
      guard try reader.usage().messages <= limits.mostFingerprinted else { return nil }
      let span = FeedSpan(after: 0, through: head, limit: .max, filter: .messages(query.filters))
      try reader.forEachCID(in: span) { fingerprint.toggle($0) }
    }
    return Hex.encode(fingerprint.bytes)
  }
}
