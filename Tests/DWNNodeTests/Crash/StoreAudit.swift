import DWN
import Foundation
import GRDB
import Testing
import Wire

@testable import DWNNode

/// What holds of every database that was opened, whatever happened before: what can be told of a message from its own text is
/// told again here, by SQLite's JSON functions instead of the program's.
struct StoreAudit {
  /// What stands for a record, with the write that says its tags: a delete has those of the newest write.
  private static let tellingTags = """
    WITH telling AS (
      SELECT id, json FROM message NOT INDEXED WHERE is_latest AND kind = 'write' UNION ALL
      SELECT id, (
        SELECT json FROM message AS write WHERE write.tenant = ended.tenant AND write.record_id = ended.record_id
          AND write.kind = 'write' ORDER BY timestamp DESC, cid DESC LIMIT 1)
      FROM message AS ended NOT INDEXED WHERE is_latest AND kind = 'delete')
    """

  private static let guests = """
    SELECT tenant, author, count(*), sum(size) FROM message NOT INDEXED WHERE share <> 0 AND ended = 0
      GROUP BY tenant, author
    """

  /// What must not be, and the rows that are it.
  private static let faults: [(name: String, rows: String)] = [
    (
      "a column that says something else than its message",
      """
      SELECT cid FROM message NOT INDEXED WHERE timestamp IS NOT json_extract(json, '$.descriptor.messageTimestamp')
        OR (kind = 'write' AND (record_id IS NOT json_extract(json, '$.recordId')
          OR context_id IS NOT json_extract(json, '$.contextId')
          OR protocol IS NOT json_extract(json, '$.descriptor.protocol')
          OR path IS NOT json_extract(json, '$.descriptor.protocolPath')
          OR recipient IS NOT json_extract(json, '$.descriptor.recipient')
          OR schema IS NOT json_extract(json, '$.descriptor.schema')
          OR date_created IS NOT json_extract(json, '$.descriptor.dateCreated')
          OR date_published IS NOT json_extract(json, '$.descriptor.datePublished')
          OR data_cid IS NOT json_extract(json, '$.descriptor.dataCid')
          OR data_size IS NOT json_extract(json, '$.descriptor.dataSize')
          OR squash IS NOT coalesce(json_extract(json, '$.descriptor.squash'), 0)
          OR published IS NOT coalesce(json_extract(json, '$.descriptor.published'), 0)))
        OR (kind = 'delete' AND record_id IS NOT json_extract(json, '$.descriptor.recordId'))
        OR (kind = 'configure' AND protocol IS NOT json_extract(json, '$.descriptor.definition.protocol'))
      """
    ),
    (
      "a record for which not exactly one message stands",
      """
      SELECT record_id FROM message NOT INDEXED WHERE record_id IS NOT NULL
        GROUP BY tenant, record_id HAVING sum(is_latest) <> 1
      """
    ),
    (
      "a message that stands for its record though a newer one is there",
      """
      SELECT cid FROM message AS standing NOT INDEXED WHERE is_latest AND kind = 'write' AND EXISTS (
        SELECT 1 FROM message AS other WHERE other.tenant = standing.tenant AND other.record_id = standing.record_id
          AND (other.kind = 'delete' OR (other.timestamp, other.cid) > (standing.timestamp, standing.cid)))
      """
    ),
    (
      "a record without its first write",
      """
      SELECT record_id FROM message NOT INDEXED WHERE record_id IS NOT NULL
        GROUP BY tenant, record_id HAVING sum(is_initial) <> 1
      """
    ),
    (
      "a tag of no message",
      """
      \(tellingTags) SELECT message, name, coalesce(text_value, number_value, bool_value) FROM tag EXCEPT
        SELECT telling.id, tags.key, tags.atom FROM telling, json_each(telling.json, '$.descriptor.tags') AS tags
      """
    ),
    (
      "a message whose tags are not all there",
      """
      \(tellingTags) SELECT telling.id, tags.key, tags.atom
        FROM telling, json_each(telling.json, '$.descriptor.tags') AS tags EXCEPT
        SELECT message, name, coalesce(text_value, number_value, bool_value) FROM tag
      """
    ),
    (
      "data in no place, or in two",
      """
      SELECT cid FROM message NOT INDEXED WHERE has_data <> (data IS NOT NULL)
        + EXISTS (SELECT 1 FROM large_data WHERE message = id) + EXISTS (SELECT 1 FROM data_file WHERE message = id)
        OR (kind = 'write' AND is_latest AND NOT has_data)
      """
    ),
    (
      "a position that is given twice, or was never given",
      """
      SELECT position FROM message NOT INDEXED JOIN tenant ON tenant.id = tenant
        GROUP BY tenant, position HAVING count(*) > 1 OR position < 1 OR position > head
      """
    ),
    (
      "a sum that is not that of the messages",
      """
      SELECT did FROM tenant WHERE (messages, bytes, guest_messages, guest_bytes) <> (
        SELECT count(*), coalesce(sum(size), 0), coalesce(sum(share <> 0), 0), coalesce(sum((share <> 0) * size), 0)
        FROM message NOT INDEXED WHERE tenant = tenant.id)
      """
    ),
    (
      "a message that does not know whether its record was deleted",
      """
      SELECT cid FROM message NOT INDEXED WHERE ended <> CASE WHEN record_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM message AS other WHERE other.tenant = message.tenant AND other.record_id = message.record_id
          AND other.kind = 'delete') THEN \(StoredSums.ended) ELSE 0 END
      """
    ),
    (
      "a part of a sum that is not that of the messages",
      """
      SELECT did FROM tenant WHERE (live_guest_messages, live_guest_bytes, ended_messages, ended_bytes,
          ended_guest_messages, ended_guest_bytes) <> (
        SELECT coalesce(sum(share <> 0 AND ended = 0), 0), coalesce(sum((share <> 0 AND ended = 0) * size), 0),
          coalesce(sum(ended = 1), 0), coalesce(sum((ended = 1) * size), 0),
          coalesce(sum(ended = 2), 0), coalesce(sum((ended = 2) * size), 0)
        FROM message NOT INDEXED WHERE tenant = tenant.id)
      """
    ),
    ("a guest whose sum is not that of the messages", "\(guests) EXCEPT SELECT * FROM guest"),
    ("a sum of a guest who has nothing", "SELECT * FROM guest EXCEPT \(guests)"),
    (
      "a size that is not the message's",
      """
      SELECT cid FROM message NOT INDEXED
        WHERE size <> length(CAST(json AS BLOB)) + CASE WHEN has_data THEN data_size ELSE 0 END
      """
    ),
    ("a file that is to be removed", "SELECT name FROM dropped_file"),
  ]

  let database: Database
  let folder: DataFolder

  /// Records an issue for whatever is not as it has to be.
  func check(_ label: Comment) throws {
    #expect(try String.fetchAll(database, sql: "PRAGMA integrity_check") == ["ok"], label)
    #expect(try Row.fetchAll(database, sql: "PRAGMA foreign_key_check").isEmpty, label)
    for fault in Self.faults {
      let rows = try Row.fetchAll(database, sql: fault.rows + " LIMIT 5")
      #expect(rows.isEmpty, "\(label): \(fault.name): \(rows.map { "\(Array($0.databaseValues))" })")
    }
    var counted: [Int64: FeedFingerprint] = [:]
    for row in try Row.fetchAll(database, sql: "SELECT tenant, cid FROM message NOT INDEXED") {
      counted[row[0], default: FeedFingerprint()].toggle(row[1])
    }
    for tenant in try Int64.fetchAll(database, sql: "SELECT id FROM tenant") {
      let kept = try Row.fetchOne(database, sql: FeedFingerprint.question, arguments: [tenant])
      #expect(kept.map { FeedFingerprint($0) } == counted[tenant] ?? FeedFingerprint(), label)
    }
  }

  /// Every file is named by a message, and every file that a message names is there.
  func checkFiles(_ label: Comment) throws {
    let named = try Set(String.fetchAll(database, sql: "SELECT DISTINCT name FROM data_file"))
    let there = try Set(folder.names())
    #expect(there.subtracting(named).isEmpty, "\(label): files that no message names")
    #expect(named.subtracting(there).isEmpty, "\(label): files that are gone")
  }

  /// Whether the data of the messages that came after a position is what they say it is. It is the dearest of the questions.
  func checkData(after position: Int64, _ label: Comment) throws {
    let rows = try Row.fetchCursor(
      database,
      sql: """
        SELECT data_cid, data_size, coalesce(data, (SELECT bytes FROM large_data WHERE message = id)),
          (SELECT name FROM data_file WHERE message = id) FROM message WHERE has_data AND position > ?
        """, arguments: [position])
    while let row = try rows.next() {
      let size: Int = row[1]
      let inRow = (row[2] as Data?).map { Array($0) }
      let data = try inRow ?? folder.file(row[3] as String? ?? "", size: size)?.read(0..<size)
      #expect(data.map { DataCID.of($0).text } == row[0], label)
    }
  }
}
