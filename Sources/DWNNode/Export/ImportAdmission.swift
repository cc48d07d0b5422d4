import DWN
import GRDB
import Identity
import Wire

/// Admits the messages of an export, one after the other, within one transaction.
///
/// They come in the order of their feed, which is nearly the order in which they need each other: a record whose data came late stands
/// behind what was written below it, and a definition that was put in force again behind its records. So what is refused is tried
/// again after the last message, for as long as that helps, and not without end.
struct ImportAdmission {
  private static let mostListed = 100
  private static let mostPasses = 8
  /// What was room enough on the node that the messages come from is room enough here.
  private static let limits = NodeLimits(
    largestData: .max, largestStaging: .max, recordsByAnyone: .max, recordsByStranger: .max)

  private let open: () throws -> ZstdLines
  private var lines: ZstdLines
  private let database: Database
  private let folder: DataFolder
  private let resolver: DIDDocuments
  private let definitions = DefinitionCache()
  private let head: ExportLine.Head
  private let tenantNumber: Int64
  private let freeDisk: NodeRoom.FreeDisk
  private let keptFree: Int
  private var line = 1
  /// The numbers of the messages that were refused so far; `nil` before the first pass.
  private var refused: Set<Int>?
  private var endingDeletes: [RecordID: WallTime] = [:]
  private var passingRoles = PassingRoles()
  /// Files that messages name if this is committed.
  private var files: [String] = []

  /// `open` gives the lines of the export from the first one on, as often as it is called.
  init(
    _ open: @escaping () throws -> ZstdLines, _ database: Database, _ folder: DataFolder, _ resolver: DIDDocuments,
    keepingFree: Int
  ) throws {
    lines = try open()
    guard let text = try lines.next(), case .head(let head)? = ExportLine(text) else {
      throw NodeError.badExport(line: 1, reason: "it is no export of this version of meshd")
    }
    self.open = open
    self.database = database
    self.folder = folder
    self.resolver = resolver
    self.head = head
    freeDisk = NodeRoom.freeDisk(of: folder)
    keptFree = keepingFree
    try database.execute(sql: "INSERT OR IGNORE INTO tenant (did) VALUES (?)", arguments: [head.tenant.text])
    guard
      let row = try Row.fetchOne(
        database, sql: "SELECT id, messages FROM tenant WHERE did = ?", arguments: [head.tenant.text])
    else { throw NodeError.unknownTenant(head.tenant.text) }
    tenantNumber = row[0]
    guard row[1] == 0 else { throw NodeError.tenantNotEmpty(head.tenant.text, messages: row[1]) }
  }

  mutating func run(_ progress: JobProgress) throws -> TenantImport.Summary {
    endingDeletes = EndingDeletes.collected(from: lines, of: head.tenant, resolver)
    try rewind()
    var summary = try pass(progress)
    for _ in 1..<Self.mostPasses where refused?.isEmpty == false {
      try rewind()
      let further = try pass(progress)
      guard further.messages > 0 else { break }
      summary.messages += further.messages
      (summary.refused, summary.furtherRefusals) = (further.refused, further.furtherRefusals)
    }
    summary.withoutData =
      try Int.fetchOne(
        database,
        sql: "SELECT count(*) FROM message WHERE tenant = ? AND \(SQLiteMessages.waitsForData)",
        arguments: [tenantNumber]) ?? 0
    return summary
  }

  private mutating func rewind() throws {
    lines = try open()
    line = 1
    guard let text = try lines.next(), case .head(let again)? = ExportLine(text), again == head else {
      throw unusable("it is another file than it was")
    }
  }

  /// Tries what was refused so far; at first, everything.
  private mutating func pass(_ progress: JobProgress) throws -> TenantImport.Summary {
    var summary = TenantImport.Summary(tenant: head.tenant, messages: 0)
    var count = 0
    let tried = refused
    refused = []
    while true {
      switch try next() {
      case .message(let entry):
        count += 1
        guard tried?.contains(count) ?? true else {
          try skipData(of: entry)
          continue
        }
        do {
          let signed: SignedMessage
          do { signed = try check(entry) } catch {
            try skipData(of: entry)
            throw error
          }
          try admit(signed, try data(of: entry), entry.kept)
          summary.messages += 1
        } catch let refusal as DWNError {
          refused?.insert(count)
          summary.count(refusal, of: entry.message, listing: Self.mostListed)
        }
        try progress(count, head.messages)
      case .end(let messages):
        guard messages == count else { throw unusable("it had \(messages) messages, and \(count) are left") }
        guard try lines.next() == nil else { throw unusable("something follows its end") }
        return summary
      case .head, .data: throw unusable("a message was to follow")
      }
    }
  }

  private mutating func next() throws -> ExportLine {
    line += 1
    guard let text = try lines.next() else { throw unusable("its end is missing") }
    guard let parsed = ExportLine(text) else { throw unusable("this is no line of an export") }
    return parsed
  }

  /// Removes the files of what is not going to be committed.
  func removeFiles() {
    for file in files { folder.remove(file) }
  }

  /// What can be wrong with a message before its data is looked at: form, identifiers, signatures, and how much data follows.
  private func check(_ entry: ExportLine.Entry) throws(DWNError) -> SignedMessage {
    let claimed = try ClaimedMessage(Message(entry.message), admitting: .everyForm)
    let signed = try SignedMessage(verifying: claimed, resolver: resolver)
    if case .following(let size) = entry.content {
      let promised = signed.message.descriptor["dataSize"]?.integer ?? 0
      guard promised == size else {
        throw DWNError(
          400, "RecordsWriteDataSizeMismatch", "\(size) bytes follow, and the descriptor says \(promised)")
      }
    }
    return signed
  }

  /// Throws when less of the disk than is to stay free would be left.
  private mutating func data(of entry: ExportLine.Entry) throws -> ReceivedData? {
    switch entry.content {
    case .none:
      try checkRoom(for: 0)
      return nil
    case .bytes(let bytes):
      try checkRoom(for: bytes.count)
      return ReceivedData(bytes)
    case .following(let size):
      try checkRoom(for: size)
      let incoming = IncomingData(in: folder, limit: size)
      try readData(size) { try incoming.append($0) }
      return try incoming.finish()
    }
  }

  private mutating func skipData(of entry: ExportLine.Entry) throws {
    if case .following(let size) = entry.content { try readData(size) { _ in } }
  }

  private mutating func readData(_ size: Int, _ take: ([UInt8]) throws -> Void) throws {
    var count = 0
    while count < size {
      guard case .data(let bytes) = try next(), !bytes.isEmpty, bytes.count <= size - count else {
        throw unusable("the data of a message was to follow")
      }
      try take(bytes)
      count += bytes.count
    }
  }

  private func checkRoom(for size: Int) throws {
    guard keptFree > 0, let free = freeDisk(), free < keptFree || free - keptFree < size else { return }
    throw NodeError.diskReserved(path: folder.path, bytes: keptFree)
  }

  private mutating func admit(_ signed: SignedMessage, _ data: ReceivedData?, _ kept: ExportLine.Kept) throws {
    try admit(signed, data)
    if case .file(let file)? = data?.content {
      file.keep()
      files.append(file.name)
    }
    try database.execute(
      sql: "UPDATE message SET arrived = ?, share = ?, grant_id = coalesce(grant_id, ?) WHERE tenant = ? AND cid = ?",
      arguments: [
        kept.arrived?.timestamp, kept.share.rawValue, kept.grant?.text, tenantNumber, signed.message.cid.text,
      ])
  }

  /// What is refused leaves nothing behind, whatever it had changed by then.
  private mutating func admit(_ signed: SignedMessage, _ data: ReceivedData?) throws {
    let messages = SQLiteMessages(database: database, tenant: tenantNumber, folder: folder)
    try database.inSavepoint {
      let ended = EndedRights(messages: messages, deletes: endingDeletes, passing: passingRoles)
      try apply(signed, data, SQLiteTransaction(messages, at: head.tenant, ended: ended))
      return .commit
    }
    if signed.message.kind == .protocolsConfigure { passingRoles.note(try ProtocolDefinition(configure: signed)) }
  }

  private func apply(_ signed: SignedMessage, _ data: ReceivedData?, _ transaction: SQLiteTransaction) throws {
    let json = signed.message.value.text
    let reply: Reply
    switch signed.message.kind {
    case .recordsWrite:
      let arrival = try ArrivingWrite(try RecordsWrite(signed), json: json, data: data, limits: Self.limits)
      do {
        reply = try RecordsWriting(
          tenant: head.tenant, transaction: transaction, definitions: definitions, limits: Self.limits
        ).reply(to: arrival)
      } catch let refusal as DWNError where refusal.isAboutEarlierData {
        // Kept beside the delete of its record, without its data: whoever might see the record may see the delete.
        try transaction.insert(arrival.stored(isLatest: false), data: nil)
        return
      }
    case .recordsDelete:
      reply = try RecordsDeleting(tenant: head.tenant, transaction: transaction, definitions: definitions)
        .reply(to: signed, json: json)
    case .protocolsConfigure:
      reply = try ProtocolsConfiguring(tenant: head.tenant, transaction: transaction, definitions: definitions)
        .reply(to: signed, definition: try ProtocolDefinition(configure: signed), json: json)
    default: throw DWNError(400, "SchemaValidatorFailure", "a \(signed.message.kind.rawValue) is not kept")
    }
    let status = reply.status
    guard status.isSuccess else { throw DWNError(status.code, "\(status.code)", status.detail) }
  }

  private func unusable(_ reason: String) -> NodeError { .badExport(line: line, reason: reason) }
}

extension TenantImport.Summary {
  fileprivate mutating func count(_ refusal: DWNError, of message: JSONValue, listing most: Int) {
    if refused.count < most {
      refused.append(.init(messageCID: CID(of: message).text, reason: refusal.description))
    } else {
      furtherRefusals += 1
    }
  }
}

extension DWNError {
  /// The one thing that a write lacks whose data is gone because its record was deleted.
  fileprivate var isAboutEarlierData: Bool {
    code == "RecordsWriteMissingDataInPrevious" || code == "RecordsWriteMissingEncodedDataInPrevious"
  }
}
