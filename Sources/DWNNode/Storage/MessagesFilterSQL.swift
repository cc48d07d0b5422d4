import DWN
import GRDB
import Wire

/// Filters over a whole feed as conditions of SQL: one of them must hold. Begins with ` AND ` unless it is empty.
struct MessagesFilterSQL {
  private(set) var text = ""
  private(set) var values: [any DatabaseValueConvertible] = []

  init(_ filters: [MessagesFilter]) {
    guard !filters.isEmpty else { return }
    text =
      " AND (" + filters.map { "(" + conditions($0).joined(separator: " AND ") + ")" }.joined(separator: " OR ") + ")"
  }

  private mutating func conditions(_ filter: MessagesFilter) -> [String] {
    var conditions: [String] = []
    if let kinds = Self.kinds(filter) {
      conditions.append("kind IN (" + kinds.map { _ in "?" }.joined(separator: ", ") + ")")
      values += kinds.map { $0.rawValue }
    }
    if let uri = filter.protocolURI {
      // A permission record is about another protocol, too.
      conditions.append(
        "(protocol = ? OR (protocol = ? AND (EXISTS (SELECT 1 FROM tag INDEXED BY tag_message "
          + "WHERE tag.message = message.id AND tag.name = 'protocol' AND tag.text_value = ?) "
          // Tags are kept of what stands for its record.
          + "OR (kind = 'write' AND NOT is_latest AND json_extract(json, '$.descriptor.tags.protocol') = ?))))")
      values += [uri, PermissionsProtocol.uri, uri, uri]
    }
    for (column, prefix) in [("path", filter.pathPrefix), ("context_id", filter.contextPrefix)] {
      guard let prefix else { continue }
      conditions.append("(\(column) = ? OR (\(column) >= ? AND \(column) < ?))")
      values += [prefix, prefix + "/", prefix + "0"]
    }
    if let from = filter.timestamp?.from {
      conditions.append("timestamp >= ?")
      values.append(from.timestamp)
    }
    if let to = filter.timestamp?.to {
      conditions.append("timestamp < ?")
      values.append(to.timestamp)
    }
    return conditions.isEmpty ? ["1"] : conditions
  }

  /// `nil` if the filter says nothing of them.
  private static func kinds(_ filter: MessagesFilter) -> [StoredMessage.Kind]? {
    guard filter.interface != nil || filter.method != nil else { return nil }
    return [.write, .delete, .configure].filter { kind in
      filter.interface.map { $0 == kind.interface } ?? true && filter.method.map { $0 == kind.method } ?? true
    }
  }
}
