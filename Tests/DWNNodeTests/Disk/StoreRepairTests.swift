import DWN
import Foundation
import GRDB
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a crash or a failing disk left behind is put right when a database is opened.
@Suite(.timeLimit(.minutes(1)))
struct StoreRepairTests {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("repair-\(UUID().uuidString)")
  var path: String { folder.appendingPathComponent("node.sqlite").path }

  @Test("an index that differs from its table is made anew, and a tenant's sums are counted again")
  func index() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    try await pool.write { database in
      try database.execute(
        sql: """
          INSERT INTO tenant (id, did) VALUES (1, 'did:a:1');
          INSERT INTO message (tenant, cid, element, kind, json, author, timestamp, protocol, position, size)
            VALUES (1, 'c1', 'e1', 'write', '{}', 'did:a:1', 't', 'p', 1, 2);
          UPDATE tenant SET head = 0, bytes = 99;
          UPDATE node SET closed_in_order = 0;
          """)
      // The index is told that it has other rows than the table.
      try database.execute(sql: "PRAGMA writable_schema = 1")
      try database.execute(
        sql:
          "UPDATE sqlite_master SET sql = replace(sql, 'WHERE squash', 'WHERE NOT squash') WHERE name = 'message_squash'"
      )
    }
    try DurableDatabase.close(pool)
    let damaged = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    #expect(try await damaged.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } != ["ok"])
    try DurableDatabase.close(damaged)
    let store = try SQLiteMessageStore(path: path)
    let summary = try #require(try await store.summaries().first)
    #expect(summary.usage == StoredUsage(messages: 1, bytes: 2))
    #expect(summary.head == 1)
    await store.close()
    let reopened = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    #expect(try await reopened.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } == ["ok"])
  }

  @Test("a data file that no message names is removed, and other files stay")
  func files() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = try SQLiteMessageStore(path: path)
    let staged = try store.dataFolder.create()
    try FileHandle(fileDescriptor: staged.descriptor, closeOnDealloc: false).close()
    let other = store.dataFolder.path(of: "notes.txt")
    #expect(FileManager.default.createFile(atPath: other, contents: Data()))
    await store.close()
    await (try SQLiteMessageStore(path: path)).close()
    #expect(!FileManager.default.fileExists(atPath: store.dataFolder.path(of: staged.name)))
    #expect(FileManager.default.fileExists(atPath: other))
  }
}
