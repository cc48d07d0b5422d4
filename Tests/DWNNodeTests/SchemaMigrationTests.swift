import Foundation
import GRDB
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A database of an earlier version of the program is brought up to date with everything in it.
@Suite(.timeLimit(.minutes(10)))
struct SchemaMigrationTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("migration-\(UUID().uuidString)")
  private var path: String { folder.appendingPathComponent("node.sqlite").path }

  /// A database of which the first so many steps of the schema were made and then filled, as it is opened now.
  private func upToDate(from steps: Int, _ fill: (Database) throws -> Void) throws -> DatabasePool {
    let old = try DurableDatabase.open(path: path, schema: Array(NodeSchema.steps.prefix(steps)))
    try old.write(fill)
    try DurableDatabase.close(old)
    return try DurableDatabase.open(path: path, schema: NodeSchema.steps)
  }

  @Test(
    "messages of the first version get positions in the order in which they came, and their tags and sums stay right")
  func first() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let pool = try upToDate(from: 1) { database in
      try database.execute(
        sql: """
          INSERT INTO tenant VALUES (1, 'did:a:1'), (2, 'did:a:2'), (3, 'did:a:3');
          INSERT INTO message (tenant, cid, element, kind, json, author, timestamp, protocol, has_data, data_size)
            VALUES (1, 'c1', 'e1', 'write', '{"a":"ü"}', 'did:a:1', 't', 'p', 1, 5),
              (2, 'c2', 'e2', 'write', '{}', 'did:a:2', 't', 'p', 0, 7),
              (1, 'c3', 'e3', 'write', '{}', 'did:a:1', 't', 'p', 0, 7);
          INSERT INTO tag VALUES (1, 'x', 'text', NULL, NULL), (2, 'y', NULL, 1.5, NULL);
          """)
    }
    func values(_ sql: String) throws -> [String] {
      try pool.read { database in
        try Row.fetchAll(database, sql: sql).map { row in
          row.databaseValues.map { "\($0.storage.value ?? "NULL")" }.joined(separator: " ")
        }
      }
    }
    #expect(try values("SELECT cid, position, size FROM message ORDER BY cid") == ["c1 1 15", "c2 1 2", "c3 2 2"])
    #expect(try values("SELECT id, head, messages, bytes FROM tenant") == ["1 2 2 17", "2 1 1 2", "3 0 0 0"])
    #expect(
      try values("SELECT message, tenant, name, text_value, number_value FROM tag") == [
        "1 1 x text NULL", "2 2 y NULL 1.5",
      ])
    #expect(try values("SELECT length(epoch) FROM node") == ["32"])
    let fingerprints = try pool.read { try Row.fetchAll($0, sql: "SELECT \(fingerprint) FROM tenant ORDER BY id") }
    var both = FeedFingerprint.of("c1")
    both.toggle("c3")
    #expect(fingerprints.map { FeedFingerprint($0) } == [both, .of("c2"), FeedFingerprint()])
    #expect(try values("PRAGMA integrity_check") == ["ok"])
    #expect(try values("PRAGMA foreign_key_check").isEmpty)
    try pool.write { try $0.execute(sql: "DELETE FROM message WHERE cid = 'c1'") }
    #expect(try values("SELECT head, messages, bytes FROM tenant WHERE id = 1") == ["2 1 2"])
    #expect(try values("SELECT count(*) FROM tag WHERE message = 1") == ["0"])
  }

  private let fingerprint = "fingerprint0, fingerprint1, fingerprint2, fingerprint3"

  @Test(
    "what earlier definitions mean for queries is found in them, be they in force or not; one that cannot be read stays"
  )
  func definitions() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let limit = #"{"few": {"$recordLimit": {"max": 2, "strategy": "reject"}}}"#
    let deep = #"{"other": {"$ref": "theirs:a/b", "mine": {}}}"#
    func configure(_ structure: String, types: String, uses: String = "{}") -> String {
      #"""
      {"descriptor": {"definition": {"protocol": "https://example.org/test", "published": true, "uses": \#(uses),
        "types": \#(types), "structure": \#(structure)}}}
      """#
    }
    let pool = try upToDate(from: 5) { database in
      try database.execute(sql: "INSERT INTO tenant (id, did) VALUES (1, 'did:a:1')")
      let rows: [(Bool, String)] = [
        (true, configure(limit, types: #"{"few": {}}"#)), (false, configure(limit, types: #"{"few": {}}"#)),
        (false, configure(deep, types: #"{"mine": {}}"#, uses: #"{"theirs": "https://example.org/theirs"}"#)),
        (true, "{"),
      ]
      for (number, (isLatest, json)) in rows.enumerated() {
        try database.execute(
          sql: """
            INSERT INTO message (tenant, cid, element, kind, json, author, timestamp, protocol, is_latest, position)
              VALUES (1, ?, ?, 'configure', ?, 'did:a:1', 't', 'https://example.org/test', ?, ?)
            """, arguments: ["c\(number)", "e\(number)", json, isLatest, number + 1])
      }
    }
    let rules = try pool.read { database in
      try Row.fetchAll(
        database, sql: "SELECT message, tenant, protocol, path, maximum FROM query_rule ORDER BY message"
      )
      .map { "\($0[0] as Int) \($0[1] as Int) \($0[2] as String) \($0[3] as String) \(($0[4] as Int?) ?? 0)" }
    }
    #expect(rules == ["1 1 https://example.org/test few 2", "3 1 https://example.org/test other 0"])
  }

  @Test("what is left of deleted records is told from what is live, and from whoever the record was of")
  func remains() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let pool = try upToDate(from: 7) { database in
      try database.execute(sql: "INSERT INTO tenant (id, did) VALUES (1, 'did:a:1'), (2, 'did:a:2')")
      try database.execute(
        sql: """
          INSERT INTO message (tenant, cid, element, kind, json, author, timestamp, protocol, position, size, share,
            record_id, is_initial) VALUES
          (1, 'c1', 'e1', 'write', '{}', 'did:a:1', 't', 'p', 1, 1, 0, 'own', 1),
          (1, 'c2', 'e2', 'delete', '{}', 'did:a:1', 't', 'p', 2, 2, 0, 'own', 0),
          (1, 'c3', 'e3', 'write', '{}', 'did:b:1', 't', 'p', 3, 4, 2, 'guest', 1),
          (1, 'c4', 'e4', 'delete', '{}', 'did:a:1', 't', 'p', 4, 8, 0, 'guest', 0),
          (1, 'c5', 'e5', 'write', '{}', 'did:a:1', 't', 'p', 5, 16, 0, 'live', 1),
          (1, 'c6', 'e6', 'write', '{}', 'did:b:1', 't', 'p', 6, 32, 1, 'live2', 1),
          (2, 'c7', 'e7', 'write', '{}', 'did:a:2', 't', 'p', 1, 64, 0, 'own', 1)
          """)
    }
    let data = DataFolder(path: path + "-data", largestStaging: 0, random: SystemRandom())
    try pool.read { database in
      let ended = try Int.fetchAll(database, sql: "SELECT ended FROM message ORDER BY id")
      #expect(ended == [1, 1, 2, 2, 0, 0, 0])
      let messages = SQLiteMessages(database: database, tenant: 1, folder: data)
      #expect(
        try messages.shares()
          == StoredShares(
            tenant: StoredUsage(messages: 1, bytes: 16), guests: StoredUsage(messages: 1, bytes: 32),
            remainsOfTenant: StoredUsage(messages: 2, bytes: 3), remainsOfGuests: StoredUsage(messages: 2, bytes: 12)))
      #expect(try messages.usage(ofGuest: DID("did:b:1")!) == StoredUsage(messages: 1, bytes: 32))
      #expect(try messages.usage() == StoredUsage(messages: 6, bytes: 63, guestMessages: 2, guestBytes: 36))
    }
  }

  @Test("what each guest has is counted from the messages, and goes on with those that come, change and go")
  func guests() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    func insert(_ rows: String) -> String {
      "INSERT INTO message (tenant, cid, element, kind, json, author, timestamp, protocol, position, size, share) VALUES \(rows)"
    }
    let pool = try upToDate(from: 6) { database in
      try database.execute(sql: "INSERT INTO tenant (id, did, head) VALUES (1, 'did:a:1', 4), (2, 'did:a:2', 1)")
      try database.execute(
        sql: insert(
          """
          (1, 'c1', 'e1', 'write', '{}', 'did:a:1', 't', 'p', 1, 10, 0),
          (1, 'c2', 'e2', 'write', '{}', 'did:b:1', 't', 'p', 2, 20, 1),
          (1, 'c3', 'e3', 'write', '{}', 'did:b:1', 't', 'p', 3, 30, 2),
          (1, 'c4', 'e4', 'write', '{}', 'did:b:2', 't', 'p', 4, 40, 1),
          (2, 'c5', 'e5', 'write', '{}', 'did:b:1', 't', 'p', 1, 50, 1)
          """))
    }
    func guests() throws -> [String] {
      try pool.read { database in
        try Row.fetchAll(database, sql: "SELECT * FROM guest ORDER BY tenant, author")
          .map { "\($0[0] as Int) \($0[1] as String) \($0[2] as Int) \($0[3] as Int)" }
      }
    }
    #expect(try guests() == ["1 did:b:1 2 50", "1 did:b:2 1 40", "2 did:b:1 1 50"])
    let data = DataFolder(path: path + "-data", largestStaging: 0, random: SystemRandom())
    var comes = SampleMessages.write("c6", by: DID("did:b:2")!)
    comes.share = .member
    comes.json = "[   ]"
    try pool.write {
      let messages = SQLiteMessages(database: $0, tenant: 1, folder: data)
      _ = try SQLiteTransaction(messages, at: DID("did:a:1")!).insert(comes, content: nil)
    }
    #expect(try guests() == ["1 did:b:1 2 50", "1 did:b:2 2 45", "2 did:b:1 1 50"])
    for (change, expected) in [
      ("UPDATE message SET size = 1 WHERE cid = 'c3'", ["2 21", "2 45", "1 50"]),
      ("UPDATE message SET share = 0 WHERE cid = 'cid-c6-0'", ["2 21", "1 40", "1 50"]),
      ("UPDATE message SET share = 1 WHERE cid = 'cid-c6-0'", ["2 21", "2 45", "1 50"]),
      ("DELETE FROM message WHERE author = 'did:b:2'", ["2 21", "1 50"]),
      ("UPDATE message SET share = 0 WHERE cid = 'c5'", ["2 21"]),
    ] {
      try pool.write { try $0.execute(sql: change) }
      #expect(try guests().map { $0.split(separator: " ").suffix(2).joined(separator: " ") } == expected, "\(change)")
    }
  }
}
