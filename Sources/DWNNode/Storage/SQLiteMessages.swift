import DWN
import Foundation
import GRDB
import Identity
import Wire

/// One tenant's messages within a transaction of SQLite.
struct SQLiteMessages: MessageTransaction {
  let database: Database
  let tenant: Int64

  // MARK: Reading

  func messages(of record: RecordID) throws -> [StoredMessage] {
    try fetch("record_id = ? ORDER BY id", [record.text])
  }

  func message(element: String) throws -> StoredMessage? {
    try fetch("element = ? LIMIT 1", [element]).first
  }

  func configure(of protocolURI: String) throws -> StoredMessage? {
    try fetch("kind = 'configure' AND protocol = ? AND is_latest LIMIT 1", [protocolURI]).first
  }

  func configure(of protocolURI: String, at time: WallTime) throws -> StoredMessage? {
    let definitions = "kind = 'configure' AND protocol = ?"
    let current = try fetch(
      definitions + " AND timestamp <= ? ORDER BY timestamp DESC, cid DESC LIMIT 1", [protocolURI, time.timestamp])
    return try (current.isEmpty ? fetch(definitions + " ORDER BY timestamp, cid LIMIT 1", [protocolURI]) : current).first
  }

  func configures(of protocolURI: String?, onlyPublished: Bool) throws -> [StoredMessage] {
    var condition = "kind = 'configure' AND is_latest"
    var values: [any DatabaseValueConvertible] = []
    if let protocolURI {
      condition += " AND protocol = ?"
      values.append(protocolURI)
    }
    if onlyPublished { condition += " AND published" }
    return try fetch(condition + " ORDER BY protocol", values)
  }

  func roleRecord(_ place: SiblingPlace, recipient: DID) throws -> StoredMessage? {
    try fetch(
      Self.atPlace + " AND is_latest AND kind = 'write' AND recipient = ? LIMIT 1", values(place) + [recipient.text]
    ).first
  }

  func newestSquash(at place: SiblingPlace) throws -> WallTime? {
    try fetch(Self.atPlace + " AND squash AND is_initial ORDER BY timestamp DESC LIMIT 1", values(place))
      .first?.timestamp
  }

  func count(at place: SiblingPlace, byOthersThan owner: DID) throws -> Int {
    let statement = try database.cachedStatement(
      sql: """
        SELECT count(*) FROM message WHERE tenant = ? AND \(Self.atPlace) AND is_initial AND author <> ? AND NOT EXISTS (
          SELECT 1 FROM message AS other WHERE other.tenant = message.tenant AND other.record_id = message.record_id
            AND other.kind = 'delete' AND other.author = ?)
        """)
    let arguments: [any DatabaseValueConvertible] = [tenant] + values(place) + [owner.text, owner.text]
    return try Int.fetchOne(statement, arguments: StatementArguments(arguments)) ?? 0
  }

  func find(_ selection: Selection) throws -> [StoredMessage] {
    let query = SelectionSQL(selection)
    return try fetch(query.text, query.values)
  }

  func count(_ selection: Selection) throws -> Int {
    var selection = selection
    selection.limit = nil
    let query = SelectionSQL(selection)
    let statement = try database.cachedStatement(sql: "SELECT count(*) FROM message WHERE tenant = ? AND " + query.text)
    let arguments: [any DatabaseValueConvertible] = [tenant] + query.values
    return try Int.fetchOne(statement, arguments: StatementArguments(arguments)) ?? 0
  }

  func data(of message: StoredMessage) throws -> [UInt8]? {
    guard message.hasData else { return nil }
    let statement = try database.cachedStatement(
      sql: """
        SELECT coalesce(data, (SELECT bytes FROM large_data WHERE message = id)) FROM message WHERE tenant = ? AND cid = ?
        """)
    return try Data.fetchOne(statement, arguments: [tenant, message.cid]).map { Array($0) }
  }

  func siblings(at place: SiblingPlace, olderThan time: WallTime) throws -> [StoredMessage] {
    // The newest message of a record is the one that stands for it, or a first write that still waits for its data.
    try fetch(
      Self.atPlace + " AND timestamp < ? AND (is_latest OR (is_initial AND NOT has_data AND NOT EXISTS ("
        + "SELECT 1 FROM message AS other WHERE other.tenant = message.tenant AND other.record_id = message.record_id "
        + "AND other.is_latest)))",
      values(place) + [time.timestamp])
  }

  func oldest(at place: SiblingPlace, beyond count: Int) throws -> [StoredMessage] {
    try fetch(
      Self.atPlace + " AND is_latest AND kind = 'write' ORDER BY date_created DESC, record_id DESC LIMIT -1 OFFSET ?",
      values(place) + [count])
  }

  // MARK: Writing

  func insert(_ message: StoredMessage, data: [UInt8]?) throws {
    let place = message.place
    let content = message.content
    let isInline = (data?.count ?? 0) <= NodeLimits.inlineData
    let statement = try database.cachedStatement(sql: MessageColumns.insert)
    try statement.execute(arguments: [
      tenant, message.cid, message.element, message.kind.rawValue, message.json, message.author.text,
      message.timestamp.timestamp, message.protocolURI, content?.isPublished ?? message.isPublishedDefinition,
      place?.recordID.text, place?.path.text, place?.contextID.text, place.map { $0.contextID.parent?.text ?? "" },
      place?.contextID.parent?.record.text, place?.recipient?.text, place?.schema, place?.dateCreated.timestamp,
      content?.datePublished?.timestamp, content?.dataFormat, content?.dataCID.text, content?.dataSize,
      content?.isSquash ?? false, content?.isInitial ?? false, message.isLatest, data != nil,
      isInline ? data.map { Data($0) } : nil,
    ])
    let id = database.lastInsertedRowID
    if let data, !isInline {
      try database.execute(sql: "INSERT INTO large_data (message, bytes) VALUES (?, ?)", arguments: [id, Data(data)])
    }
    if message.isLatest, let tags = content?.tags { try insert(tags, message: id) }
  }

  func demote(_ message: StoredMessage) throws {
    let ofMessage = "(SELECT id FROM message WHERE tenant = ? AND cid = ?)"
    for table in ["tag", "large_data"] {
      try database.execute(
        sql: "DELETE FROM \(table) WHERE message = \(ofMessage)", arguments: [tenant, message.cid])
    }
    try database.execute(
      sql: "UPDATE message SET is_latest = 0, has_data = 0, data = NULL WHERE tenant = ? AND cid = ?",
      arguments: [tenant, message.cid])
  }

  func remove(_ message: StoredMessage) throws {
    try database.execute(sql: "DELETE FROM message WHERE tenant = ? AND cid = ?", arguments: [tenant, message.cid])
  }

  func erase(below context: ContextID, includingRecord: Bool) throws -> Set<ChangeHint> {
    // `0` follows `/`: between the two lies everything that begins with the context and a slash.
    let below: StatementArguments = [tenant, context.text + "/", context.text + "0"]
    var hints = try erase(where: "context_id >= ? AND context_id < ?", below)
    if includingRecord { hints.formUnion(try erase(where: "context_id = ?", [tenant, context.text])) }
    return hints
  }

  private func erase(where condition: String, _ arguments: StatementArguments) throws -> Set<ChangeHint> {
    let rest = "FROM message WHERE tenant = ? AND \(condition)"
    let places = try Row.fetchAll(database, sql: "SELECT DISTINCT protocol, path \(rest)", arguments: arguments)
    try database.execute(sql: "DELETE \(rest)", arguments: arguments)
    return Set(places.map { ChangeHint(protocolURI: $0[0], path: ProtocolPath($0[1] as String)) })
  }

  private func insert(_ tags: JSONObject, message: Int64) throws {
    let statement = try database.cachedStatement(
      sql: "INSERT INTO tag (message, name, text_value, number_value, bool_value) VALUES (?, ?, ?, ?, ?)")
    for (name, value) in tags.members {
      for item in value.array ?? [value] {
        try statement.execute(arguments: [message, name, item.string, item.double, item.bool])
      }
    }
  }

  // MARK: Rows

  private static let atPlace = "protocol = ? AND path = ? AND parent_context = ?"

  private func values(_ place: SiblingPlace) -> [any DatabaseValueConvertible] {
    [place.protocolURI, place.path.text, place.parent?.text ?? ""]
  }

  /// `rest` is what follows `tenant = ? AND`.
  private func fetch(_ rest: String, _ values: [any DatabaseValueConvertible]) throws -> [StoredMessage] {
    let statement = try database.cachedStatement(
      sql: "SELECT \(MessageColumns.selected) FROM message WHERE tenant = ? AND " + rest)
    return try Row.fetchAll(statement, arguments: StatementArguments([tenant as any DatabaseValueConvertible] + values))
      .map { try MessageColumns.message($0) }
  }
}
