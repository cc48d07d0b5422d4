import DWN
import Identity
import Wire

@testable import DWNNode

/// Filters and selections, one message at a time (dwn-messages 6, dwn-server 5.2).
extension ModelMessages {
  func find(_ selection: Selection) -> [StoredMessage] {
    let found = rows.filter { isFound($0, selection) }.map(\.message)
    func key(_ message: StoredMessage) -> (String, String) { (selection.sort.value(of: message), message.cid) }
    let sorted = found.sorted { selection.sort.isAscending ? key($0) < key($1) : key($0) > key($1) }
    return Array(sorted.prefix(selection.limit ?? .max))
  }

  func count(_ selection: Selection) -> Int { rows.count { isFound($0, selection) } }

  func head() -> Int64 { lastPosition }

  static func creation(_ message: StoredMessage) -> (String, String) {
    (message.place?.dateCreated.timestamp ?? "", message.place?.recordID.text ?? "")
  }

  private func isFound(_ row: Row, _ selection: Selection) -> Bool {
    let message = row.message
    guard message.isLatest, message.kind == .write || (selection.includesDeletes && message.kind == .delete),
      row.matches(selection.filter), selection.arms.contains(where: { row.isShown(by: $0) }),
      !selection.occupancy.contains(where: { isCrowdedOut(message, $0) })
    else { return false }
    let value = selection.sort.value(of: message)
    if [.publishedAscending, .publishedDescending].contains(selection.sort), !message.isPublished || value.isEmpty {
      return false
    }
    guard let after = selection.after else { return true }
    let (key, bound) = ((value, message.cid), (after.value, after.cid))
    return selection.sort.isAscending ? key > bound : key < bound
  }

  private func isCrowdedOut(_ message: StoredMessage, _ occupancy: Selection.Occupancy) -> Bool {
    guard message.kind == .write, message.protocolURI == occupancy.protocolURI, let place = message.place,
      place.path == occupancy.path
    else { return false }
    let siblings = live(
      at: SiblingPlace(protocolURI: occupancy.protocolURI, path: place.path, parent: place.contextID.parent))
    return siblings.count { Self.creation($0) < Self.creation(message) } >= occupancy.maximum
  }
}

extension ModelMessages.Row {
  func isShown(by arm: SelectionArm) -> Bool {
    switch arm {
    case .everything: true
    case .published: message.isPublished
    case .author(let author): message.author == author
    case .recipient(let recipient): message.place?.recipient == recipient
    }
  }

  func matches(_ filter: FeedFilter) -> Bool {
    switch filter {
    case .records(let filter): message.isLatest && matches(filter)
    case .messages(let filters): filters.isEmpty || filters.contains { matches($0) }
    }
  }

  private func matches(_ filter: MessagesFilter) -> Bool {
    func lies(_ text: String?, below prefix: String?) -> Bool {
      guard let prefix else { return true }
      return text.map { $0 == prefix || $0.hasPrefix(prefix + "/") } ?? false
    }
    // A write that does not stand for its record any more is about the same protocol as ever.
    let isEarlier = message.kind == .write && !message.isLatest
    let tags = isEarlier ? (try? message.message())?["descriptor"]?["tags"]?.object : tags
    let isOfProtocol =
      filter.protocolURI == nil || filter.protocolURI == message.protocolURI
      || (message.protocolURI == PermissionsProtocol.uri && filter.protocolURI == tags?["protocol"]?.string)
    return isOfProtocol && (filter.interface.map { $0 == message.kind.interface } ?? true)
      && (filter.method.map { $0 == message.kind.method } ?? true)
      && lies(message.place?.path.text, below: filter.pathPrefix)
      && lies(message.place?.contextID.text, below: filter.contextPrefix)
      && (filter.timestamp?.contains(message.timestamp) ?? true)
  }

  func matches(_ filter: RecordsFilter) -> Bool {
    guard let place = message.place else { return false }
    func equal<Value: Equatable>(_ wanted: Value?, _ value: Value?) -> Bool { wanted == nil || wanted == value }
    return equal(filter.protocolURI, message.protocolURI) && equal(filter.path, place.path)
      && equal(filter.schema, place.schema) && equal(filter.recordID, place.recordID)
      && equal(filter.parentID, place.contextID.parent?.record) && (filter.contextID?.contains(place.contextID) ?? true)
      && equal(filter.dataFormat, message.content?.dataFormat) && equal(filter.dataCID, message.content?.dataCID.text)
      && equal(filter.attester, message.attester) && equal(filter.published, message.isPublished)
      && (filter.author.isEmpty || filter.author.contains(message.author))
      && (filter.recipient.isEmpty || place.recipient.map { filter.recipient.contains($0) } ?? false)
      && (filter.dataSize.map { sizes in message.content.map { sizes.contains(Int64($0.dataSize)) } ?? false } ?? true)
      && (filter.dateCreated?.contains(place.dateCreated) ?? true)
      && (filter.dateUpdated?.contains(message.timestamp) ?? true)
      && (filter.datePublished.map { dates in
        message.isPublished && message.datePublished.map { dates.contains($0) } ?? false
      } ?? true)
      && filter.tags.allSatisfy { name, condition in
        guard let value = tags?[name] else { return false }
        return (value.array ?? [value]).contains { Self.holds(condition, $0) }
      }
  }

  private static func holds(_ condition: RecordsFilter.TagFilter, _ value: JSONValue) -> Bool {
    switch condition {
    case .equals(let wanted): compare(value, wanted) == 0
    case .startsWith(let prefix): value.string.map { $0.utf8.starts(with: prefix.utf8) } ?? false
    case .range(let lower, let upper):
      (lower.map { bound in compare(value, bound.value).map { $0 > 0 || ($0 == 0 && bound.isInclusive) } ?? false }
        ?? true)
        && (upper.map { bound in compare(value, bound.value).map { $0 < 0 || ($0 == 0 && bound.isInclusive) } ?? false }
          ?? true)
    }
  }

  /// Negative, zero or positive; `nil` for values of two types.
  private static func compare(_ a: JSONValue, _ b: JSONValue) -> Int? {
    if let a = a.string, let b = b.string {
      return a.utf8.elementsEqual(b.utf8) ? 0 : a.utf8.lexicographicallyPrecedes(b.utf8) ? -1 : 1
    }
    if let a = a.bool, let b = b.bool { return a == b ? 0 : b ? -1 : 1 }
    if let a = a.double, let b = b.double { return a == b ? 0 : a < b ? -1 : 1 }
    return nil
  }
}
