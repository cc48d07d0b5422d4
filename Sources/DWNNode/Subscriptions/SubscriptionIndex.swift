import DWN
import Identity
import Wire

/// Finds those whose filter a message matches, at a cost that follows what it finds and not how many listen.
///
/// Equal filters make one group. A filter is kept under the narrowest thing that it asks to be equal; a message is looked up under
/// everything that it has, some fifteen places and the values of those tags that somebody asks for, and only the filters found there
/// are compared with it.
struct SubscriptionIndex<ID: Hashable & Sendable>: Sendable {
  typealias GroupID = Int

  private enum Key: Hashable {
    case record(RecordID)
    case parent(RecordID)
    /// Of the filter; of a message its own, or one above it.
    case context(String)
    case recipient(DID)
    case author(DID)
    case data(String)
    case tag(String, TagValue)
    case path(String, ProtocolPath)
    case schema(String)
    case inProtocol(String)
    case any
  }

  /// Texts that look alike are one here; the filter tells them apart.
  private enum TagValue: Hashable {
    case text(String)
    case number(Double)
    case flag(Bool)

    init?(_ value: JSONValue) {
      if let text = value.string {
        self = .text(text)
      } else if let flag = value.bool {
        self = .flag(flag)
      } else if let number = value.double {
        self = .number(number)
      } else {
        return nil
      }
    }
  }

  private struct Group {
    let filter: FeedFilter
    var members: Set<ID>
  }

  private var groups: [GroupID: Group] = [:]
  /// By the filters' bytes: texts that only look alike are two.
  private var groupOfFilter: [[UInt8]: GroupID] = [:]
  private var groupOfMember: [ID: GroupID] = [:]
  private var places: [Key: Set<GroupID>] = [:]
  /// The names of the tags under whose values filters are kept, and how many are.
  private var tagNames: [String: Int] = [:]
  private var lastGroup = 0

  init() {}

  var count: Int { groupOfMember.count }

  /// Those to whom the tags of a message may matter.
  func askingForTags(ofPermissions: Bool) -> Set<ID> {
    groups.values.reduce(into: []) { found, group in
      if group.filter.asksForTags(ofPermissions: ofPermissions) { found.formUnion(group.members) }
    }
  }

  mutating func insert(_ id: ID, _ filter: FeedFilter) {
    remove(id)
    let group = groupOfFilter[filter.bytes] ?? newGroup(filter)
    groups[group]?.members.insert(id)
    groupOfMember[id] = group
  }

  mutating func remove(_ id: ID) {
    guard let group = groupOfMember.removeValue(forKey: id) else { return }
    groups[group]?.members.remove(id)
    guard let left = groups[group], left.members.isEmpty else { return }
    groups[group] = nil
    groupOfFilter[left.filter.bytes] = nil
    for key in Self.keys(of: left.filter) {
      places[key]?.remove(group)
      if places[key]?.isEmpty == true { places[key] = nil }
      countTag(of: key, by: -1)
    }
  }

  /// The groups whose filter a message matches. Throws if the message cannot be read.
  func matches(_ message: StoredMessage) throws -> Set<GroupID> {
    var found: Set<GroupID> = []
    for key in try keys(of: message) {
      for group in places[key] ?? [] where !found.contains(group) {
        if try groups[group]?.filter.matches(message) == true { found.insert(group) }
      }
    }
    return found
  }

  /// How many filters are compared with a message.
  func candidates(for message: StoredMessage) throws -> Int {
    try keys(of: message).reduce(0) { $0 + (places[$1]?.count ?? 0) }
  }

  func members(of group: GroupID) -> Set<ID> { groups[group]?.members ?? [] }

  private mutating func newGroup(_ filter: FeedFilter) -> GroupID {
    lastGroup += 1
    groups[lastGroup] = Group(filter: filter, members: [])
    groupOfFilter[filter.bytes] = lastGroup
    for key in Self.keys(of: filter) {
      places[key, default: []].insert(lastGroup)
      countTag(of: key, by: 1)
    }
    return lastGroup
  }

  private mutating func countTag(of key: Key, by number: Int) {
    guard case .tag(let name, _) = key else { return }
    let left = tagNames[name, default: 0] + number
    tagNames[name] = left == 0 ? nil : left
  }

  // MARK: Places

  private static func keys(of filter: FeedFilter) -> [Key] {
    switch filter {
    case .records(let filter): keys(of: filter)
    case .messages(let filters): filters.isEmpty ? [.any] : filters.map { key(of: $0) }
    }
  }

  /// More than one only for a filter with a list: any of its values is enough.
  private static func keys(of filter: RecordsFilter) -> [Key] {
    if let record = filter.recordID { return [.record(record)] }
    if let parent = filter.parentID { return [.parent(parent)] }
    if !filter.recipient.isEmpty { return filter.recipient.map { .recipient($0) } }
    if !filter.author.isEmpty { return filter.author.map { .author($0) } }
    if let cid = filter.dataCID { return [.data(cid)] }
    if let tag = tagKey(of: filter) { return [tag] }
    if let context = filter.contextID { return [.context(context.text)] }
    if let uri = filter.protocolURI { return [filter.path.map { .path(uri, $0) } ?? .inProtocol(uri)] }
    return [filter.schema.map { .schema($0) } ?? .any]
  }

  private static func tagKey(of filter: RecordsFilter) -> Key? {
    for (name, condition) in filter.tags.sorted(by: { $0.key < $1.key }) {
      if case .equals(let value) = condition, let value = TagValue(value) { return .tag(name, value) }
    }
    return nil
  }

  private static func key(of filter: MessagesFilter) -> Key {
    if let context = filter.contextPrefix { return .context(context) }
    return filter.protocolURI.map { .inProtocol($0) } ?? .any
  }

  private func keys(of message: StoredMessage) throws -> [Key] {
    var keys: [Key] = [.any, .inProtocol(message.protocolURI)]
    keys += try message.concernedProtocols().map { .inProtocol($0) }
    guard let place = message.place else { return keys }
    keys += [.record(place.recordID), .author(message.author), .path(message.protocolURI, place.path)]
    if let recipient = place.recipient { keys.append(.recipient(recipient)) }
    if let schema = place.schema { keys.append(.schema(schema)) }
    if let cid = message.content?.dataCID { keys.append(.data(cid.text)) }
    if !tagNames.isEmpty { keys += try tagKeys(of: message) }
    if let parent = place.contextID.parent { keys.append(.parent(parent.record)) }
    var context: ContextID? = place.contextID
    while let level = context {
      keys.append(.context(level.text))
      context = level.parent
    }
    return keys
  }

  /// Of those tags alone that somebody asks for.
  private func tagKeys(of message: StoredMessage) throws -> Set<Key> {
    var keys: Set<Key> = []
    for (name, value) in try message.tags()?.members ?? [] where tagNames[name] != nil {
      for value in value.array ?? [value] {
        if let value = TagValue(value) { keys.insert(.tag(name, value)) }
      }
    }
    return keys
  }
}
