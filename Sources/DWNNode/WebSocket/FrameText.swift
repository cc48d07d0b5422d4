import DWN
import Wire

/// Keeps what is sent to a subscriber below the bound of a frame (dwn-server 12.4).
enum FrameText {
  /// An event, without its data if it is too long with it, and then without the record's initial write. The client fetches what
  /// it misses by RecordsRead. `nil` for one that is too long all the same: a client that takes no such frame would ask for it again,
  /// from the same place, for ever.
  static func event(_ frame: SubscriptionFrame, subscription: String, limit: Int) -> [UInt8]? {
    func text(_ frame: SubscriptionFrame) -> [UInt8] {
      let json: JSONValue = ["jsonrpc": "2.0", "id": .string(subscription), "result": ["subscription": frame.json]]
      return json.encoded
    }
    var fitting = text(frame)
    guard case .event(var event) = frame else { return fitting }
    if fitting.count > limit, event.entry.data != nil {
      event.entry.data = nil
      fitting = text(.event(event))
    }
    if fitting.count > limit, event.entry.initialWrite != nil {
      event.entry.initialWrite = nil
      fitting = text(.event(event))
    }
    return fitting.count <= limit ? fitting : nil
  }

  /// The reply to a subscription without a cursor brings what matches now. If that is too long, it ends earlier, with a cursor as if a
  /// limit had been asked for. Entries are made shorter as events are, and are left out like these.
  static func subscribed(
    _ reply: Reply, call: RPCCall, subscription: String, sort: DateSort, limit: Int
  ) -> [UInt8] {
    var reply = reply
    reply.members["subscription"] = ["id": .string(subscription)]
    let whole = call.success(["reply": reply.json]).encoded
    guard whole.count > limit, let entries = reply.members["entries"]?.array else { return whole }
    let room = limit - (whole.count - JSONValue.array(entries).encoded.count) - largestCursor
    var (size, seen) = (0, 0)
    var kept: [JSONValue] = []
    for entry in entries {
      if let fitting = fitting(entry, into: room) {
        let length = fitting.encoded.count + 1
        guard size + length <= room else { break }
        size += length
        kept.append(fitting)
      }
      seen += 1
    }
    reply.members["entries"] = .array(kept)
    if seen < entries.count { reply.members["cursor"] = cursor(after: entries[seen - 1], sort: sort)?.json }
    return call.success(["reply": reply.json]).encoded
  }

  /// An entry that may stand alone; `nil` if it cannot.
  private static func fitting(_ entry: JSONValue, into room: Int) -> JSONValue? {
    guard entry.encoded.count + 1 > room, var shorter = entry.object else { return entry }
    shorter["encodedData"] = nil
    return JSONValue.object(shorter).encoded.count + 1 <= room ? .object(shorter) : nil
  }

  /// Bytes that a pagination cursor takes with its name, at most.
  private static let largestCursor = 256

  private static func cursor(after entry: JSONValue, sort: DateSort) -> Pagination.Cursor? {
    guard let message = ReplyEntry(entry)?.message, let descriptor = message["descriptor"] else { return nil }
    let value =
      switch sort {
      case .createdAscending, .createdDescending: descriptor["dateCreated"]
      case .publishedAscending, .publishedDescending: descriptor["datePublished"]
      case .updatedAscending, .updatedDescending: descriptor["messageTimestamp"]
      }
    return value.map { Pagination.Cursor(messageCID: CID(of: message).text, value: $0) }
  }
}
