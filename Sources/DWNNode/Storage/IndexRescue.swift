#if canImport(Glibc)
  import Glibc
#endif
import GRDB
import Wire

/// Makes the indexes of a node's database anew where pages of them cannot be read: they hold nothing that the tables do not.
///
/// It is done in a copy, of which SQLite says without the indexes that everything else is whole. The damaged file is only read, and
/// keeps another name beside the new one.
enum IndexRescue {
  /// The name under which the damaged file stays. Throws what else is damaged, and leaves everything as it is. Nobody else uses the
  /// database meanwhile.
  static func run(on path: String) throws(NodeError) -> String {
    let (copy, part) = (FileCopy.partName(of: path), FileCopy.partName(of: path))
    defer { for suffix in ["", "-wal", "-shm", "-journal"] { unlink(copy + suffix) } }
    do {
      for suffix in ["", "-wal"] { _ = try FileCopy.copy(path + suffix, to: copy + suffix) { _ in } }
      try takeIndexesAway(from: copy, path: path)
      try makeWhole(copy, part, path: path)
      try FileCopy.flush(part)
      try emptyLog(of: path)
      let kept = try keep(path)
      guard rename(part, path) == 0 else { throw FileCopy.failure(path) }
      try FileCopy.flush(FileCopy.parent(of: path))
      return kept
    } catch {
      for suffix in ["", "-journal"] { unlink(part + suffix) }
      throw NodeError(error, path: path)
    }
  }

  private static func takeIndexesAway(from copy: String, path: String) throws {
    let queue = try DatabaseQueue(path: copy)
    defer { try? queue.close() }
    try queue.writeWithoutTransaction { database in
      try database.execute(sql: "PRAGMA writable_schema = ON")
      try database.execute(sql: "DELETE FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
    }
    try queue.close()
  }

  /// Checks what is left of the copy, and makes the database out of it.
  private static func makeWhole(_ copy: String, _ part: String, path: String) throws {
    let queue = try DatabaseQueue(path: copy)
    defer { try? queue.close() }
    let definitions = try queue.writeWithoutTransaction { database in
      try checkTables(database, copy, path: path)
      let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
      guard (1...NodeSchema.steps.count).contains(version) else {
        throw NodeError.damaged(path, "it has no version that this program knows")
      }
      close(try FileCopy.create(part))
      try database.execute(sql: "VACUUM INTO ?", arguments: [part])
      return try indexDefinitions(version: version)
    }
    let whole = try DatabaseQueue(path: part)
    defer { try? whole.close() }
    try whole.writeWithoutTransaction { database in
      try database.inTransaction {
        for definition in definitions { try database.execute(sql: definition) }
        return .commit
      }
      let findings = try String.fetchAll(database, sql: "PRAGMA integrity_check(1)")
      guard findings == ["ok"] else { throw NodeError.damaged(path, findings.first ?? "no answer") }
    }
    try whole.close()
  }

  /// Pages that were the indexes' belong to nothing now. One that was a table's had been lost before, and with it what was on it.
  private static func checkTables(_ database: Database, _ copy: String, path: String) throws {
    _ = try Row.fetchOne(database, sql: "PRAGMA wal_checkpoint(TRUNCATE)")
    let pageSize = try Int.fetchOne(database, sql: "PRAGMA page_size") ?? 4096
    let descriptor = open(copy, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileCopy.failure(copy) }
    defer { close(descriptor) }
    let findings = try String.fetchCursor(database, sql: "PRAGMA integrity_check(\(Int32.max))")
    while let finding = try findings.next() {
      for line in finding.split(separator: "\n") where line != "ok" && !line.hasPrefix("***") {
        guard line.contains("never used"),
          let page = line.split(whereSeparator: { !$0.isNumber }).first.flatMap({ Int($0) })
        else { throw NodeError.damaged(path, String(line)) }
        var kind: UInt8 = 0
        guard pread(descriptor, &kind, 1, off_t((page - 1) * pageSize)) == 1 else { throw FileCopy.failure(copy) }
        if tablePages.contains(kind) { throw NodeError.damaged(path, "the page \(page) of a table was lost: \(line)") }
      }
    }
  }

  /// The first bytes of a table's pages: interior ones, and leaves.
  private static let tablePages: Set<UInt8> = [0x05, 0x0d]

  private static func indexDefinitions(version: Int) throws -> [String] {
    try DatabaseQueue().inDatabase { fresh in
      for step in NodeSchema.steps.prefix(version) { try step.apply(fresh) }
      return try String.fetchAll(
        fresh, sql: "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY rowid")
    }
  }

  /// Everything that was committed is in the one file then: a log would be taken for that of the new one.
  private static func emptyLog(of path: String) throws {
    let queue = try DatabaseQueue(path: path)
    defer { try? queue.close() }
    try DurableDatabase.emptyLog(queue)
    try queue.close()
    guard FileCopy.size(WriteAheadLog.path(of: path)) ?? 0 == 0 else { throw NodeError.databaseInUse(path: path) }
    for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
  }

  /// Gives the damaged file another name, and leaves it its own where the file system knows links.
  private static func keep(_ path: String) throws(NodeError) -> String {
    let kept = FileCopy.exists(path + ".damaged") ? FileCopy.partName(of: path + ".damaged") : path + ".damaged"
    guard link(path, kept) == 0 || rename(path, kept) == 0 else { throw FileCopy.failure(path) }
    return kept
  }
}
