import DWN
import GRDB
import Wire

/// Opens a node's database in a state that can be relied on.
///
/// SQLite brings back what was committed; a process that ended in the middle leaves nothing half done in it. What is looked after
/// here is the rest: files that no message names, and messages whose file is gone; an index that somebody took away; an index that
/// cannot be read; and, when the last process did not close the database in order, an index that a failing disk left different from
/// its table. A table that is damaged is never touched: it is refused by name, and stays as it is.
///
/// A folder of large data that cannot be looked at, or that has none of the files that messages name, is no reason to give them up:
/// its disk may not be there yet. It is refused, too, and nothing is changed; and so is a log that lost commits in its middle.
///
/// How much of a database is looked through follows from how the last process left it: a moment's worth when it was closed in order;
/// all of it, for a minute at most, when it was not. `NodeCheck` looks at everything.
enum StoreRepair {
  /// A file of which people are told that it is looked through, in bytes.
  private static let large = 256 << 20
  /// How long sums are counted anew after a crash.
  private static let sumsLimit: Duration = .seconds(60)

  /// `repaired` is told in words what was not as it should be, for the log. With `check`, that is what is looked through. It
  /// goes on without what is accepted to be lost, and refuses to begin without anything else.
  static func open(
    path: String, folder: DataFolder, check: IntegrityCheck? = nil, accepting losses: AcceptedLosses = [],
    repaired: (String) -> Void = { _ in }
  ) throws(NodeError) -> DatabasePool {
    let thereBefore = try folder.names()
    guard thereBefore.isEmpty || FileCopy.size(path) ?? 0 > 0 else { throw .dataOfAnother(path: folder.path) }
    FileCopy.removeParts(of: path)
    let lostCommits = try WriteAheadLog.lostCommits(of: path)
    guard lostCommits == 0 || losses.contains(.log) else { throw .damagedLog(path: path, commits: lostCommits) }
    var inspection = Inspection()
    func open() throws(NodeError) -> DatabasePool {
      try DurableDatabase.open(path: path, schema: NodeSchema.steps) { connection in
        inspection = try inspect(connection, path: path, check, repaired)
      }
    }
    let pool: DatabasePool
    do { pool = try open() } catch {
      guard case .corruptDatabase(_, let reason) = error else { throw error }
      let kept: String
      do { kept = try IndexRescue.run(on: path) } catch let other {
        // Without room for a copy it cannot be tried.
        if case .diskFull = other { throw error }
        throw other
      }
      repaired("indexes could not be read (\(reason)), and were made anew; the damaged file is now \(kept)")
      pool = try open()
    }
    do {
      try pool.writeWithoutTransaction { database in
        if lostCommits > 0 {
          try database.execute(sql: "UPDATE node SET epoch = lower(hex(randomblob(16)))")
          repaired("its log lost \(lostCommits) commits, and goes on without them in a new epoch of the feed")
        }
        let gone = try vanishedFiles(database, folder, comparingSizes: !inspection.wasClosed, losses)
        try makeMissingIndexes(database, path: path, repaired)
        if let finding = inspection.aboutIndexes.first {
          try mendIndexes(database, path: path)
          repaired("indexes differed from their tables, and were made anew: \(finding.prefix(200))")
        }
        if !inspection.wasClosed {
          let isDone: Void? = try IntegrityCheck.within(sumsLimit, interrupt: { pool.interrupt() }) {
            try mendSums(database)
          }
          if isDone == nil { repaired("there was no time to count anew what each tenant has") }
        }
        try database.execute(sql: "UPDATE node SET closed_in_order = 0")
        try miss(gone, database, repaired)
        try removeUnnamedFiles(database, folder)
      }
      return pool
    } catch {
      throw NodeError(error, path: path)
    }
  }

  /// What was seen of a database before anything was written to it.
  private struct Inspection {
    var wasClosed = true
    var aboutIndexes: [String] = []
  }

  private static func inspect(
    _ connection: DatabaseQueue, path: String, _ check: IntegrityCheck?, _ repaired: (String) -> Void
  ) throws -> Inspection {
    var inspection = Inspection()
    inspection.wasClosed = try connection.unsafeRead { database in
      // Before there was this table nothing was that a crash could leave undone.
      guard try database.tableExists("node") else { return true }
      return try Bool.fetchOne(database, sql: "SELECT closed_in_order FROM node") ?? false
    }
    let check = check ?? (inspection.wasClosed ? .atStart : .afterCrash)
    if !inspection.wasClosed, let limit = check.limit, let size = FileCopy.size(path), size >= large {
      repaired(
        "it was not closed in order: its \(size >> 20) MB are looked through, for \(Int(limit.seconds)) s at most")
    }
    switch try check.outcome(connection) {
    case .sound: break
    case .damaged(let findings):
      if let worst = findings.first(where: { !isAboutIndex($0) }) { throw NodeError.damaged(path, worst) }
      inspection.aboutIndexes = findings
    case .unfinished:
      if !inspection.wasClosed {
        repaired("there was no time to look through all of it: 'meshd dwn check' does, also while the node runs")
      }
    }
    return inspection
  }

  /// Every query names its index, so one that is not there, or is another one, would fail them all.
  private static func makeMissingIndexes(_ database: Database, path: String, _ repaired: (String) -> Void) throws {
    let question = "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    func definitions(_ database: Database) throws -> [String: (type: String, sql: String)] {
      let rows = try Row.fetchAll(database, sql: question)
      return Dictionary(uniqueKeysWithValues: rows.map { ($0[1], (type: $0[0], sql: $0[2])) })
    }
    let wanted = try DatabaseQueue().inDatabase { fresh in
      for step in NodeSchema.steps { try step.apply(fresh) }
      return try definitions(fresh)
    }
    let there = try definitions(database)
    for (name, definition) in wanted where there[name]?.sql != definition.sql {
      do {
        try database.inTransaction(.immediate) {
          try database.execute(sql: "DROP \(definition.type) IF EXISTS \(name)")
          try database.execute(sql: definition.sql)
          return .commit
        }
      } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
        throw NodeError.corruptDatabase(path: path, detail: "two messages where \(name) allows one")
      }
      repaired("the \(definition.type) \(name) was not there, and was made anew")
    }
  }

  /// Indexes hold nothing that the table does not, so a wrong one is made anew.
  private static func mendIndexes(_ database: Database, path: String) throws {
    try database.execute(sql: "REINDEX")
    let findings = try String.fetchAll(database, sql: "PRAGMA integrity_check(1)")
    if findings != ["ok"] { throw NodeError.damaged(path, findings.first ?? "no answer") }
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
            head = max(head, coalesce((SELECT max(position) FROM message WHERE tenant = tenant.id), 0))
          """)
      try database.execute(sql: StoredSums.counting)
      try FeedFingerprint.countAnew(database)
      return .commit
    }
  }

  /// Rows of `data_file` whose file is not there, or is torn. Throws when none of the files is there.
  private static func vanishedFiles(
    _ database: Database, _ folder: DataFolder, comparingSizes: Bool, _ losses: AcceptedLosses
  ) throws -> [Row] {
    let there = Set(try folder.names())
    let rows = try Row.fetchAll(
      database, sql: "SELECT name, message, data_size, cid FROM data_file JOIN message ON message.id = message")
    if !rows.isEmpty, !losses.contains(.data), !rows.contains(where: { there.contains($0[0]) }) {
      throw NodeError.dataMissing(path: folder.path, files: Set(rows.map { $0[0] as String }).count)
    }
    return try rows.filter { row in
      try !there.contains(row[0]) || (comparingSizes && folder.file(row[0], size: row[2]) == nil)
    }
  }

  /// A message whose file is not there, or is torn, goes on without its data: who reads it is told so, and may send it again.
  private static func miss(_ vanished: [Row], _ database: Database, _ repaired: (String) -> Void) throws {
    guard !vanished.isEmpty else { return }
    try database.inTransaction {
      for row in vanished {
        try database.execute(sql: "DELETE FROM data_file WHERE message = ?", arguments: [row[1] as Int64])
        try database.execute(
          sql: "UPDATE message SET has_data = 0, size = length(CAST(json AS BLOB)) WHERE id = ?",
          arguments: [row[1] as Int64])
      }
      return .commit
    }
    for row in vanished { repaired("the data of the message \(row[3] as String) is not there any more") }
  }

  /// What a process that ended was receiving, or was about to remove.
  private static func removeUnnamedFiles(_ database: Database, _ folder: DataFolder) throws {
    let inUse = try database.makeStatement(sql: "SELECT EXISTS (SELECT 1 FROM data_file WHERE name = ?)")
    for name in try folder.names() where try Bool.fetchOne(inUse, arguments: [name]) == false { folder.remove(name) }
    try database.execute(sql: "DELETE FROM dropped_file")
  }
}
