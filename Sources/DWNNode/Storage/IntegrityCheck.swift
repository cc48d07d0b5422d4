import Dispatch
import GRDB
import Synchronization
import Wire

/// Looks through a database for what a failing disk did to it.
///
/// It costs as much as reading the file, which no start should pay in full: it ends when its time is up.
struct IntegrityCheck: Hashable, Sendable {
  enum Depth: String, Sendable {
    /// Whether every page can be read and is where it belongs.
    case tables = "quick_check"
    /// Also whether indexes and tables say the same, which takes about four times as long.
    case indexes = "integrity_check"
  }

  enum Outcome: Hashable, Sendable {
    case sound
    /// What was found, in SQLite's words; not all of it, if there is much.
    case damaged([String])
    /// Its time was up before all was seen.
    case unfinished
  }

  /// Every start has time for this.
  static let atStart = IntegrityCheck(.tables, limit: .seconds(2))
  /// When the last process ended in the middle.
  static let afterCrash = IntegrityCheck(.indexes, limit: .seconds(60))
  /// All of it, however long it takes.
  static let whole = IntegrityCheck(.indexes, limit: nil)

  private static let mostFindings = 20

  let depth: Depth
  /// `nil` is as long as it takes.
  let limit: Duration?

  init(_ depth: Depth, limit: Duration?) {
    self.depth = depth
    self.limit = limit
  }

  /// Blocks. Nobody else uses the connection.
  func outcome(_ connection: DatabaseQueue) throws -> Outcome {
    let findings = try Self.within(limit, interrupt: { connection.interrupt() }) {
      try connection.unsafeRead {
        try String.fetchAll($0, sql: "PRAGMA \(depth.rawValue)(\(Self.mostFindings))")
      }
    }
    guard let findings else { return .unfinished }
    return findings == ["ok"] ? .sound : .damaged(findings.isEmpty ? ["no answer"] : findings)
  }

  /// What a long question is answered; `nil` if its time was up before. `interrupt` ends what the connection does.
  static func within<Result>(
    _ limit: Duration?, interrupt: @escaping @Sendable () -> Void, _ body: () throws -> Result
  ) throws -> Result? {
    let isOver = Mutex(false)
    // What is interrupted is this question, and nothing that the connection does later.
    let interruption = DispatchWorkItem { isOver.withLock { if !$0 { interrupt() } } }
    if let limit {
      guard limit > .zero else { return nil }
      DispatchQueue.global().asyncAfter(deadline: .now() + limit.seconds, execute: interruption)
    }
    defer {
      isOver.withLock { $0 = true }
      interruption.cancel()
    }
    do { return try body() } catch let error as DatabaseError where error.resultCode == .SQLITE_INTERRUPT { return nil }
  }
}
