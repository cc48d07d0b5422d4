import Foundation
import GRDB
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// What the disk and SQLite give by themselves, without a node.
enum DiskLimits {
  /// Times per second that 4 KiB more are on the disk.
  static func flushes(in folder: URL, for time: Duration) throws -> Double {
    let path = folder.appendingPathComponent("flushed").path
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw BenchmarkFailure(reason: "cannot write to \(folder.path)") }
    defer {
      close(descriptor)
      unlink(path)
    }
    let page = [UInt8](repeating: 1, count: 4096)
    let start = Instant.now()
    var count = 0
    while Instant.now() - start < time {
      guard write(descriptor, page, page.count) == page.count, fdatasync(descriptor) == 0 else {
        throw BenchmarkFailure(reason: "cannot flush \(path)")
      }
      count += 1
    }
    return Double(count) / (Instant.now() - start).seconds
  }

  /// A table with one index, flushed at each commit as the node's is.
  struct BareTable {
    private let queue: DatabaseQueue

    init(in folder: URL) throws {
      queue = try DatabaseQueue(path: folder.appendingPathComponent("bare.sqlite").path)
      try queue.inDatabase { database in
        try database.execute(sql: "PRAGMA journal_mode = WAL")
        try database.execute(sql: "PRAGMA synchronous = FULL")
        try database.execute(sql: "CREATE TABLE row (id INTEGER PRIMARY KEY, name TEXT UNIQUE, text TEXT)")
      }
    }

    /// Rows per second, so many of them in each commit.
    func rows(perCommit batch: Int, for time: Duration) throws -> Double {
      let text = String(repeating: "x", count: 1600)
      let start = Instant.now()
      var count = 0
      try queue.inDatabase { database in
        let insert = try database.makeStatement(sql: "INSERT INTO row (name, text) VALUES (hex(randomblob(16)), ?)")
        while Instant.now() - start < time {
          try database.inTransaction {
            for _ in 0..<batch { try insert.execute(arguments: [text]) }
            return .commit
          }
          count += batch
        }
      }
      return Double(count) / (Instant.now() - start).seconds
    }
  }
}
