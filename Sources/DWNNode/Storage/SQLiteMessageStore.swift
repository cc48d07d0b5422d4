import DWN
import GRDB
import Identity
import Synchronization

/// Messages in one SQLite file (`NodeSchema`).
final class SQLiteMessageStore: MessageStore {
  private let path: String
  private let pool: DatabasePool
  private let queue: CommitQueue

  init(path: String) throws(NodeError) {
    self.path = path
    self.pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    self.queue = CommitQueue(pool: pool, path: path)
  }

  func write<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageTransaction) throws -> Result
  ) async throws -> Result {
    try await queue.perform { database in
      let id = try Self.tenantID(database, tenant) ?? Self.addTenant(database, tenant)
      return try body(SQLiteMessages(database: database, tenant: id))
    }
  }

  func read<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result {
    do {
      return try await pool.read { database in
        // A tenant that has nothing yet has no number; no row has this one.
        let id = try Self.tenantID(database, tenant) ?? 0
        return try body(SQLiteMessages(database: database, tenant: id))
      }
    } catch let error as DatabaseError {
      throw NodeError(error, path: path)
    }
  }

  func close() async {
    await queue.close()
    try? DurableDatabase.close(pool)
  }

  private static func tenantID(_ database: Database, _ tenant: DID) throws -> Int64? {
    let statement = try database.cachedStatement(sql: "SELECT id FROM tenant WHERE did = ?")
    return try Int64.fetchOne(statement, arguments: [tenant.text])
  }

  private static func addTenant(_ database: Database, _ tenant: DID) throws -> Int64 {
    try database.execute(sql: "INSERT INTO tenant (did) VALUES (?)", arguments: [tenant.text])
    return database.lastInsertedRowID
  }
}
