import GRDB

extension Database {
  /// Asks several things, of which each ends early once the connection was interrupted, be it between two of them.
  ///
  /// SQLite forgets an interruption when a statement begins while no other one is under way. Whoever gave up in the moment before
  /// that would not be heard, and one statement may take hours. So one is under way all the time.
  func hearingInterrupts<Result>(_ body: () throws -> Result) throws -> Result {
    let underWay = try Int.fetchCursor(cachedStatement(sql: "SELECT 0 UNION ALL SELECT 1"))
    _ = try underWay.next()
    return try withExtendedLifetime(underWay, body)
  }
}
