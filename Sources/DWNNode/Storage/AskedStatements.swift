import GRDB
import Synchronization

/// Statements whose text follows from what somebody asked. A connection keeps prepared statements for good, and questions have more forms
/// than a node has memory, so only some are kept: short ones, and the first of them, which are those that a node asks itself and what its
/// users ask all day. Another one costs its preparation each time.
enum AskedStatements {
  static let longest = 1024
  static let most = 256

  private static let kept = Mutex<Set<String>>([])

  static func isKept(_ sql: String) -> Bool {
    guard sql.utf8.count <= longest else { return false }
    return kept.withLock { kept in
      if kept.contains(sql) { return true }
      guard kept.count < most else { return false }
      kept.insert(sql)
      return true
    }
  }
}

extension Database {
  func asked(_ sql: String) throws -> Statement {
    try AskedStatements.isKept(sql) ? cachedStatement(sql: sql) : makeStatement(sql: sql)
  }
}
