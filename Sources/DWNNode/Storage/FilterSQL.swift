import DWN
import GRDB
import Identity
import Wire

/// A filter as conditions of SQL over the columns of a message, each beginning with ` AND `.
struct FilterSQL {
  private(set) var text = ""
  private(set) var values: [any DatabaseValueConvertible] = []

  /// With `hangsDeeper`, records of the filter's path may have longer contexts than the path has levels.
  init(_ filter: RecordsFilter, hangsDeeper: Bool) {
    equal("protocol", filter.protocolURI)
    equal("path", filter.path?.text)
    equal("schema", filter.schema)
    equal("record_id", filter.recordID?.text)
    equal("parent_id", filter.parentID?.text)
    equal("data_format", filter.dataFormat)
    equal("data_cid", filter.dataCID)
    equal("attester", filter.attester?.text)
    any("author", of: filter.author)
    any("recipient", of: filter.recipient)
    if let context = filter.contextID { add(context, of: filter, hangsDeeper) }
    if let published = filter.published { add(published ? "published" : "NOT published") }
    if let size = filter.dataSize { add("data_size BETWEEN ? AND ?", size.lowerBound, size.upperBound) }
    range("date_created", filter.dateCreated)
    range("timestamp", filter.dateUpdated)
    if let dates = filter.datePublished {
      add("published")
      range("date_published", dates)
    }
    for (name, tag) in filter.tags.sorted(by: { $0.key < $1.key }) { add(tag, name: name) }
  }

  mutating func add(_ arm: SelectionArm) {
    switch arm {
    case .everything: break
    case .published: add("published")
    case .author(let author): add("author = ?", author.text)
    case .recipient(let recipient): add("recipient = ?", recipient.text)
    }
  }

  /// The live records below one parent are counted by creation, then by id; no further than it matters.
  mutating func add(_ occupancy: Selection.Occupancy) {
    let earlier = """
      SELECT 1 FROM message AS other INDEXED BY message_place WHERE other.tenant = message.tenant \
      AND other.protocol = message.protocol AND other.path = message.path \
      AND other.parent_context = message.parent_context AND other.is_latest AND other.kind = 'write' \
      AND other.date_created <= message.date_created \
      AND (other.date_created, other.record_id) < (message.date_created, message.record_id) LIMIT ?
      """
    add(
      "NOT (kind = 'write' AND protocol = ? AND path = ? AND (SELECT count(*) FROM (\(earlier))) >= ?)",
      occupancy.protocolURI, occupancy.path.text, occupancy.maximum, occupancy.maximum)
  }

  private mutating func add(_ condition: String, _ values: (any DatabaseValueConvertible)...) {
    text += " AND " + condition
    self.values += values
  }

  private mutating func equal(_ column: String, _ value: String?) {
    if let value { add("\(column) = ?", value) }
  }

  private mutating func any(_ column: String, of dids: [DID]) {
    guard !dids.isEmpty else { return }
    text += " AND \(column) IN (" + dids.map { _ in "?" }.joined(separator: ", ") + ")"
    values += dids.map { $0.text as any DatabaseValueConvertible }
  }

  private mutating func range(_ column: String, _ range: RecordsFilter.DateRange?) {
    if let from = range?.from { add("\(column) >= ?", from.timestamp) }
    if let to = range?.to { add("\(column) < ?", to.timestamp) }
  }

  /// `0` follows `/`: between the two lies everything that begins with the context and a slash.
  private mutating func add(_ context: ContextID, of filter: RecordsFilter, _ hangsDeeper: Bool) {
    if let parent = filter.parentPlace(hangsDeeper: hangsDeeper) {
      add("parent_context = ?", parent.text)
    } else if filter.contextAbove(hangsDeeper: hangsDeeper) != nil {
      // The parents lie in the subtree, too, and an index has them.
      add("parent_context >= ? AND parent_context < ?", context.text + "/", context.text + "0")
    } else {
      add("context_id >= ? AND context_id < ?", context.text, context.text + "0")
      add("(context_id = ? OR context_id >= ?)", context.text, context.text + "/")
    }
  }

  private mutating func add(_ tag: RecordsFilter.TagFilter, name: String) {
    var condition = ""
    var found: [any DatabaseValueConvertible] = [name]
    func compare(_ value: JSONValue, _ comparison: String) {
      switch value {
      case .string(let text):
        condition += " AND text_value \(comparison) ?"
        found.append(text)
      case .bool(let flag):
        condition += " AND bool_value \(comparison) ?"
        found.append(flag)
      default:
        condition += " AND number_value \(comparison) ?"
        found.append(value.double ?? 0)
      }
    }
    switch tag {
    case .equals(let value): compare(value, "=")
    case .startsWith(let prefix):
      condition += " AND substr(text_value, 1, length(?)) = ?"
      found += [prefix, prefix]
    case .range(let lower, let upper):
      if let lower { compare(lower.value, lower.isInclusive ? ">=" : ">") }
      if let upper { compare(upper.value, upper.isInclusive ? "<=" : "<") }
    }
    text +=
      " AND EXISTS (SELECT 1 FROM tag INDEXED BY tag_message WHERE tag.message = message.id AND tag.name = ?\(condition))"
    values += found
  }
}
