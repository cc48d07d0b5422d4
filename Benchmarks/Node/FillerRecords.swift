import Identity
import DWN
import GRDB
import Wire

/// Records that make a database large. Nobody asks for them: they are copies of one genuine record under other names, put into the
/// table beside the node, since signing a million would take longer than measuring.
enum FillerRecords {
  private static let batch = 50_000

  /// Brings the number of a tenant's copies to a count. Every thousand of them lie below a machine of their own.
  static func fill(_ databasePath: String, template: RecordsWrite, from first: Int, to count: Int) throws {
    var configuration = Configuration()
    configuration.busyMode = .timeout(60)
    let queue = try DatabaseQueue(path: databasePath, configuration: configuration)
    try queue.inDatabase { database in
      try database.execute(sql: "PRAGMA synchronous = OFF")
      try database.execute(sql: "PRAGMA cache_size = -200000")
      let row = try Row.fetchOne(database, sql: "SELECT * FROM message WHERE cid = ?", arguments: [template.cid.text])
      guard let row else { throw BenchmarkFailure(reason: "the template is not in the database") }
      let replaced: [String: String] = [
        "id": "NULL", "cid": "'copy' || i", "element": "'copy' || i", "record_id": "'copy' || i",
        "context_id": "network || '/machine' || (i / 1000) || '/copy' || i",
        "parent_context": "network || '/machine' || (i / 1000)", "parent_id": "'machine' || (i / 1000)",
        "position": "top + i - lowest + 1",
        "date_created": "strftime('%Y-%m-%dT%H:%M:%S', 1700000000 + i, 'unixepoch') || '.000000Z'",
        "timestamp": "strftime('%Y-%m-%dT%H:%M:%S', 1700000000 + i, 'unixepoch') || '.000000Z'",
      ]
      let columns = Array(row.columnNames)
      let sql = """
        WITH RECURSIVE number(i) AS (SELECT :lowest UNION ALL SELECT i + 1 FROM number WHERE i + 1 < :beyond)
        INSERT INTO message (\(columns.joined(separator: ", ")))
        SELECT \(columns.map { replaced[$0] ?? "template.\($0)" }.joined(separator: ", "))
        FROM number, message AS template, (SELECT :network AS network, :lowest AS lowest),
          (SELECT head AS top FROM tenant WHERE did = :tenant) WHERE template.cid = :cid
        """
      for lowest in stride(from: first, to: count, by: batch) {
        let beyond = min(lowest + batch, count)
        try database.inTransaction {
          try database.execute(
            sql: sql,
            arguments: [
              "lowest": lowest, "beyond": beyond, "network": template.contextID.root.text,
              "tenant": template.author.text, "cid": template.cid.text,
            ])
          try database.execute(
            sql: """
              UPDATE tenant SET head = head + :count, messages = messages + :count, bytes = bytes + :count * :size
              WHERE did = :tenant
              """,
            arguments: ["count": beyond - lowest, "size": row["size"] as Int, "tenant": template.author.text])
          return .commit
        }
      }
      try database.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)")
    }
    try queue.close()
  }
}
