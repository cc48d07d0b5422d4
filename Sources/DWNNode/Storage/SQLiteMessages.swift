import DWN
import Foundation
import GRDB
import Identity
import Wire

/// One tenant's messages within a transaction of SQLite: what can be read of them.
struct SQLiteMessages: MessageReader {
  let database: Database
  /// Of one that has nothing yet: no row has it.
  static let noTenant: Int64 = 0
  var tenant: Int64
  let folder: DataFolder

  func messages(of record: RecordID) throws -> [StoredMessage] {
    try fetch("record_id = ? ORDER BY id", [record.text], index: "message_record")
  }

  func place(of record: RecordID) throws -> RecordPlace? {
    // Of the two kinds a delete comes first.
    let statement = try database.cachedStatement(
      sql: """
        SELECT kind, protocol, path, context_id FROM message INDEXED BY message_record
        WHERE tenant = ? AND record_id = ? ORDER BY kind LIMIT 1
        """)
    guard let row = try Row.fetchOne(statement, arguments: [tenant, record.text]) else { return nil }
    guard let path = ProtocolPath(row[2] as String), let context = ContextID(row[3] as String) else {
      throw MessageColumns.damaged
    }
    guard row[0] as String == StoredMessage.Kind.write.rawValue else { return nil }
    return RecordPlace(protocolURI: row[1], path: path, contextID: context)
  }

  func configure(element: String) throws -> StoredMessage? {
    try fetch("element = ? AND kind = 'configure' LIMIT 1", [element], index: "message_element").first
  }

  func message(cid: String) throws -> StoredMessage? {
    try fetch("cid = ?", [cid]).first
  }

  func children(of record: RecordID) throws -> [StoredMessage] {
    try fetch("parent_id = ? ORDER BY id", [record.text])
  }

  func messages(authorizedBy grant: RecordID, after time: WallTime) throws -> [StoredMessage] {
    try fetch("grant_id = ? AND timestamp > ? ORDER BY timestamp", [grant.text, time.timestamp])
  }

  func configure(of protocolURI: String) throws -> StoredMessage? {
    try fetch(Self.definitions + "ORDER BY timestamp DESC, cid DESC LIMIT 1", [protocolURI]).first
  }

  func configureCID(of protocolURI: String, at time: WallTime) throws -> String? {
    let cids = "SELECT cid FROM message INDEXED BY message_configure WHERE tenant = ? AND " + Self.definitions
    let governing = try database.cachedStatement(
      sql: cids + "AND timestamp <= ? ORDER BY timestamp DESC, cid DESC LIMIT 1")
    if let cid = try String.fetchOne(governing, arguments: [tenant, protocolURI, time.timestamp]) { return cid }
    let oldest = try database.cachedStatement(sql: cids + "ORDER BY timestamp, cid LIMIT 1")
    return try String.fetchOne(oldest, arguments: [tenant, protocolURI])
  }

  func configures(_ page: DefinitionPage) throws -> [StoredMessage] {
    var condition = "kind = 'configure' AND is_latest AND protocol > ?"
    var values: [any DatabaseValueConvertible] = [page.after]
    if let protocolURI = page.protocolURI {
      condition += " AND protocol = ?"
      values.append(protocolURI)
    }
    if page.onlyPublished { condition += " AND published" }
    return try fetch(condition + " ORDER BY protocol LIMIT ?", values + [page.limit], index: "message_configure")
  }

  func recordLimits(of protocolURI: String?, at path: ProtocolPath?, atMost count: Int) throws -> [Selection.Occupancy]
  {
    var sql = """
      SELECT protocol, path, maximum FROM query_rule INDEXED BY query_rule_limit
      WHERE tenant = ? AND maximum IS NOT NULL
      """
    var values: [any DatabaseValueConvertible] = [tenant]
    if let protocolURI {
      sql += " AND protocol = ?"
      values.append(protocolURI)
    }
    if let path {
      sql += " AND path = ?"
      values.append(path.text)
    }
    let statement = try database.cachedStatement(sql: sql + " ORDER BY protocol, path LIMIT ?")
    return try Row.fetchAll(statement, arguments: StatementArguments(values + [count])).compactMap { row in
      ProtocolPath(row[1] as String).map { Selection.Occupancy(protocolURI: row[0], path: $0, maximum: row[2]) }
    }
  }

  func hangsDeeper(below root: String, of protocolURI: String) throws -> Bool {
    try number(
      """
      SELECT EXISTS (SELECT 1 FROM query_rule INDEXED BY query_rule_deep
        WHERE tenant = ? AND protocol = ? AND path = ? AND maximum IS NULL)
      """, [tenant, protocolURI, root]) == 1
  }

  func roleRecord(_ place: SiblingPlace, recipient: DID) throws -> StoredMessage? {
    try fetch(
      "recipient = ? AND \(Self.atPlace) AND is_latest AND kind = 'write' LIMIT 1",
      [recipient.text] + Self.values(place)
    ).first
  }

  func hasWrite(at path: ProtocolPath, of protocolURI: String, isEncrypted: Bool) throws -> Bool {
    try number(
      """
      SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_path
        WHERE tenant = ? AND protocol = ? AND path = ? AND is_latest AND kind = 'write'
          AND (json_type(json, '$.encryption') IS NOT NULL) = ?)
      """, [tenant, protocolURI, path.text, isEncrypted]) == 1
  }

  func newestSquash(at place: SiblingPlace) throws -> WallTime? {
    let statement = try database.cachedStatement(
      sql: """
        SELECT timestamp FROM message INDEXED BY message_squash
        WHERE tenant = ? AND \(Self.atPlace) AND squash AND is_initial ORDER BY timestamp DESC LIMIT 1
        """)
    let arguments = StatementArguments([tenant as any DatabaseValueConvertible] + Self.values(place))
    guard let text = try String.fetchOne(statement, arguments: arguments) else { return nil }
    guard let time = WallTime(timestamp: text) else { throw MessageColumns.damaged }
    return time
  }

  func hasTenants(at context: ContextID, withoutGrant grant: RecordID) throws -> Bool {
    try number(
      """
      SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_context WHERE tenant = ?
        AND (context_id = ? OR (context_id > ? AND context_id < ?)) AND share = 0 AND grant_id IS NOT ?)
      """, [tenant, context.text, context.text + "/", context.text + "0", grant.text]) == 1
  }

  func firstWrites(at place: SiblingPlace, after creation: RecordCreation, atMost count: Int) throws -> Int {
    let time = creation.time.timestamp
    return try number(
      """
      SELECT count(*) FROM (SELECT 1 FROM message INDEXED BY message_siblings
        WHERE tenant = ? AND \(Self.atPlace) AND timestamp >= ? AND is_initial
          AND (date_created, record_id) > (?, ?) AND NOT (\(Self.waitsForData))
          AND coalesce((SELECT max(other.timestamp) >= ? FROM message AS other INDEXED BY message_record
            WHERE other.tenant = message.tenant AND other.record_id = message.record_id AND other.kind = 'delete'), 1)
        LIMIT ?)
      """,
      [tenant] + Self.values(place)
        + [time, time, creation.record.text, time, count])
  }

  func count(at place: SiblingPlace, byOthersThan owner: DID) throws -> Int {
    try number(
      "SELECT count(*) FROM message WHERE tenant = ? AND \(Self.atPlace) AND is_initial AND author <> ? AND \(Self.notEnded)",
      [tenant] + Self.values(place) + [owner.text, owner.text])
  }

  func countByAnyone(at place: SiblingPlace, author: DID, notEndedBy owner: DID) throws -> Int {
    try number(
      """
      SELECT count(*) FROM message INDEXED BY message_anyone
      WHERE tenant = ? AND \(Self.atPlace) AND author = ? AND \(Self.byAnyone) AND \(Self.notEnded)
      """, [tenant] + Self.values(place) + [author.text, owner.text])
  }

  func oldestByAnyone(
    at place: SiblingPlace, arrivedBefore time: WallTime, notEndedBy owner: DID
  ) throws -> StoredMessage? {
    try fetch(
      """
      \(Self.atPlace) AND \(Self.byAnyone) AND arrived < ? AND \(Self.notEnded) AND \(Self.aloneWithStrangers)
      ORDER BY arrived LIMIT 1
      """,
      Self.values(place) + [time.timestamp, owner.text], index: "message_arrived"
    ).first
  }

  func find(_ selection: Selection) throws -> [StoredMessage] {
    let arms = selection.arms
    var found: [StoredMessage] = []
    for arm in arms {
      var query = SelectionSQL(selection, arm: arm, tenant: tenant)
      query.order(selection)
      found += try rows("SELECT \(MessageColumns.selected) FROM message" + query.text, query.values)
    }
    guard arms.count > 1 else { return found }
    return Self.merged(found, selection)
  }

  func count(_ selection: Selection) throws -> Int {
    let queries = selection.arms.map { SelectionSQL(selection, arm: $0, tenant: tenant) }
    let union = queries.map { "SELECT id FROM message" + $0.text }.joined(separator: " UNION ")
    return try number("SELECT count(*) FROM (\(union))", queries.flatMap(\.values))
  }

  func content(of message: StoredMessage) throws -> MessageData? {
    guard message.hasData else { return nil }
    let statement = try database.cachedStatement(
      sql: """
        SELECT coalesce(data, (SELECT bytes FROM large_data WHERE message = id)),
          (SELECT name FROM data_file WHERE message = id) FROM message WHERE tenant = ? AND cid = ?
        """)
    guard let row = try Row.fetchOne(statement, arguments: [tenant, message.cid]) else { return nil }
    if let data = row[0] as Data? { return .bytes(Array(data)) }
    guard let name = row[1] as String? else { return nil }
    // Beside a reader's state of things goes a writer, who removed the file for good.
    guard let file = try folder.file(name, size: message.content?.dataSize ?? 0) else { throw VanishedData(name: name) }
    return .file(file)
  }

  func usage() throws -> StoredUsage {
    let statement = try database.cachedStatement(
      sql: "SELECT messages, bytes, guest_messages, guest_bytes FROM tenant WHERE id = ?")
    guard let row = try Row.fetchOne(statement, arguments: [tenant]) else { return StoredUsage(messages: 0, bytes: 0) }
    return StoredUsage(messages: row[0], bytes: row[1], guestMessages: row[2], guestBytes: row[3])
  }

  func shares() throws -> StoredShares {
    let statement = try database.cachedStatement(
      sql: """
        SELECT messages, bytes, live_guest_messages, live_guest_bytes, ended_messages, ended_bytes,
          ended_guest_messages, ended_guest_bytes FROM tenant WHERE id = ?
        """)
    guard let row = try Row.fetchOne(statement, arguments: [tenant]) else { return StoredShares() }
    var shares = StoredShares(
      guests: StoredUsage(messages: row[2], bytes: row[3]),
      remainsOfTenant: StoredUsage(messages: row[4], bytes: row[5]),
      remainsOfGuests: StoredUsage(messages: row[6], bytes: row[7]))
    let others = [shares.guests, shares.remainsOfTenant, shares.remainsOfGuests]
    shares.tenant = StoredUsage(
      messages: row[0] - others.reduce(0) { $0 + $1.messages }, bytes: row[1] - others.reduce(0) { $0 + $1.bytes })
    return shares
  }

  func usage(ofGuest author: DID) throws -> StoredUsage {
    let statement = try database.cachedStatement(
      sql: "SELECT messages, bytes FROM guest WHERE tenant = ? AND author = ?")
    guard let row = try Row.fetchOne(statement, arguments: [tenant, author.text]) else {
      return StoredUsage(messages: 0, bytes: 0)
    }
    return StoredUsage(messages: row[0], bytes: row[1])
  }

  func head() throws -> Int64 {
    try Int64.fetchOne(database.cachedStatement(sql: "SELECT head FROM tenant WHERE id = ?"), arguments: [tenant]) ?? 0
  }

  func feed(_ span: FeedSpan) throws -> [StoredMessage] {
    let (condition, values) = Self.feedCondition(span)
    return try fetch(condition, values, index: "message_feed")
  }

  func fingerprint() throws -> FeedFingerprint {
    let statement = try database.cachedStatement(sql: FeedFingerprint.question)
    return try Row.fetchOne(statement, arguments: [tenant]).map { FeedFingerprint($0) } ?? FeedFingerprint()
  }

  func forEachCID(in span: FeedSpan, _ body: (String) -> Void) throws {
    let (condition, values) = Self.feedCondition(span)
    let cursor = try String.fetchCursor(
      database.asked("SELECT cid FROM message INDEXED BY message_feed WHERE tenant = ? AND " + condition),
      arguments: StatementArguments([tenant as any DatabaseValueConvertible] + values))
    while let cid = try cursor.next() { body(cid) }
  }

  private static func feedCondition(_ span: FeedSpan) -> (String, [any DatabaseValueConvertible]) {
    var condition = "position > ? AND position <= ?"
    var values: [any DatabaseValueConvertible] = [span.after, span.through]
    switch span.filter {
    case .records(let filter):
      // The index is the feed's in any case, so nothing is gained by knowing.
      let sql = FilterSQL(filter, hangsDeeper: true)
      condition += " AND is_latest AND kind IN ('write', 'delete')" + sql.text
      values += sql.values
    case .messages(let filters):
      let sql = MessagesFilterSQL(filters)
      condition += sql.text
      values += sql.values
    case nil: break
    }
    return (condition + " ORDER BY position LIMIT ?", values + [span.limit])
  }

  // MARK: Rows

  static let atPlace = "protocol = ? AND path = ? AND parent_context = ?"
  /// A first write that is all there is of its record, since its data has not come yet.
  static let waitsForData = """
    is_initial AND NOT has_data AND NOT EXISTS (SELECT 1 FROM message AS other
      WHERE other.tenant = message.tenant AND other.record_id = message.record_id AND other.is_latest)
    """
  private static let definitions = "kind = 'configure' AND protocol = ? "
  private static let byAnyone = "is_initial AND share = 2"
  /// Nobody else than its author wrote the record on, and neither the tenant nor a member anything below it.
  private static let aloneWithStrangers = """
    NOT EXISTS (SELECT 1 FROM message AS other INDEXED BY message_record WHERE other.tenant = message.tenant
      AND other.record_id = message.record_id AND other.author <> message.author)
    AND NOT EXISTS (SELECT 1 FROM message AS other INDEXED BY message_context WHERE other.tenant = message.tenant
      AND other.context_id > message.context_id || '/' AND other.context_id < message.context_id || '0'
      AND other.share <> 2 AND other.author <> message.author)
    """
  /// No delete of one author stands for the record.
  private static let notEnded = """
    NOT EXISTS (SELECT 1 FROM message AS other WHERE other.tenant = message.tenant
      AND other.record_id = message.record_id AND other.kind = 'delete' AND other.author = ?)
    """

  static func values(_ place: SiblingPlace) -> [any DatabaseValueConvertible] {
    [place.protocolURI, place.path.text, place.parent?.text ?? ""]
  }

  /// `rest` is what follows `tenant = ? AND`.
  func fetch(
    _ rest: String, _ values: [any DatabaseValueConvertible], index: String? = nil
  ) throws -> [StoredMessage] {
    let hint = index.map { " INDEXED BY \($0)" } ?? ""
    return try rows(
      "SELECT \(MessageColumns.selected) FROM message\(hint) WHERE tenant = ? AND " + rest,
      [tenant as any DatabaseValueConvertible] + values)
  }

  private func rows(_ sql: String, _ values: [any DatabaseValueConvertible]) throws -> [StoredMessage] {
    let cursor = try Row.fetchCursor(database.asked(sql), arguments: StatementArguments(values))
    var messages: [StoredMessage] = []
    while let row = try cursor.next() { messages.append(try MessageColumns.message(row)) }
    return messages
  }

  private func number(_ sql: String, _ values: [any DatabaseValueConvertible]) throws -> Int {
    try Int.fetchOne(database.asked(sql), arguments: StatementArguments(values)) ?? 0
  }

  /// What several arms found, each in order, as one answer.
  private static func merged(_ found: [StoredMessage], _ selection: Selection) -> [StoredMessage] {
    let keyed = found.map { (key: (selection.sort.value(of: $0), $0.cid), message: $0) }
    let sorted = keyed.sorted { selection.sort.isAscending ? $0.key < $1.key : $0.key > $1.key }
    var merged: [StoredMessage] = []
    for (_, message) in sorted where merged.last?.cid != message.cid {
      if let limit = selection.limit, merged.count == limit { break }
      merged.append(message)
    }
    return merged
  }
}

/// A file was removed between a reader's look at the database and its look at the folder: the reader looks again.
struct VanishedData: Error {
  var name: String
}
