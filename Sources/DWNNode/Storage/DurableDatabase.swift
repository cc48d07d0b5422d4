#if canImport(Glibc)
  import Glibc
#endif
import CSQLite
public import GRDB

/// Opens SQLite files so that what was committed is on the disk: for the node's messages and for the state of the mesh alike.
///
/// * The file belongs to its owner alone (0600), as does a directory that had to be made (0700).
/// * Write-ahead log with `synchronous = FULL` on the writer, set after GRDB opened it, since its pool lowers it to `NORMAL`:
///   a commit that returned survives a power cut.
/// * A file that is damaged, or that a newer program wrote, is refused and left as it is.
public enum DurableDatabase {
  /// One step of a schema. Step number *n* of a list (from 1) leads to version *n*, kept as `user_version`.
  public struct SchemaStep: Sendable {
    public let apply: @Sendable (Database) throws -> Void

    public init(_ apply: @escaping @Sendable (Database) throws -> Void) {
      self.apply = apply
    }

    public init(sql: String) {
      apply = { try $0.execute(sql: sql) }
    }
  }

  /// How long a connection waits for a lock of another process.
  public static let busyTimeout: Double = 5
  /// Connections that read side by side.
  static let readers = 4

  /// What a write with a savepoint may have to undo is some twenty-five pages, each with its number, which need no temporary file. Once in
  /// a process.
  private static let savepointsStayInMemory: Void = { _ = csqlite_keep_savepoints(31 * (4096 + 4)) }()

  /// Opens the database, making the file and its directory if need be, and brings it to the newest version in one transaction.
  public static func open(path: String, schema: [SchemaStep]) throws(NodeError) -> DatabasePool {
    try open(path: path, schema: schema) { connection in
      if case .damaged(let findings) = try IntegrityCheck.atStart.outcome(connection) {
        throw NodeError.damaged(path, findings[0])
      }
    }
  }

  /// `inspect` looks at a file that is there before anything is written to it.
  static func open(
    path: String, schema: [SchemaStep], inspect: (DatabaseQueue) throws -> Void
  ) throws(NodeError) -> DatabasePool {
    savepointsStayInMemory
    try WriteAheadLog.checkIsNotAlone(path)
    let isNew = try prepareFile(path)
    do {
      if !isNew { try look(at: path, schema: schema, inspect) }
      var configuration = Configuration()
      configuration.busyMode = .timeout(busyTimeout)
      configuration.maximumReaderCount = readers
      configuration.label = "meshd.database"
      let pool = try DatabasePool(path: path, configuration: configuration)
      try pool.writeWithoutTransaction { database in
        try database.execute(sql: "PRAGMA synchronous = FULL")
        try migrate(database, schema: schema)
      }
      return pool
    } catch {
      throw NodeError(error, path: path)
    }
  }

  /// Closes the database with everything in the one file, if that can be, so that a copy of it is a backup.
  public static func close(_ pool: DatabasePool) throws {
    // Without it nothing is lost, since the log stays beside the file: closing does not depend on it.
    try? emptyLog(pool)
    try pool.close()
  }

  /// Closes the database with everything in the one file. Throws when something stays in the log, or may: closed it is all the same.
  static func closeWhole(_ pool: DatabasePool) throws {
    do { try emptyLog(pool) } catch {
      try? pool.close()
      throw error
    }
    try pool.close()
  }

  /// The readers, which close last, could not do this.
  static func emptyLog(_ writer: some DatabaseWriter) throws {
    try writer.writeWithoutTransaction { database in
      // One row, that begins with whether somebody else was in the way.
      guard try Bool.fetchOne(database, sql: "PRAGMA wal_checkpoint(TRUNCATE)") == false else {
        throw DatabaseError(resultCode: .SQLITE_BUSY, message: "its log is in use")
      }
    }
  }

  /// Looks at an existing file without writing to it, so that one that is refused stays as it is.
  private static func look(
    at path: String, schema: [SchemaStep], _ inspect: (DatabaseQueue) throws -> Void
  ) throws {
    var configuration = Configuration()
    configuration.readonly = true
    configuration.busyMode = .timeout(busyTimeout)
    let connection = try DatabaseQueue(path: path, configuration: configuration)
    defer { try? connection.close() }
    let version = try connection.unsafeRead { try Int.fetchOne($0, sql: "PRAGMA user_version") } ?? 0
    guard version <= schema.count else {
      throw NodeError.newerDatabase(path: path, version: version, known: schema.count)
    }
    try inspect(connection)
  }

  private static func migrate(_ database: Database, schema: [SchemaStep]) throws {
    let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
    guard version < schema.count else { return }
    try database.inTransaction(.immediate) {
      for step in schema[version...] { try step.apply(database) }
      try database.execute(sql: "PRAGMA user_version = \(schema.count)")
      return .commit
    }
  }

  /// Makes the file before SQLite does, so that nobody else can read it for a moment; the log files take its permissions.
  /// Returns whether it is new, or empty.
  private static func prepareFile(_ path: String) throws(NodeError) -> Bool {
    let directory = path.split(separator: "/").count > 1 ? String(path[..<path.lastIndex(of: "/")!]) : ""
    if !directory.isEmpty { try makeDirectory(directory, for: path) }
    // A link could point at somebody else's file, whose permissions would change.
    let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw failure(path) }
    defer { Glibc.close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw .cannotOpenDatabase(path: path, reason: "it is not a regular file")
    }
    if status.st_mode & 0o077 != 0 {
      guard fchmod(descriptor, 0o600) == 0 else { throw failure(path) }
    }
    if status.st_size == 0 { try FileCopy.giveAway(descriptor, in: FileCopy.parent(of: path)) }
    if status.st_size == 0, !directory.isEmpty { syncDirectory(directory) }
    return status.st_size == 0
  }

  private static func makeDirectory(_ directory: String, for path: String) throws(NodeError) {
    var made = ""
    for part in directory.split(separator: "/", omittingEmptySubsequences: false) {
      made += made.isEmpty && part.isEmpty ? "/" : (made.isEmpty || made == "/" ? "" : "/") + part
      if made == "/" { continue }
      if mkdir(made, 0o700) == 0 {
        syncDirectory(FileCopy.parent(of: made))
      } else if errno != EEXIST {
        throw failure(path)
      }
    }
  }

  /// A file is durable once its name is.
  private static func syncDirectory(_ directory: String) {
    let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    Glibc.close(descriptor)
  }

  private static func failure(_ path: String) -> NodeError {
    if errno == ENOSPC || errno == EDQUOT { return .diskFull(path: path) }
    return .cannotOpenDatabase(path: path, reason: String(cString: strerror(errno)).lowercased())
  }
}
