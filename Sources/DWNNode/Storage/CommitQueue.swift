import DWN
import GRDB
import Synchronization

/// Lets many writers share the price of one disk flush.
///
/// A writer that arrives while a transaction runs joins the next one. A refusal undoes only what its writer did itself; a failure of the
/// database fails everybody in that transaction, since nothing of it was committed.
///
/// Who is refused has changed nothing, as a rule: a savepoint for each, which keeps a copy of every page that is changed, would cost a
/// third of a write. Where a writer is refused after it changed something, its transaction is begun anew, with savepoints, as are those
/// after it for a while. So a writer may run twice, and must leave no trace outside of the database before it is committed.
final class CommitQueue: Sendable {
  /// One writer's share of a transaction.
  private struct Job: Sendable {
    /// Runs within the transaction and gives what to call after the commit. Throws only a failure of the database, and `Undone`.
    let run: @Sendable (Database, Isolation) throws -> @Sendable () -> Void
    let fail: @Sendable (any Error) -> Void
  }

  private enum Isolation {
    /// Each writer has a savepoint.
    case savepoints
    /// None has: throws `Undone` where one would be needed.
    case none
  }

  /// What a refused writer changed can only be undone with the whole transaction.
  private struct Undone: Error {
    let refusal: any Error
  }

  private struct State {
    var waiting: [Job] = []
    var isRunning = false
    /// What is done after commits was not done to its end.
    var hasRest = false
    /// Transactions for which savepoints are still worth their price.
    var careful = 0
    var closed: NodeError?
    var closers: [CheckedContinuation<Void, Never>] = []
  }

  /// Writers that share one transaction at most.
  private static let largestBatch = 256
  /// Transactions with savepoints after one that had to be begun anew: who is refused on purpose doubles the work of one in so many.
  static let carefulTransactions = 64

  private let pool: DatabasePool
  private let path: String
  private let state = Mutex(State())

  /// Runs on the writer after every commit, outside of any transaction. `true`: there is more to do, and it runs again after the next
  /// commit, or when nobody waits. What it fails to do, the next one may.
  private let afterCommit: @Sendable (Database) throws -> Bool

  init(pool: DatabasePool, path: String, afterCommit: @escaping @Sendable (Database) throws -> Bool = { _ in false }) {
    self.pool = pool
    self.path = path
    self.afterCommit = afterCommit
  }

  /// Returns after the commit is on the disk. `body` may run twice. `committed` runs before the return, in the order of the commits, and must
  /// not wait.
  func perform<Result: Sendable>(
    _ body: @escaping @Sendable (Database) throws -> Result,
    committed: @escaping @Sendable (Result) -> Void = { _ in }
  ) async throws -> Result {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Result, any Error>) in
      enqueue(
        Job(
          run: { database, isolation in
            let result = try Self.isolated(database, isolation, body)
            return {
              if case .success(let value) = result { committed(value) }
              continuation.resume(with: result)
            }
          },
          fail: { continuation.resume(throwing: $0) }))
    }
  }

  /// Writers whose turn has not come.
  var waiting: Int { state.withLock { $0.waiting.count } }

  /// Waits for those that wait and refuses all later ones.
  func close() async {
    await withCheckedContinuation { continuation in
      let isIdle = state.withLock { state in
        state.closed = .databaseFailed(path: path, reason: "it was closed")
        if state.isRunning { state.closers.append(continuation) }
        return !state.isRunning
      }
      if isIdle { continuation.resume() }
    }
  }

  /// Runs one writer. What it throws itself is its result; what the database throws goes on.
  private static func isolated<Result>(
    _ database: Database, _ isolation: Isolation, _ body: (Database) throws -> Result
  ) throws -> Swift.Result<Result, any Error> {
    // A statement that is kept costs a third of one that is prepared anew.
    func run(_ sql: String) throws {
      if isolation == .savepoints { try database.cachedStatement(sql: sql).execute() }
    }
    let changes = database.totalChangesCount
    try run("SAVEPOINT share")
    let outcome: Swift.Result<Result, any Error>
    do {
      outcome = .success(try body(database))
    } catch let error as DatabaseError {
      throw error
    } catch {
      if isolation == .none, database.totalChangesCount != changes { throw Undone(refusal: error) }
      outcome = .failure(error)
      try run("ROLLBACK TO share")
    }
    try run("RELEASE share")
    return outcome
  }

  private func enqueue(_ job: Job) {
    let (start, closed) = state.withLock { state -> (Bool, NodeError?) in
      if let closed = state.closed { return (false, closed) }
      state.waiting.append(job)
      defer { state.isRunning = true }
      return (!state.isRunning, nil)
    }
    if let closed { job.fail(closed) }
    if start { goOn() }
  }

  /// One commit after the other on the writer's own thread, since the threads of those who wait have enough to do. Others who use
  /// the writer have their turn in between.
  private func goOn() {
    pool.asyncWriteWithoutTransaction { database in
      guard let batch = self.nextBatch() else { return }
      self.commit(batch, database)
      self.goOn()
    }
  }

  /// Empty where only the rest is to be done; `nil` where nothing is.
  private func nextBatch() -> [Job]? {
    let (batch, closers) = state.withLock { state -> ([Job], [CheckedContinuation<Void, Never>]?) in
      let batch = Array(state.waiting.prefix(Self.largestBatch))
      state.waiting.removeFirst(batch.count)
      guard batch.isEmpty, !state.hasRest else { return (batch, nil) }
      state.isRunning = false
      defer { state.closers = [] }
      return ([], state.closers)
    }
    guard let closers else { return batch }
    for closer in closers { closer.resume() }
    return nil
  }

  private func commit(_ batch: [Job], _ database: Database) {
    do {
      let deliveries = batch.isEmpty ? [] : try transact(batch, database)
      for deliver in deliveries { deliver() }
    } catch {
      let failure = NodeError(error, path: path)
      for job in batch { job.fail(failure) }
      return
    }
    let hasRest = (try? afterCommit(database)) ?? false
    state.withLock { $0.hasRest = hasRest }
  }

  /// What to call now that they are committed.
  private func transact(_ batch: [Job], _ database: Database) throws -> [@Sendable () -> Void] {
    func run(_ isolation: Isolation) throws -> [@Sendable () -> Void] {
      var deliveries: [@Sendable () -> Void] = []
      try database.inTransaction(.immediate) {
        for job in batch { deliveries.append(try job.run(database, isolation)) }
        return .commit
      }
      return deliveries
    }
    let isCareful = state.withLock { state in
      defer { state.careful = max(0, state.careful - 1) }
      return state.careful > 0
    }
    if isCareful { return try run(.savepoints) }
    do { return try run(.none) } catch let undone as Undone {
      if batch.count == 1 { return [{ batch[0].fail(undone.refusal) }] }
      state.withLock { $0.careful = Self.carefulTransactions }
      return try run(.savepoints)
    }
  }
}
