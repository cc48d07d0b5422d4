#if canImport(Glibc)
  import Glibc
#endif
import GRDB
import Wire

/// Makes a node's database anew out of its tables, where pages of indexes cannot be read: they hold nothing that the tables do not.
///
/// The damaged file is only read, and keeps another name beside the new one.
enum TableRescue {
  /// The name under which the damaged file stays. Throws for a damaged table, by its name, and leaves everything as it is. Nobody
  /// else uses the database meanwhile.
  static func run(on path: String) throws(NodeError) -> String {
    let part = FileCopy.partName(of: path)
    do {
      close(try FileCopy.create(part))
      try copyTables(of: path, to: part)
      try FileCopy.flush(part)
      try emptyLog(of: path)
      let kept = FileCopy.exists(path + ".damaged") ? FileCopy.partName(of: path + ".damaged") : path + ".damaged"
      guard link(path, kept) == 0, rename(part, path) == 0 else { throw FileCopy.failure(path) }
      try FileCopy.flush(FileCopy.parent(of: path))
      return kept
    } catch {
      unlink(part)
      throw NodeError(error, path: path)
    }
  }

  private static func copyTables(of path: String, to part: String) throws {
    var configuration = Configuration()
    configuration.readonly = true
    let damaged = try DatabaseQueue(path: path, configuration: configuration)
    defer { try? damaged.close() }
    let whole = try DatabaseQueue(path: part)
    defer { try? whole.close() }
    try damaged.read { source in
      let version = try Int.fetchOne(source, sql: "PRAGMA user_version") ?? 0
      guard (1...NodeSchema.steps.count).contains(version) else {
        throw NodeError.damaged(path, "it has no version that this program knows")
      }
      try whole.inDatabase { target in
        try target.inTransaction {
          for step in NodeSchema.steps.prefix(version) { try step.apply(target) }
          let rest = try setAsideIndexes(target)
          try target.execute(sql: "PRAGMA defer_foreign_keys = ON")
          for table in try tables(target).reversed() { try target.execute(sql: "DELETE FROM \(table)") }
          for table in try tables(target) { try copy(table, source, target, path: path) }
          try checkCount(target, path: path)
          for row in try Row.fetchAll(source, sql: "SELECT name, seq FROM sqlite_sequence") {
            try target.execute(
              sql: "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?",
              arguments: [row[1] as Int64?, row[0] as String?])
          }
          for definition in rest { try target.execute(sql: definition) }
          try target.execute(sql: "PRAGMA user_version = \(version)")
          return .commit
        }
        let findings = try String.fetchAll(target, sql: "PRAGMA integrity_check(1)")
        guard findings == ["ok"] else { throw NodeError.damaged(path, findings.first ?? "no answer") }
      }
    }
    try whole.close()
  }

  /// Takes indexes and triggers away, and gives what makes them again.
  private static func setAsideIndexes(_ database: Database) throws -> [String] {
    let rows = try Row.fetchAll(
      database,
      sql:
        "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type"
    )
    for row in rows { try database.execute(sql: "DROP \(row[0] as String) \(row[1] as String)") }
    return rows.map { $0[2] }
  }

  private static func tables(_ database: Database) throws -> [String] {
    try String.fetchAll(
      database,
      sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
  }

  private static func copy(_ table: String, _ source: Database, _ target: Database, path: String) throws {
    let columns = try target.columns(in: table).map(\.name)
    let insertion = try target.makeStatement(
      sql:
        "INSERT INTO \(table) (\(columns.joined(separator: ", "))) VALUES (\(columns.map { _ in "?" }.joined(separator: ", ")))"
    )
    do {
      let rows = try Row.fetchCursor(source, sql: "SELECT \(columns.joined(separator: ", ")) FROM \(table) NOT INDEXED")
      while let row = try rows.next() { try insertion.execute(arguments: StatementArguments(row.databaseValues)) }
    } catch let error as DatabaseError where error.resultCode == .SQLITE_CORRUPT {
      throw NodeError.damaged(path, "the table \(table): \(error.message ?? "it cannot be read")")
    }
  }

  /// Tenants know how many messages they have.
  private static func checkCount(_ database: Database, path: String) throws {
    let missing = try Int.fetchOne(
      database, sql: "SELECT (SELECT coalesce(sum(messages), 0) FROM tenant) - (SELECT count(*) FROM message)")
    guard missing == 0 else { throw NodeError.damaged(path, "the table message: \(missing ?? 0) rows are not there") }
  }

  /// Everything that was committed is in the one file then: a log would be taken for that of the new one.
  private static func emptyLog(of path: String) throws {
    let queue = try DatabaseQueue(path: path)
    defer { try? queue.close() }
    try queue.writeWithoutTransaction { database in
      guard try Bool.fetchOne(database, sql: "PRAGMA wal_checkpoint(TRUNCATE)") == false else {
        throw DatabaseError(resultCode: .SQLITE_BUSY, message: "its log is in use")
      }
    }
    try queue.close()
    let log = WriteAheadLog.path(of: path)
    guard FileCopy.size(log) ?? 0 == 0 else { throw NodeError.databaseInUse(path: path) }
    for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
  }
}
