import DWN
import GRDB
import Identity
import Wire

/// A selection as a condition of SQL, with the values for its question marks. It follows `tenant = ? AND`.
struct SelectionSQL {
  private(set) var text: String
  private(set) var values: [any DatabaseValueConvertible] = []

  init(_ selection: Selection) {
    text = "is_latest AND " + (selection.includesDeletes ? "kind IN ('write', 'delete')" : "kind = 'write'")
    add(selection.filter)
    add(selection.visibility, filter: selection.filter)
    for occupancy in selection.occupancy { add(occupancy) }
    let sort = Sort(selection.sort)
    // Sorting by publication is about published records only.
    if sort.column == "date_published" { text += " AND date_published IS NOT NULL" }
    if let after = selection.after {
      text += " AND (\(sort.column), cid) \(sort.isAscending ? ">" : "<") (?, ?)"
      values += [after.value, after.cid]
    }
    let direction = sort.isAscending ? "ASC" : "DESC"
    text += " ORDER BY \(sort.column) \(direction), cid \(direction)"
    if let limit = selection.limit {
      text += " LIMIT ?"
      values.append(limit)
    }
  }

  /// The column that an order goes by.
  struct Sort {
    let column: String
    let isAscending: Bool

    init(_ sort: DateSort) {
      switch sort {
      case .createdAscending, .createdDescending: column = "date_created"
      case .publishedAscending, .publishedDescending: column = "date_published"
      case .updatedAscending, .updatedDescending: column = "timestamp"
      }
      switch sort {
      case .createdAscending, .publishedAscending, .updatedAscending: isAscending = true
      case .createdDescending, .publishedDescending, .updatedDescending: isAscending = false
      }
    }
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

  private mutating func add(_ filter: RecordsFilter) {
    equal("protocol", filter.protocolURI)
    equal("path", filter.path?.text)
    equal("schema", filter.schema)
    equal("record_id", filter.recordID?.text)
    equal("parent_id", filter.parentID?.text)
    equal("data_format", filter.dataFormat)
    equal("data_cid", filter.dataCID)
    any("author", of: filter.author)
    any("recipient", of: filter.recipient)
    if let context = filter.contextID?.text {
      // `0` follows `/`: between the two lies everything that begins with the context and a slash.
      add("(context_id = ? OR (context_id >= ? AND context_id < ?))", context, context + "/", context + "0")
    }
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

  private mutating func add(_ visibility: Selection.Visibility, filter: RecordsFilter) {
    switch visibility {
    case .all: break
    case .published: add("published")
    case .publishedAndOwn(let requester):
      // A filter on publication leaves published records alone.
      if filter.published == true || filter.datePublished != nil {
        add("published")
      } else {
        add("(published OR author = ? OR recipient = ?)", requester.text, requester.text)
      }
    }
  }

  /// The live records below one parent are counted by creation, then by id.
  private mutating func add(_ occupancy: Selection.Occupancy) {
    let earlier = """
      SELECT count(*) FROM message AS other WHERE other.tenant = message.tenant AND other.protocol = message.protocol \
      AND other.path = message.path AND other.parent_context = message.parent_context AND other.is_latest \
      AND other.kind = 'write' AND (other.date_created, other.record_id) < (message.date_created, message.record_id)
      """
    add(
      "NOT (kind = 'write' AND protocol = ? AND path = ? AND (\(earlier)) >= ?)", occupancy.protocolURI,
      occupancy.path.text, occupancy.maximum)
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
    text += " AND EXISTS (SELECT 1 FROM tag WHERE tag.message = message.id AND tag.name = ?\(condition))"
    values += found
  }
}
