import DWN
import Wire

/// Which messages of a feed somebody wants.
enum FeedFilter: Hashable, Sendable {
  /// What stands for its record: the newest write, or the delete that ended it.
  case records(RecordsFilter)
  /// Every message for which one of these holds; every message at all if there is none.
  case messages([MessagesFilter])

  /// Whether the tags of a message may decide; those of a permission record say which protocol it is about.
  func asksForTags(ofPermissions: Bool) -> Bool {
    switch self {
    case .records(let filter): !filter.tags.isEmpty
    case .messages(let filters): ofPermissions && filters.contains { $0.protocolURI != nil }
    }
  }

  var bytes: [UInt8] {
    switch self {
    case .records(let filter): filter.json.encoded
    case .messages(let filters): JSONValue.array(filters.map(\.json)).encoded
    }
  }
}
