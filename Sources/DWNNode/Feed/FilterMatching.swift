import DWN
import Wire

extension FeedFilter {
  /// Whether a message matches, looked at by itself. It is what the node's database says of the same message.
  func matches(_ message: StoredMessage) throws -> Bool {
    switch self {
    case .records(let filter): try message.isLatest && filter.matches(message)
    case .messages(let filters): try filters.isEmpty || filters.contains { try $0.matches(message) }
    }
  }
}

extension RecordsFilter {
  fileprivate func matches(_ message: StoredMessage) throws -> Bool {
    guard let place = message.place, matches(place, message) else { return false }
    if let published, published != message.isPublished { return false }
    if let datePublished {
      guard let date = message.datePublished, message.isPublished, datePublished.contains(date) else { return false }
    }
    if let dataFormat, message.content?.dataFormat.utf8.elementsEqual(dataFormat.utf8) != true { return false }
    if let dataCID, dataCID != message.content?.dataCID.text { return false }
    if let dataSize {
      guard let size = message.content?.dataSize, dataSize.contains(Int64(size)) else { return false }
    }
    guard !tags.isEmpty else { return true }
    let held = try message.tags()
    return tags.allSatisfy { name, condition in
      guard let value = held?[name] else { return false }
      return (value.array ?? [value]).contains { condition.matches($0) }
    }
  }

  private func matches(_ place: StoredMessage.Place, _ message: StoredMessage) -> Bool {
    (protocolURI.map { $0 == message.protocolURI } ?? true) && (path.map { $0 == place.path } ?? true)
      && (schema.map { $0 == place.schema } ?? true) && (recordID.map { $0 == place.recordID } ?? true)
      && (parentID.map { $0 == place.contextID.parent?.record } ?? true)
      && (contextID.map { $0.contains(place.contextID) } ?? true)
      && (author.isEmpty || author.contains(message.author))
      && (recipient.isEmpty || place.recipient.map { recipient.contains($0) } ?? false)
      && (attester.map { $0 == message.attester } ?? true)
      && (dateCreated?.contains(place.dateCreated) ?? true) && (dateUpdated?.contains(message.timestamp) ?? true)
  }
}

extension RecordsFilter.TagFilter {
  /// Whether one value satisfies it: types are never mixed, and texts are compared by their bytes.
  func matches(_ value: JSONValue) -> Bool {
    switch self {
    case .equals(let wanted): return Self.order(value, wanted) == 0
    case .startsWith(let prefix): return value.string.map { $0.utf8.starts(with: prefix.utf8) } ?? false
    case .range(let lower, let upper):
      if let lower {
        guard let order = Self.order(value, lower.value), order > 0 || (order == 0 && lower.isInclusive) else {
          return false
        }
      }
      if let upper {
        guard let order = Self.order(value, upper.value), order < 0 || (order == 0 && upper.isInclusive) else {
          return false
        }
      }
      return true
    }
  }

  /// −1, 0 or 1; `nil` for values of two types.
  private static func order(_ a: JSONValue, _ b: JSONValue) -> Int? {
    if let a = a.string, let b = b.string {
      if a.utf8.elementsEqual(b.utf8) { return 0 }
      return a.utf8.lexicographicallyPrecedes(b.utf8) ? -1 : 1
    }
    if let a = a.bool, let b = b.bool { return a == b ? 0 : (b ? -1 : 1) }
    if let a = a.double, let b = b.double { return a == b ? 0 : (a < b ? -1 : 1) }
    return nil
  }
}

extension MessagesFilter {
  fileprivate func matches(_ message: StoredMessage) throws -> Bool {
    if let interface, interface != message.kind.interface { return false }
    if let method, method != message.kind.method { return false }
    if let pathPrefix, !Self.contains(pathPrefix, message.place?.path.text) { return false }
    if let contextPrefix, !Self.contains(contextPrefix, message.place?.contextID.text) { return false }
    if let timestamp, !timestamp.contains(message.timestamp) { return false }
    guard let protocolURI, protocolURI != message.protocolURI else { return true }
    return try message.concernedProtocols().contains(protocolURI)
  }

  private static func contains(_ prefix: String, _ text: String?) -> Bool {
    guard let text, text.utf8.starts(with: prefix.utf8) else { return false }
    let rest = text.utf8.dropFirst(prefix.utf8.count)
    return rest.isEmpty || rest.first == UInt8(ascii: "/")
  }
}

extension SelectionArm {
  func shows(_ message: StoredMessage) -> Bool {
    switch self {
    case .everything: true
    case .published: message.isPublished
    case .author(let author): message.author == author
    case .recipient(let recipient): message.place?.recipient == recipient
    }
  }
}

extension StoredMessage {
  /// What a permission record is about, beside the protocol that it belongs to (dwn-messages 6.3).
  func concernedProtocols() throws -> [String] {
    guard protocolURI == PermissionsProtocol.uri, let value = try tags()?["protocol"] else { return [] }
    return (value.array ?? [value]).compactMap(\.string)
  }
}

extension StoredMessage.Kind {
  /// As a Messages filter names it.
  var interface: String { self == .configure ? "Protocols" : "Records" }

  var method: String {
    switch self {
    case .write: "Write"
    case .delete: "Delete"
    case .configure: "Configure"
    }
  }
}
