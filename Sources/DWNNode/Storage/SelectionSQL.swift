import DWN
import GRDB
import Identity
import Wire

/// One arm of a selection in SQL, with the values for its question marks: what follows `SELECT … FROM message`.
struct SelectionSQL {
  private(set) var text: String
  private(set) var values: [any DatabaseValueConvertible]

  init(_ selection: Selection, arm: SelectionArm, tenant: Int64) {
    switch SelectionIndex(selection, arm) {
    case .named(let index):
      text = " INDEXED BY \(index) WHERE tenant = ?"
      values = [tenant]
    case .tag(let name):
      // Rows are taken by their number, so no index of the table is wanted.
      text = " NOT INDEXED WHERE tenant = ?"
      values = [tenant]
      addTagged(name, selection.filter.tags[name], tenant)
    }
    text += " AND is_latest AND " + (selection.includesDeletes ? "kind IN ('write', 'delete')" : "kind = 'write'")
    var conditions = FilterSQL(selection.filter, hangsDeeper: selection.hangsDeeper)
    conditions.add(arm)
    for occupancy in selection.occupancy { conditions.add(occupancy) }
    text += conditions.text
    values += conditions.values
    // Sorting by publication is about published records only.
    if selection.sort.isByPublication { text += " AND published AND date_published IS NOT NULL" }
    if let after = selection.after {
      text += " AND (\(selection.sort.column), cid) \(selection.sort.isAscending ? ">" : "<") (?, ?)"
      values += [after.value, after.cid]
    }
  }

  /// In the order of the selection, and no more than it asks for.
  mutating func order(_ selection: Selection) {
    let direction = selection.sort.isAscending ? "ASC" : "DESC"
    text += " ORDER BY \(selection.sort.column) \(direction), cid \(direction)"
    if let limit = selection.limit {
      text += " LIMIT ?"
      values.append(limit)
    }
  }

  private mutating func addTagged(_ name: String, _ tag: RecordsFilter.TagFilter?, _ tenant: Int64) {
    guard case .equals(let value) = tag else { return }
    let (index, column, wanted): (String, String, any DatabaseValueConvertible) =
      switch value {
      case .string(let text): ("tag_text", "text_value", text)
      case .bool(let flag): ("tag_bool", "bool_value", flag)
      default: ("tag_number", "number_value", value.double ?? 0)
      }
    text += " AND id IN (SELECT message FROM tag INDEXED BY \(index) WHERE tenant = ? AND name = ? AND \(column) = ?)"
    values += [tenant, name, wanted]
  }
}

extension DateSort {
  /// The column that an order goes by.
  fileprivate var column: String {
    switch self {
    case .createdAscending, .createdDescending: "date_created"
    case .publishedAscending, .publishedDescending: "date_published"
    case .updatedAscending, .updatedDescending: "timestamp"
    }
  }
}
