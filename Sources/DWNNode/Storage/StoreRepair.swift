import DWN
import GRDB
import Wire

/// Opens a node's database in a state that can be relied on.
///
/// SQLite brings back what was committed; a process that ended in the middle leaves nothing half done in it. What is looked after
/// here is the rest: files that no message names, and, when the last process did not close the database in order, an index that a
/// failing disk left different from its table. A table that is damaged is never touched: it is refused by name, and stays as it is.
enum StoreRepair {
  static func open(path: String, folder: DataFolder) throws(NodeError) -> DatabasePool {
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    do {
      try pool.writeWithoutTransaction { database in
        if try Bool.fetchOne(database, sql: "SELECT closed_in_order FROM node") == false {
          try mendIndexes(database, path: path)
          try mendSums(database)
        }
        try database.execute(sql: "UPDATE node SET closed_in_order = 0")
        try removeUnnamedFiles(database, folder)
      }
      return pool
    } catch {
      throw NodeError(error, path: path)
    }
  }

  /// Indexes hold nothing that the table does not, so a wrong one is made anew.
  private static func mendIndexes(_ database: Database, path: String) throws {
    func findings() throws -> [String] {
      try String.fetchAll(database, sql: "PRAGMA integrity_check(20)").filter { $0 != "ok" }
    }
    let found = try findings()
    guard !found.isEmpty else { return }
    guard found.allSatisfy(isAboutIndex) else {
      throw NodeError.corruptDatabase(path: path, detail: String(found[0].prefix(200)))
    }
    try database.execute(sql: "REINDEX")
    if let left = try findings().first {
      throw NodeError.corruptDatabase(path: path, detail: String(left.prefix(200)))
    }
  }

  static func isAboutIndex(_ finding: String) -> Bool {
    (finding.hasPrefix("row ") && finding.contains(" missing from index "))
      || finding.hasPrefix("wrong # of entries in index ") || finding.hasPrefix("non-unique entry in index ")
  }

  /// Heads and sums of tenants follow from their messages; a head never goes back.
  private static func mendSums(_ database: Database) throws {
    try database.inTransaction {
      try database.execute(
        sql: """
          UPDATE tenant SET
            head = max(head, coalesce((SELECT max(position) FROM message WHERE tenant = tenant.id), 0)),
            messages = (SELECT count(*) FROM message WHERE tenant = tenant.id),
            bytes = coalesce((SELECT sum(size) FROM message WHERE tenant = tenant.id), 0)
          """)
      return .commit
    }
  }

  /// What a process that ended was receiving, or was about to remove.
  private static func removeUnnamedFiles(_ database: Database, _ folder: DataFolder) throws {
    let inUse = try database.makeStatement(sql: "SELECT EXISTS (SELECT 1 FROM data_file WHERE name = ?)")
    for name in folder.names() where try Bool.fetchOne(inUse, arguments: [name]) == false { folder.remove(name) }
    try database.execute(sql: "DELETE FROM dropped_file")
  }
}
