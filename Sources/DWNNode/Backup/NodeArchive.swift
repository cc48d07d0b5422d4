#if canImport(Glibc)
  import Glibc
#endif
import DWN
import GRDB
public import Identity
import Wire

/// Looks at a node's database and changes nothing of it, also while a node runs on it.
public final class NodeArchive: Sendable {
  let path: String
  let folder: DataFolder
  let queue: DatabaseQueue

  /// Throws when there is no database, or it has another version than this program writes.
  public init(databasePath path: String) throws(NodeError) {
    self.path = path
    folder = DataFolder(path: DataFolder.path(of: path), largestStaging: 0, random: SystemRandom())
    guard FileCopy.exists(path) else { throw errno == ENOENT ? .noDatabase(path: path) : FileCopy.failure(path) }
    do {
      var configuration = Configuration()
      configuration.readonly = true
      configuration.busyMode = .timeout(DurableDatabase.busyTimeout)
      queue = try DatabaseQueue(path: path, configuration: configuration)
      let version = try queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") } ?? 0
      let known = NodeSchema.steps.count
      if version > known { throw NodeError.newerDatabase(path: path, version: version, known: known) }
      if version < known { throw NodeError.olderDatabase(path: path, version: version) }
    } catch {
      throw NodeError(error, path: path)
    }
  }

  public func close() { try? queue.close() }

  /// Everybody of whom the node has something, and everybody who registered.
  public func tenants() throws(NodeError) -> [TenantReport] {
    try read { database in
      try Row.fetchAll(
        database,
        sql: """
          SELECT did, max(messages), max(bytes), max(guest_messages), max(guest_bytes), max(head), max(registered_at) FROM (
            SELECT did, messages, bytes, guest_messages, guest_bytes, head, NULL AS registered_at FROM tenant
            UNION ALL SELECT did, 0, 0, 0, 0, 0, registered_at FROM registration
          ) GROUP BY did ORDER BY did
          """
      ).compactMap { row in
        DID(row[0] as String).map {
          TenantReport(
            tenant: $0,
            usage: StoredUsage(messages: row[1], bytes: row[2], guestMessages: row[3], guestBytes: row[4]),
            head: row[5], registeredAt: row[6])
        }
      }
    }
  }

  public func statistics() throws(NodeError) -> NodeStatistics {
    let path = path
    let folder = folder
    return try read { database in
      func number(_ sql: String) throws -> Int { try Int.fetchOne(database, sql: sql) ?? 0 }
      let bounds = try Row.fetchOne(database, sql: "SELECT largest_total, most_tenants, free_disk FROM node")
      let kinds = try Row.fetchAll(database, sql: "SELECT kind, count(*) FROM message GROUP BY kind")
      return NodeStatistics(
        epoch: try String.fetchOne(database, sql: "SELECT epoch FROM node") ?? "",
        schemaVersion: try number("PRAGMA user_version"), tenants: try number("SELECT count(*) FROM tenant"),
        registrations: try number("SELECT count(*) FROM registration"),
        messages: Dictionary(uniqueKeysWithValues: kinds.map { ($0[0] as String, $0[1] as Int) }),
        bytes: try number("SELECT coalesce(sum(bytes), 0) FROM tenant"),
        guestMessages: try number("SELECT coalesce(sum(guest_messages), 0) FROM tenant"),
        guestBytes: try number("SELECT coalesce(sum(guest_bytes), 0) FROM tenant"),
        records: try number(
          "SELECT count(*) FROM message INDEXED BY message_created WHERE is_latest AND kind = 'write'"),
        dataFiles: try number("SELECT count(DISTINCT name) FROM data_file"),
        dataFileBytes: try folder.names().reduce(0) { $0 + (FileCopy.size(folder.path(of: $1)) ?? 0) },
        databaseBytes: FileCopy.size(path) ?? 0, logBytes: FileCopy.size(path + "-wal") ?? 0,
        bounds: NodeBounds(total: bounds?[0], tenants: bounds?[1], freeDisk: bounds?[2] ?? 0),
        freeDisk: NodeRoom.freeDisk(of: folder)())
    }
  }

  func outcome(of check: IntegrityCheck) throws(NodeError) -> IntegrityCheck.Outcome {
    do { return try check.outcome(queue) } catch { throw NodeError(error, path: path) }
  }

  /// One state of the database, whatever a node writes meanwhile.
  func read<Value>(_ body: (Database) throws -> Value) throws(NodeError) -> Value {
    do { return try queue.read(body) } catch { throw NodeError(error, path: path) }
  }
}

/// What a node keeps of one tenant.
public struct TenantReport: Hashable, Sendable {
  public var tenant: DID
  public var usage: StoredUsage
  /// The last position of the feed; 0 before the first message.
  public var head: Int64
  /// For who registered: when.
  public var registeredAt: String?
}

/// What a node keeps in all. Sizes are in bytes.
public struct NodeStatistics: Hashable, Sendable {
  public var epoch: String
  public var schemaVersion: Int
  public var tenants: Int
  public var registrations: Int
  /// By kind: `write`, `delete`, `configure`.
  public var messages: [String: Int]
  /// Of messages and their data, as quotas count them.
  public var bytes: Int
  /// What of it others than the tenants sent.
  public var guestMessages: Int
  public var guestBytes: Int
  public var records: Int
  public var dataFiles: Int
  public var dataFileBytes: Int
  public var databaseBytes: Int
  /// Of the write-ahead log.
  public var logBytes: Int
  /// As the node was told when it last began to serve.
  public var bounds: NodeBounds
  /// Free on the disk now; `nil` if the system does not say.
  public var freeDisk: Int?
}
