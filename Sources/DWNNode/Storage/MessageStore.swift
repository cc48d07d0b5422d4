import DWN
import Identity
import Wire

/// Where a node keeps its messages. Whatever stands behind it promises:
///
/// * A write sees everything that was written before it, and takes effect as a whole or not at all.
/// * `write` returns after its effect would survive a power cut.
/// * A read sees one state, no write's half.
protocol MessageStore: Sendable {
  func write<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageTransaction) throws -> Result
  ) async throws -> Result

  func read<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result

  func close() async
}

/// What processing asks of one tenant's messages.
protocol MessageReader {
  /// Writes and deletes of a record.
  func messages(of record: RecordID) throws -> [StoredMessage]

  /// The one message with this signed payload.
  func message(element: String) throws -> StoredMessage?

  /// The newest definition of a protocol.
  func configure(of protocolURI: String) throws -> StoredMessage?

  /// The definition that governs a time: the newest that is not later, or the oldest when all are.
  func configure(of protocolURI: String, at time: WallTime) throws -> StoredMessage?

  /// Newest definitions, of one protocol or all.
  func configures(of protocolURI: String?, onlyPublished: Bool) throws -> [StoredMessage]

  /// The live record at a role's path for this recipient below one parent.
  func roleRecord(_ place: SiblingPlace, recipient: DID) throws -> StoredMessage?

  /// The time of the newest squash among siblings.
  func newestSquash(at place: SiblingPlace) throws -> WallTime?

  /// Records at a place whose first author is not the tenant, without those that the tenant deleted.
  func count(at place: SiblingPlace, byOthersThan tenant: DID) throws -> Int

  /// The messages that stand for their records, in order, and no more than asked for.
  func find(_ selection: Selection) throws -> [StoredMessage]

  /// How many messages a selection finds, whatever its limit.
  func count(_ selection: Selection) throws -> Int

  func data(of message: StoredMessage) throws -> [UInt8]?
}

/// What processing may do to one tenant's messages.
protocol MessageTransaction: MessageReader {
  func insert(_ message: StoredMessage, data: [UInt8]?) throws

  /// Keeps a write beside the one that stands for the record: without its data and its tags' entries.
  func demote(_ message: StoredMessage) throws

  func remove(_ message: StoredMessage) throws

  /// Takes out every message of all records below a record, and of the record too if asked, and says where they were.
  func erase(below context: ContextID, includingRecord: Bool) throws -> Set<ChangeHint>

  /// The records at a place whose newest message is older than a time.
  func siblings(at place: SiblingPlace, olderThan time: WallTime) throws -> [StoredMessage]

  /// The live records at a place beyond the newest `count` by creation.
  func oldest(at place: SiblingPlace, beyond count: Int) throws -> [StoredMessage]
}

/// Where siblings stand: one path below one parent.
struct SiblingPlace: Hashable, Sendable {
  var protocolURI: String
  var path: ProtocolPath
  /// `nil` for roots.
  var parent: ContextID?
}

/// Which messages a read or a query may find, and in what order.
struct Selection: Sendable {
  /// Who may see what among the matches.
  enum Visibility: Hashable, Sendable {
    case all
    case published
    /// Published records, and unpublished ones that the requester wrote or received.
    case publishedAndOwn(DID)
  }

  /// `$recordLimit` with the strategy to reject.
  struct Occupancy: Hashable, Sendable {
    var protocolURI: String
    var path: ProtocolPath
    var maximum: Int
  }

  var filter: RecordsFilter
  var visibility: Visibility
  /// Places with room for so many records below one parent; later ones are not shown.
  var occupancy: [Occupancy] = []
  /// Also the deletes that stand for ended records.
  var includesDeletes = false
  var sort: DateSort = .createdAscending
  /// Strictly after this position.
  var after: (value: String, cid: String)?
  var limit: Int?
}
