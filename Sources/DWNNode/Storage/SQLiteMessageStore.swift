import DWN
import Foundation
import GRDB
import Identity
import Synchronization
import Wire

/// Messages in one SQLite file (`NodeSchema`), and large data in a folder beside it.
final class SQLiteMessageStore: MessageStore {
  typealias Observer = @Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void

  let epoch: String
  let dataFolder: DataFolder
  private let path: String
  private let pool: DatabasePool
  private let queue: CommitQueue
  private let turns = ReaderTurns(readers: DurableDatabase.readers, share: DurableDatabase.readers / 2)
  private let observation = Mutex(Observation())

  /// `repaired` is told what was not as it should be.
  init(
    path: String, limits: NodeLimits = NodeLimits(), random: any RandomSource = SystemRandom(),
    accepting losses: AcceptedLosses = [], repaired: (String) -> Void = { _ in }
  ) throws(NodeError) {
    self.path = path
    dataFolder = DataFolder(
      path: DataFolder.path(of: path), largestStaging: limits.largestStaging, largestData: limits.largestData,
      random: random)
    pool = try StoreRepair.open(path: path, folder: dataFolder, accepting: losses, repaired: repaired)
    do {
      try pool.writeWithoutTransaction { try Self.giveRoom($0) }
      epoch = try pool.read { try String.fetchOne($0, sql: "SELECT epoch FROM node") } ?? ""
    } catch {
      throw NodeError(error, path: path)
    }
    let folder = dataFolder
    queue = CommitQueue(pool: pool, path: path) { try Self.removeDroppedFiles($0, folder) }
  }

  /// Lets the operators' commands know what the node has room for.
  func note(_ bounds: NodeBounds) throws(NodeError) {
    do {
      try pool.writeWithoutTransaction { database in
        try database.execute(
          sql: "UPDATE node SET largest_total = ?, most_tenants = ?, free_disk = ?",
          arguments: [bounds.total, bounds.tenants, bounds.freeDisk])
      }
    } catch {
      throw NodeError(error, path: path)
    }
  }

  func observe(_ observer: @escaping Observer) {
    observation.withLock { $0.observer = observer }
  }

  func write<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageTransaction) throws -> Result
  ) async throws -> Result {
    let observer = observation.withLock { $0 }.observer
    let folder = dataFolder
    return try await queue.perform { database in
      let transaction = SQLiteTransaction(try Self.messages(of: tenant, database, folder), at: tenant)
      let result = try body(transaction)
      return Written(result: result, entries: transaction.entries, files: transaction.files)
    } committed: { written in
      for file in written.files { file.keep() }
      if !written.entries.isEmpty { observer?(tenant, written.entries) }
    }.result
  }

  func read<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result { try await read(tenant, for: .anyone, body) }

  func read<Result: Sendable>(
    _ tenant: DID, for asker: Asker, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result {
    let folder = dataFolder
    var attempts = 3
    while true {
      do {
        return try await turns.read(tenant, for: asker) {
          try await pool.read { database in
            try database.hearingInterrupts { try body(Self.messages(of: tenant, database, folder)) }
          }
        }
      } catch let error as DatabaseError {
        throw NodeError(error, path: path)
      } catch let error as VanishedData {
        attempts -= 1
        guard attempts > 0 else {
          throw NodeError.corruptDatabase(path: path, detail: "the data file \(error.name) is not there")
        }
      }
    }
  }

  func summaries() async throws -> [TenantSummary] {
    try await reading { database in
      try Row.fetchAll(
        database, sql: "SELECT did, messages, bytes, guest_messages, guest_bytes, head FROM tenant ORDER BY did"
      ).compactMap { row in
        let usage = StoredUsage(messages: row[1], bytes: row[2], guestMessages: row[3], guestBytes: row[4])
        return DID(row[0] as String).map { TenantSummary(tenant: $0, usage: usage, head: row[5]) }
      }
    }
  }

  func totals() async throws -> StoreTotals {
    try await reading { database in
      let row = try Row.fetchOne(database, sql: "SELECT count(*), coalesce(sum(bytes), 0) FROM tenant WHERE head > 0")
      return StoreTotals(tenants: row?[0] ?? 0, bytes: row?[1] ?? 0)
    }
  }

  func registrations() async throws -> [TenantRegistration] {
    try await reading { database in
      try Row.fetchAll(database, sql: "SELECT did, terms_hash, registered_at FROM registration ORDER BY did")
        .compactMap { row in
          guard let did = DID(row[0] as String), let time = WallTime(timestamp: row[2]) else { return nil }
          return TenantRegistration(tenant: did, termsHash: row[1], registeredAt: time)
        }
    }
  }

  func register(_ registration: TenantRegistration) async throws {
    try await queue.perform { database in
      try database.execute(
        sql: "INSERT OR REPLACE INTO registration VALUES (?, ?, ?)",
        arguments: [registration.tenant.text, registration.termsHash, registration.registeredAt.timestamp])
    }
  }

  func releaseMemory() { pool.releaseMemoryEventually() }

  func close() async {
    await queue.close()
    try? await pool.writeWithoutTransaction { try $0.execute(sql: "UPDATE node SET closed_in_order = 1") }
    try? DurableDatabase.close(pool)
  }

  private func reading<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
    do { return try await pool.read(body) } catch let error as DatabaseError { throw NodeError(error, path: path) }
  }

  /// A function by itself, in a generic box such as a mutex, is wrapped once more each time that it is looked at.
  private struct Observation {
    var observer: Observer?
  }

  /// What a writer leaves to be done after the commit.
  private struct Written<Result: Sendable>: Sendable {
    var result: Result
    var entries: [StoredMessage]
    var files: [DataFile]
  }

  private static let removedAtATime = 100

  /// Files whose last message went with this commit. Who reads one of them still does. Returns whether there are more.
  private static func removeDroppedFiles(_ database: Database, _ folder: DataFolder) throws -> Bool {
    let dropped = try String.fetchAll(
      database.cachedStatement(sql: "SELECT name FROM dropped_file LIMIT \(removedAtATime)"))
    guard !dropped.isEmpty else { return false }
    let inUse = try database.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM data_file WHERE name = ?)")
    for name in dropped where try Bool.fetchOne(inUse, arguments: [name]) == false { folder.remove(name) }
    try database.inTransaction {
      for name in dropped {
        try database.execute(sql: "DELETE FROM dropped_file WHERE name = ?", arguments: [name])
      }
      return .commit
    }
    return dropped.count == removedAtATime
  }

  /// A write touches some twenty pages, most of them the same as the write before it: they stay in memory for a whole commit, and
  /// meet in the log many times before they go to their places.
  private static func giveRoom(_ database: Database) throws {
    try database.execute(sql: "PRAGMA cache_size = -32768")
    try database.execute(sql: "PRAGMA wal_autocheckpoint = 8192")
  }

  private static func messages(
    of tenant: DID, _ database: Database, _ folder: DataFolder
  ) throws -> SQLiteMessages {
    let statement = try database.cachedStatement(sql: "SELECT id FROM tenant WHERE did = ?")
    let id = try Int64.fetchOne(statement, arguments: [tenant.text])
    return SQLiteMessages(database: database, tenant: id ?? SQLiteMessages.noTenant, folder: folder)
  }
}
