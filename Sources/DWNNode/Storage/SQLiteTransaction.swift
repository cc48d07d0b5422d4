import DWN
import Foundation
import GRDB
import Identity
import Wire

/// One tenant's messages within a writing transaction of SQLite.
final class SQLiteTransaction: MessageTransaction {
  private var reader: SQLiteMessages
  private let did: DID
  let ended: EndedRights?
  private var database: Database { reader.database }
  private var tenant: Int64 { reader.tenant }
  /// What came into the feed, in order.
  private(set) var entries: [StoredMessage] = []
  /// Files that messages name from now on.
  private(set) var files: [DataFile] = []

  /// The tenant has a row from its first message on.
  init(_ reader: SQLiteMessages, at tenant: DID, ended: EndedRights? = nil) {
    self.reader = reader
    did = tenant
    self.ended = ended
  }

  @discardableResult
  func insert(_ message: StoredMessage, content data: MessageData?) throws -> Int64 {
    var message = message
    message.hasData = data != nil
    let size = message.size(with: data)
    if tenant == SQLiteMessages.noTenant {
      try execute("INSERT INTO tenant (did) VALUES (?)", [did.text])
      reader.tenant = database.lastInsertedRowID
    }
    message.position = try nextPosition(for: message, size)
    try insertRow(message, data, size)
    let id = database.lastInsertedRowID
    switch data {
    case .bytes(let bytes) where bytes.count > NodeLimits.inlineData:
      try database.execute(sql: "INSERT INTO large_data (message, bytes) VALUES (?, ?)", arguments: [id, Data(bytes)])
    case .file(let file):
      try database.execute(sql: "INSERT INTO data_file (message, name) VALUES (?, ?)", arguments: [id, file.name])
      files.append(file)
    default: break
    }
    if message.isLatest, let tags = message.content?.tags ?? message.ended?.tags {
      try SQLiteTags.insert(tags, message: id, tenant, database)
    }
    if let rules = message.queryRules {
      try SQLiteQueryRules.insert(rules, message: id, isLatest: message.isLatest, tenant, message.protocolURI, database)
    }
    if message.kind == .delete || !message.isLatest, let record = message.place?.recordID { try end(record) }
    entries.append(message)
    return message.position
  }

  func demote(_ message: StoredMessage) throws {
    let ofMessage = "(SELECT id FROM message WHERE tenant = ? AND cid = ?)"
    for table in ["tag", "large_data", "data_file"] {
      try execute("DELETE FROM \(table) WHERE message = \(ofMessage)", [tenant, message.cid])
    }
    if message.kind == .configure {
      try execute(
        "DELETE FROM query_rule WHERE message = \(ofMessage) AND maximum IS NOT NULL", [tenant, message.cid])
    }
    try execute(
      """
      UPDATE message SET is_latest = 0, has_data = 0, data = NULL,
        size = CASE kind WHEN 'configure' THEN size ELSE length(CAST(json AS BLOB)) END
      WHERE tenant = ? AND cid = ?
      """, [tenant, message.cid])
  }

  func remove(_ message: StoredMessage) throws {
    try execute("DELETE FROM message WHERE tenant = ? AND cid = ?", [tenant, message.cid])
    if database.changesCount > 0 { try forget([message.cid]) }
  }

  func erase(below context: ContextID, includingRecord: Bool) throws {
    // `0` follows `/`: between the two lies everything that begins with the context and a slash.
    let below: StatementArguments = [tenant, context.text + "/", context.text + "0"]
    try erase(where: "context_id >= ? AND context_id < ?", below)
    if includingRecord { try erase(where: "context_id = ?", [tenant, context.text]) }
  }

  func siblings(at place: SiblingPlace, olderThan time: WallTime) throws -> [StoredMessage] {
    // What stands for a record is its newest message, but for a delete by a clock that is behind, and for a first write that still
    // waits for its data.
    let younger = """
      SELECT 1 FROM message AS other INDEXED BY message_record WHERE other.tenant = message.tenant
        AND other.record_id = message.record_id AND other.timestamp >= ?
      """
    return try reader.fetch(
      SQLiteMessages.atPlace
        + " AND timestamp < ? AND (is_latest OR (\(SQLiteMessages.waitsForData))) AND NOT EXISTS (\(younger))",
      SQLiteMessages.values(place) + [time.timestamp, time.timestamp], index: "message_siblings")
  }

  func oldest(at place: SiblingPlace, beyond count: Int) throws -> [StoredMessage] {
    try reader.fetch(
      SQLiteMessages.atPlace
        + " AND is_latest AND kind = 'write' ORDER BY date_created DESC, record_id DESC LIMIT -1 OFFSET ?",
      SQLiteMessages.values(place) + [count], index: "message_place")
  }

  /// `OR FAIL`: SQLite need not be able to undo it alone.
  private static let arrival = """
    UPDATE OR FAIL tenant SET head = head + 1, \(FeedFingerprint.toggling), \(StoredSums.adding(share: "?6", size: "?7"))
    WHERE id = ?5 RETURNING head
    """

  /// Counts a message, with its size, and says where in the feed it stands.
  private func nextPosition(for message: StoredMessage, _ size: Int) throws -> Int64 {
    if message.share != .tenant { try execute(StoredSums.addingToGuest, [tenant, message.author.text, size]) }
    let statement = try database.cachedStatement(sql: Self.arrival)
    let arguments = StatementArguments(
      FeedFingerprint.of(message.cid).values + [tenant, message.share.rawValue, size])
    guard let position = try Int64.fetchOne(statement, arguments: arguments) else {
      throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a tenant vanished while it was written to")
    }
    return position
  }

  /// From now on what is kept of a record is what is left of it, if there is a delete.
  private func end(_ record: RecordID) throws {
    try execute(
      """
      UPDATE message INDEXED BY message_record SET ended = \(StoredSums.ended)
      WHERE tenant = ?1 AND record_id = ?2 AND EXISTS (
        SELECT 1 FROM message AS other INDEXED BY message_record
        WHERE other.tenant = ?1 AND other.record_id = ?2 AND other.kind = 'delete')
      """, [tenant, record.text])
  }

  private func insertRow(_ message: StoredMessage, _ data: MessageData?, _ size: Int) throws {
    let place = message.place
    let content = message.content
    var inline: Data?
    if case .bytes(let bytes) = data, bytes.count <= NodeLimits.inlineData { inline = Data(bytes) }
    let statement = try database.cachedStatement(sql: MessageColumns.insert)
    try statement.execute(arguments: [
      tenant, message.cid, message.element, message.kind.rawValue, message.json, message.author.text,
      message.timestamp.timestamp, message.protocolURI, message.isPublished,
      place?.recordID.text, place?.path.text, place?.contextID.text, place.map { $0.contextID.parent?.text ?? "" },
      place?.contextID.parent?.record.text, place?.recipient?.text, place?.schema, place?.dateCreated.timestamp,
      message.datePublished?.timestamp, content?.dataFormat, content?.dataCID.text, content?.dataSize,
      content?.isSquash ?? false, content?.isInitial ?? false, message.isLatest, message.hasData, inline,
      message.attester?.text, message.grantID?.text, message.share.rawValue, message.arrived?.timestamp,
      message.position, size,
    ])
  }

  private func erase(where condition: String, _ arguments: StatementArguments) throws {
    let cids = try String.fetchSet(
      database.cachedStatement(
        sql: "DELETE FROM message INDEXED BY message_context WHERE tenant = ? AND \(condition) RETURNING cid"),
      arguments: arguments)
    try forget(cids)
  }

  /// What left the feed.
  private func forget(_ cids: Set<String>) throws {
    guard !cids.isEmpty else { return }
    entries.removeAll { cids.contains($0.cid) }
    var fingerprint = FeedFingerprint()
    for cid in cids { fingerprint.toggle(cid) }
    try execute(
      "UPDATE tenant SET \(FeedFingerprint.toggling) WHERE id = ?5", StatementArguments(fingerprint.values + [tenant]))
  }

  private func execute(_ sql: String, _ arguments: StatementArguments) throws {
    try database.cachedStatement(sql: sql).execute(arguments: arguments)
  }
}

/// The values of tags, one row each: also each item of a list.
enum SQLiteTags {
  static func insert(_ tags: JSONObject, message: Int64, _ tenant: Int64, _ database: Database) throws {
    let statement = try database.cachedStatement(
      sql: "INSERT INTO tag (message, tenant, name, text_value, number_value, bool_value) VALUES (?, ?, ?, ?, ?, ?)")
    for (name, value) in tags.members {
      for item in value.array ?? [value] {
        try statement.execute(arguments: [message, tenant, name, item.string, item.double, item.bool])
      }
    }
  }
}

/// What a definition means for queries, one row for each path.
enum SQLiteQueryRules {
  static func insert(
    _ rules: QueryRules, message: Int64, isLatest: Bool, _ tenant: Int64, _ protocolURI: String, _ database: Database
  ) throws {
    let statement = try database.cachedStatement(
      sql: "INSERT INTO query_rule (message, tenant, protocol, path, maximum) VALUES (?, ?, ?, ?, ?)")
    for limit in rules.limits where isLatest {
      try statement.execute(arguments: [message, tenant, protocolURI, limit.path.text, limit.maximum])
    }
    for root in rules.deepRoots {
      try statement.execute(arguments: [message, tenant, protocolURI, root.text, nil])
    }
  }
}

// MARK: What a writer reads

extension SQLiteTransaction {
  func messages(of record: RecordID) throws -> [StoredMessage] { try reader.messages(of: record) }
  func place(of record: RecordID) throws -> RecordPlace? { try reader.place(of: record) }
  func configure(element: String) throws -> StoredMessage? { try reader.configure(element: element) }
  func message(cid: String) throws -> StoredMessage? { try reader.message(cid: cid) }
  func children(of record: RecordID) throws -> [StoredMessage] { try reader.children(of: record) }
  func hasTenants(at context: ContextID, withoutGrant grant: RecordID) throws -> Bool {
    try reader.hasTenants(at: context, withoutGrant: grant)
  }
  func firstWrites(at place: SiblingPlace, after creation: RecordCreation, atMost count: Int) throws -> Int {
    try reader.firstWrites(at: place, after: creation, atMost: count)
  }
  func messages(authorizedBy grant: RecordID, after time: WallTime) throws -> [StoredMessage] {
    try reader.messages(authorizedBy: grant, after: time)
  }
  func configure(of protocolURI: String) throws -> StoredMessage? { try reader.configure(of: protocolURI) }
  func configureCID(of protocolURI: String, at time: WallTime) throws -> String? {
    try reader.configureCID(of: protocolURI, at: time)
  }
  func configures(_ page: DefinitionPage) throws -> [StoredMessage] { try reader.configures(page) }
  func recordLimits(of protocolURI: String?, at path: ProtocolPath?, atMost count: Int) throws -> [Selection.Occupancy]
  {
    try reader.recordLimits(of: protocolURI, at: path, atMost: count)
  }
  func hangsDeeper(below root: String, of protocolURI: String) throws -> Bool {
    try reader.hangsDeeper(below: root, of: protocolURI)
  }
  func roleRecord(_ place: SiblingPlace, recipient: DID) throws -> StoredMessage? {
    try reader.roleRecord(place, recipient: recipient)
  }
  func hasWrite(at path: ProtocolPath, of protocolURI: String, isEncrypted: Bool) throws -> Bool {
    try reader.hasWrite(at: path, of: protocolURI, isEncrypted: isEncrypted)
  }
  func newestSquash(at place: SiblingPlace) throws -> WallTime? { try reader.newestSquash(at: place) }
  func count(at place: SiblingPlace, byOthersThan owner: DID) throws -> Int {
    try reader.count(at: place, byOthersThan: owner)
  }
  func countByAnyone(at place: SiblingPlace, author: DID, notEndedBy owner: DID) throws -> Int {
    try reader.countByAnyone(at: place, author: author, notEndedBy: owner)
  }
  func oldestByAnyone(
    at place: SiblingPlace, arrivedBefore time: WallTime, notEndedBy owner: DID
  ) throws -> StoredMessage? {
    try reader.oldestByAnyone(at: place, arrivedBefore: time, notEndedBy: owner)
  }
  func find(_ selection: Selection) throws -> [StoredMessage] { try reader.find(selection) }
  func count(_ selection: Selection) throws -> Int { try reader.count(selection) }
  func content(of message: StoredMessage) throws -> MessageData? { try reader.content(of: message) }
  func usage() throws -> StoredUsage { try reader.usage() }
  func shares() throws -> StoredShares { try reader.shares() }
  func usage(ofGuest author: DID) throws -> StoredUsage { try reader.usage(ofGuest: author) }
  func head() throws -> Int64 { try reader.head() }
  func feed(_ span: FeedSpan) throws -> [StoredMessage] { try reader.feed(span) }
  func fingerprint() throws -> FeedFingerprint { try reader.fingerprint() }
  func forEachCID(in span: FeedSpan, _ body: (String) -> Void) throws { try reader.forEachCID(in: span, body) }
}
