import Foundation
import GRDB
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A database of an earlier version of the program is brought up to date with everything in it.
@Suite(.timeLimit(.minutes(10)))
struct SchemaMigrationTests {
  @Test(
    "messages of the first version get positions in the order in which they came, and their tags and sums stay right")
  func first() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("migration-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("node.sqlite").path
    let old = try DurableDatabase.open(path: path, schema: Array(NodeSchema.steps.prefix(1)))
    try old.write { database in
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
    try DurableDatabase.close(old)

    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
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
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("migration-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("node.sqlite").path
    let old = try DurableDatabase.open(path: path, schema: Array(NodeSchema.steps.prefix(5)))
    let limit = #"{"few": {"$recordLimit": {"max": 2, "strategy": "reject"}}}"#
    let deep = #"{"other": {"$ref": "theirs:a/b", "mine": {}}}"#
    func configure(_ structure: String, types: String, uses: String = "{}") -> String {
      #"""
      {"descriptor": {"definition": {"protocol": "https://example.org/test", "published": true, "uses": \#(uses),
        "types": \#(types), "structure": \#(structure)}}}
      """#
    }
    try old.write { database in
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
    try DurableDatabase.close(old)
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    let rules = try pool.read { database in
      try Row.fetchAll(
        database, sql: "SELECT message, tenant, protocol, path, maximum FROM query_rule ORDER BY message"
      )
      .map { "\($0[0] as Int) \($0[1] as Int) \($0[2] as String) \($0[3] as String) \(($0[4] as Int?) ?? 0)" }
    }
    #expect(rules == ["1 1 https://example.org/test few 2", "3 1 https://example.org/test other 0"])
  }
}
