#if canImport(Glibc)
  import Glibc
#endif
import DWN
import GRDB
import Wire

/// Told how far a long job is: bytes or messages that are done, and of how many. What it throws ends the job, which leaves nothing.
public typealias JobProgress = (_ done: Int, _ total: Int) throws(NodeError) -> Void

/// A copy of everything that a node has, of one instant, made while the node runs: a folder that is laid out like the node's own.
///
/// A backup has its name once it is complete, verified and on the disk: the database's pages, and the data in files by its CIDs. It never
/// takes the place of something else.
public enum NodeBackup {
  public struct Summary: Hashable, Sendable {
    /// Of the database and the files with large data.
    public var bytes: Int
    public var dataFiles: Int
    public var messages: Int
    /// CIDs of messages whose data was not what they say: they are in the backup without it.
    public var withoutData: [String] = []
  }

  /// How often a node may remove large data from under a copy before it is given up.
  private static let attempts = 10
  /// A file that is named and not there in so many states of the database was not removed since: it is lost.
  private static let lost = 3
  private static let pagesAtATime: CInt = 1024

  public static func make(
    of databasePath: String, to folder: String, progress: @escaping JobProgress = { _, _ in }
  ) throws(NodeError) -> Summary {
    let destination = FileCopy.withoutSlash(folder)
    try WriteAheadLog.check(databasePath)
    let archive = try NodeArchive(databasePath: databasePath)
    defer { archive.close() }
    guard !FileCopy.exists(destination) || FileCopy.names(in: destination)?.isEmpty == true else {
      throw .wouldOverwrite(path: destination)
    }
    FileCopy.removeParts(of: destination)
    let part = FileCopy.partName(of: destination)
    try FileCopy.makeFolder(part)
    do {
      let hold = try FileCopy.hold(part)
      defer { Glibc.close(hold) }
      let summary = try copy(archive, into: part + "/" + FileCopy.name(of: databasePath), progress: progress)
      try FileCopy.flush(part)
      try FileCopy.move(folder: part, to: destination)
      return summary
    } catch {
      FileCopy.removeFolder(part)
      throw NodeError(error, path: databasePath)
    }
  }

  private static func copy(_ archive: NodeArchive, into target: String, progress: @escaping JobProgress) throws
    -> Summary
  {
    let dataTarget = DataFolder.path(of: target)
    try FileCopy.makeFolder(dataTarget)
    var copied: Set<String> = []
    // Files that were not there, and how often; and those that are not what their messages say.
    var missing: [String: Int] = [:]
    var changed: Set<String> = []
    for _ in 0..<attempts {
      let summary = try archive.read { database -> Summary? in
        // The files first, as long as they are there; they never change. Then the database of the same instant.
        let files = try files(database)
        let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
        let pageSize = try Int.fetchOne(database, sql: "PRAGMA page_size") ?? 0
        let total = files.values.reduce(pages * pageSize) { $0 + $1.size }
        var done = files.reduce(0) { $0 + (copied.contains($1.key) ? $1.value.size : 0) }
        for (name, file) in files.sorted(by: { $0.key < $1.key })
        where !copied.contains(name) && !changed.contains(name) {
          if missing[name, default: 0] >= lost { continue }
          var seen = DataCID()
          let isThere = try FileCopy.copy(archive.folder.path(of: name), to: dataTarget + "/" + name) {
            bytes throws(NodeError) in
            seen.update(Array(bytes))
            done += bytes.count
            try progress(done, total)
          }
          guard isThere else {
            missing[name, default: 0] += 1
            continue
          }
          if FileCopy.size(dataTarget + "/" + name) == file.size, seen.finalize().text == file.cid {
            copied.insert(name)
          } else {
            changed.insert(name)
            unlink(dataTarget + "/" + name)
          }
        }
        let absent = Set(files.keys).subtracting(copied)
        // Once more, of a later state, which does not name what was removed since.
        guard absent.subtracting(changed).allSatisfy({ missing[$0, default: 0] >= lost }) else { return nil }
        let withoutData = try copy(database, of: archive.path, to: target, without: absent) {
          try progress(done + $0 * pageSize, total)
        }
        // What is thrown at a copy's last step is not heard.
        try progress(total, total)
        for name in copied where files[name] == nil { unlink(dataTarget + "/" + name) }
        return Summary(
          bytes: total, dataFiles: files.count - absent.count,
          messages: try Int.fetchOne(database, sql: "SELECT count(*) FROM message") ?? 0, withoutData: withoutData)
      }
      guard let summary else { continue }
      try FileCopy.flush(dataTarget)
      return summary
    }
    throw NodeError.databaseFailed(
      path: archive.path, reason: "large data was removed faster than it could be copied: try again")
  }

  /// Files of this state of the database, with what their messages say of them.
  private static func files(_ database: Database) throws -> [String: (size: Int, cid: String)] {
    var files: [String: (size: Int, cid: String)] = [:]
    let rows = try Row.fetchCursor(
      database, sql: "SELECT name, data_size, data_cid FROM data_file JOIN message ON message.id = data_file.message")
    while let row = try rows.next() { files[row[0]] = (row[1] as Int? ?? 0, row[2] as String? ?? "") }
    return files
  }

  /// Messages of files that are absent are in the copy as they are in a node that lost their data. Returns their CIDs.
  private static func copy(
    _ source: Database, of path: String, to target: String, without absent: Set<String>,
    copied: @escaping (Int) throws -> Void
  ) throws -> [String] {
    var cids: [String] = []
    Glibc.close(try FileCopy.create(target))
    let queue = try DatabaseQueue(path: target)
    defer { try? queue.close() }
    try queue.writeWithoutTransaction { copy in
      try source.backup(to: copy, pagesPerStep: pagesAtATime) { try copied($0.completedPageCount) }
      let findings = try String.fetchAll(copy, sql: "PRAGMA quick_check(1)")
      guard findings == ["ok"] else {
        throw NodeError.corruptDatabase(path: path, detail: String((findings.first ?? "no answer").prefix(200)))
      }
      for name in absent.sorted() {
        cids += try String.fetchAll(
          copy,
          sql: """
            UPDATE message SET has_data = 0, size = length(CAST(json AS BLOB))
            WHERE id IN (SELECT message FROM data_file WHERE name = ?) RETURNING cid
            """, arguments: [name])
        try copy.execute(sql: "DELETE FROM data_file WHERE name = ?", arguments: [name])
      }
    }
    try queue.close()
    try FileCopy.flush(target)
    return cids
  }
}
