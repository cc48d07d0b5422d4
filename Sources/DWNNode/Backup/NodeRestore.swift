#if canImport(Glibc)
  import Glibc
#endif
import DWN
import GRDB
import Wire

/// Makes a node's folder out of a backup, where there is none.
///
/// What was written after the backup is gone, so the feed begins a new epoch: a subscriber's place in the old one means nothing
/// any more, and the subscriber is told to look at everything again.
public enum NodeRestore {
  public struct Summary: Hashable, Sendable {
    public var tenants: Int
    public var messages: Int
    public var dataFiles: Int
    /// Of the feed, from now on.
    public var epoch: String
  }

  /// Nobody else may use the folder of the database meanwhile.
  public static func run(
    from backup: String, to databasePath: String, progress: JobProgress = { _, _ in }
  ) throws(NodeError) -> Summary {
    let source = backup + "/" + FileCopy.name(of: databasePath)
    guard let size = FileCopy.size(source) else {
      throw .unusableBackup(path: backup, reason: "there is no \(FileCopy.name(of: databasePath)) in it")
    }
    guard !FileCopy.exists(databasePath) else { throw .wouldOverwrite(path: databasePath) }
    guard try WriteAheadLog.lostCommits(of: source) == 0 else {
      throw .unusableBackup(path: backup, reason: "its log is damaged in its middle")
    }
    try WriteAheadLog.checkIsNotAlone(databasePath)
    FileCopy.removeParts(of: databasePath)
    let dataFolder = DataFolder.path(of: databasePath)
    let earlier = try namesOfKilledRestore(in: dataFolder, source: DataFolder.path(of: source))
    let part = FileCopy.partName(of: databasePath)
    let partData = DataFolder.path(of: part)
    do {
      try copy(source, size: size, to: part, progress)
      let summary = try begin(part, backup: backup)
      try FileCopy.flush(partData)
      for name in earlier { unlink(dataFolder + "/" + name) }
      // The database comes last: without it there is no node yet.
      try FileCopy.move(folder: partData, to: dataFolder)
      try FileCopy.move(file: part, to: databasePath)
      FileCopy.removeParts(of: databasePath)
      return summary
    } catch {
      FileCopy.removeParts(of: databasePath)
      throw NodeError(error, path: backup)
    }
  }

  /// What a restore that was killed before its last step left of this backup, which comes back, checked. Throws when a folder is
  /// there with anything else in it.
  private static func namesOfKilledRestore(in folder: String, source: String) throws(NodeError) -> [String] {
    guard FileCopy.exists(folder) else { return [] }
    guard let names = FileCopy.names(in: folder) else { throw .wouldOverwrite(path: folder) }
    for name in names {
      guard let size = FileCopy.size(folder + "/" + name), size == FileCopy.size(source + "/" + name) else {
        throw .wouldOverwrite(path: folder)
      }
    }
    return names
  }

  private static func copy(_ source: String, size: Int, to part: String, _ progress: JobProgress) throws(NodeError) {
    let sourceData = DataFolder.path(of: source)
    let partData = DataFolder.path(of: part)
    let names = (FileCopy.names(in: sourceData) ?? []).sorted()
    let total = names.reduce(size) { $0 + (FileCopy.size(sourceData + "/" + $1) ?? 0) }
    var done = 0
    try FileCopy.makeFolder(partData)
    for name in names {
      _ = try FileCopy.copy(sourceData + "/" + name, to: partData + "/" + name) { bytes throws(NodeError) in
        done += bytes.count
        try progress(done, total)
      }
    }
    // A folder that was copied while it was in use has a log beside the database.
    for suffix in ["", "-wal"] {
      _ = try FileCopy.copy(source + suffix, to: part + suffix) { bytes throws(NodeError) in
        done += bytes.count
        try progress(done, max(done, total))
      }
    }
  }

  /// Checks what was copied, brings it up to date, and lets the feed begin anew.
  private static func begin(_ path: String, backup: String) throws -> Summary {
    let folder = DataFolder(path: DataFolder.path(of: path), largestStaging: 0, random: SystemRandom())
    let dataFiles = try countFiles(path, folder, backup: backup)
    let pool = try StoreRepair.open(path: path, folder: folder, check: .whole)
    let summary: Summary
    do {
      summary = try pool.write { database in
        try database.execute(sql: "UPDATE node SET epoch = lower(hex(randomblob(16))), closed_in_order = 1")
        return Summary(
          tenants: try Int.fetchOne(database, sql: "SELECT count(*) FROM tenant") ?? 0,
          messages: try Int.fetchOne(database, sql: "SELECT count(*) FROM message") ?? 0, dataFiles: dataFiles,
          epoch: try String.fetchOne(database, sql: "SELECT epoch FROM node") ?? "")
      }
    } catch {
      try? DurableDatabase.close(pool)
      throw error
    }
    // Only the file itself gets the name: what stayed in its log would be lost, the new epoch among it.
    do { try DurableDatabase.closeWhole(pool) } catch { throw NodeError(error, path: path) }
    return summary
  }

  /// Every file that a message names has to be there, and be what the message says.
  private static func countFiles(_ path: String, _ folder: DataFolder, backup: String) throws -> Int {
    let queue = try DatabaseQueue(path: path)
    defer { try? queue.close() }
    return try queue.read { database in
      guard try database.tableExists("data_file") else { return 0 }
      let files = try Row.fetchCursor(
        database, sql: "SELECT name, data_size, data_cid FROM data_file JOIN message ON message.id = data_file.message")
      var count = 0
      while let row = try files.next() {
        let name: String = row[0]
        let file = try folder.file(name, size: row[1] as Int? ?? 0)
        guard let file, try file.cid().text == row[2] as String? else {
          throw NodeError.unusableBackup(path: backup, reason: "the data file \(name) is missing, or not what it was")
        }
        count += 1
      }
      return count
    }
  }
}
