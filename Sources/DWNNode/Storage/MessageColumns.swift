import DWN
import GRDB
import Identity
import Wire

/// The columns of the table `message`, in the order in which they are written and read.
enum MessageColumns {
  static let selected = """
    kind, cid, element, author, timestamp, json, protocol, published, record_id, path, context_id, recipient, schema, \
    date_created, date_published, data_format, data_cid, data_size, squash, is_initial, is_latest, has_data, attester, \
    grant_id, share, arrived, position
    """

  static let insert = """
    INSERT INTO message (
      tenant, cid, element, kind, json, author, timestamp, protocol, published, record_id, path, context_id,
      parent_context, parent_id, recipient, schema, date_created, date_published, data_format, data_cid, data_size,
      squash, is_initial, is_latest, has_data, data, attester, grant_id, share, arrived, position, size
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    """

  /// Tags are not read back: those who need them read the message.
  static func message(_ row: Row) throws -> StoredMessage {
    guard let kind = StoredMessage.Kind(rawValue: row[0]), let author = DID(row[3] as String),
      let timestamp = WallTime(timestamp: row[4]), let share = StoredMessage.Share(rawValue: row[24])
    else { throw damaged }
    var message = StoredMessage(
      kind: kind, cid: row[1], element: row[2], author: author, timestamp: timestamp, json: row[5],
      protocolURI: row[6], isPublishedDefinition: kind == .configure && row[7], isLatest: row[20], hasData: row[21],
      attester: (row[22] as String?).flatMap { DID($0) }, grantID: (row[23] as String?).flatMap { RecordID($0) },
      share: share, arrived: (row[25] as String?).flatMap { WallTime(timestamp: $0) }, position: row[26])
    if kind != .configure { message.place = try place(row) }
    switch kind {
    case .write: message.content = try content(row)
    case .delete:
      message.ended = StoredMessage.Ended(
        isPublished: row[7], datePublished: (row[14] as String?).flatMap { WallTime(timestamp: $0) })
    case .configure: break
    }
    return message
  }

  private static func place(_ row: Row) throws -> StoredMessage.Place {
    guard let record = (row[8] as String?).flatMap({ RecordID($0) }),
      let path = (row[9] as String?).flatMap({ ProtocolPath($0) }),
      let context = (row[10] as String?).flatMap({ ContextID($0) }),
      let created = (row[13] as String?).flatMap({ WallTime(timestamp: $0) })
    else { throw damaged }
    return StoredMessage.Place(
      recordID: record, contextID: context, path: path, recipient: (row[11] as String?).flatMap { DID($0) },
      schema: row[12], dateCreated: created)
  }

  private static func content(_ row: Row) throws -> StoredMessage.Content {
    guard let format = row[15] as String?, let cid = (row[16] as String?).flatMap({ CID($0) }),
      let size = row[17] as Int?
    else { throw damaged }
    return StoredMessage.Content(
      dataFormat: format, dataCID: cid, dataSize: size, isPublished: row[7],
      datePublished: (row[14] as String?).flatMap { WallTime(timestamp: $0) }, isSquash: row[18], isInitial: row[19])
  }

  static var damaged: DatabaseError {
    DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a message has columns that no message can have")
  }
}
