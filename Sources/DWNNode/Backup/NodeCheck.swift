import DWN
import Foundation
import GRDB
import Wire

/// Looks at everything that a node keeps, also while it runs, and changes nothing: the database page by page, indexes against their
/// tables, every message against its CID and its data against the CID that the message promises.
public enum NodeCheck {
  public struct Report: Hashable, Sendable {
    public var messages = 0
    /// Of the data that was compared.
    public var bytes = 0
    /// In words, no more than are listed.
    public var findings: [String] = []
    /// Findings beyond those that are listed.
    public var furtherFindings = 0

    public var isSound: Bool { findings.isEmpty }
  }

  fileprivate static let mostListed = 100
  private static let chunk = 1 << 20

  public static func run(
    on databasePath: String, progress: JobProgress = { _, _ in }
  ) throws(NodeError) -> Report {
    let archive = try NodeArchive(databasePath: databasePath)
    defer { archive.close() }
    var report = Report()
    do { try WriteAheadLog.check(databasePath) } catch {
      guard case .damagedLog = error else { throw error }
      report.add("\(error)")
    }
    var pages: [String] = []
    if case .damaged(let findings) = try archive.outcome(of: .whole) { pages = findings }
    for finding in pages { report.add(finding) }
    // Where pages cannot be read, what they hold cannot be either.
    guard pages.allSatisfy(StoreRepair.isAboutIndex) else { return report }
    var vanished: [String] = []
    try archive.read { database in
      for row in try Row.fetchAll(database, sql: "PRAGMA foreign_key_check") {
        report.add("a row of \(row[0] as String) is about a message that is not there")
      }
      let total = try Int.fetchOne(database, sql: "SELECT count(*) FROM message NOT INDEXED") ?? 0
      let rows = try Row.fetchCursor(database, sql: messages)
      while let row = try rows.next() {
        report.messages += 1
        if try !look(at: row, archive.folder, &report) { vanished.append(row[0]) }
        try progress(report.messages, total)
      }
    }
    // A node that runs removes the data of what was replaced since.
    try archive.read { database in
      for cid in vanished {
        guard let row = try Row.fetchOne(database, sql: "\(messages) WHERE cid = ?", arguments: [cid]),
          try !look(at: row, archive.folder, &report)
        else { continue }
        report.add("the data of the message \(cid) is not there, or not whole")
      }
    }
    return report
  }

  private static let messages = """
    SELECT cid, json, has_data, data_cid, data_size,
      coalesce(data, (SELECT bytes FROM large_data WHERE message = id)),
      (SELECT name FROM data_file WHERE message = id) FROM message NOT INDEXED
    """

  /// Returns whether the data is there that a message has.
  private static func look(at row: Row, _ folder: DataFolder, _ report: inout Report) throws -> Bool {
    let cid: String = row[0]
    guard let json = try? JSONValue(parsing: row[1] as String, depth: Message.maximumDepth), CID(of: json).text == cid
    else {
      report.add("the message \(cid) is not what its CID says")
      return true
    }
    guard row[2] else { return true }
    var hasher = DataCID()
    do throws(NodeError) {
      if let bytes = row[5] as Data? {
        hasher.update(bytes)
      } else if let file = try folder.file(row[6] as String? ?? "", size: row[4] as Int? ?? 0) {
        for start in stride(from: 0, to: file.size, by: chunk) {
          hasher.update(try file.read(start..<min(start + chunk, file.size)))
        }
      } else {
        return false
      }
    } catch {
      report.add("the data of the message \(cid) cannot be read: \(error)")
      return true
    }
    report.bytes += Int(hasher.size)
    if hasher.finalize().text != row[3] as String? {
      let file = (row[6] as String?).map { ", in \(folder.path(of: $0))" } ?? ""
      report.add("the data of the message \(cid) is not what it says\(file)")
    }
    return true
  }
}

extension NodeCheck.Report {
  fileprivate mutating func add(_ finding: String) {
    if findings.count < NodeCheck.mostListed { findings.append(finding) } else { furtherFindings += 1 }
  }
}
