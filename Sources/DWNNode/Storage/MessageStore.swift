import DWN
public import Identity
public import Wire

/// Where a node keeps its messages. Whatever stands behind it promises:
///
/// * A write sees everything that was written before it, and takes effect as a whole or not at all.
/// * `write` returns after its effect would survive a power cut. Its body may run more than once, and only what the last run did and returned
///   counts: it leaves no trace elsewhere.
/// * A read sees one state, no write's half. It ends soon, with `CancellationError`, when its task is cancelled.
/// * Slow reads of one tenant leave room for those of others.
/// * Message, data, what filters ask for, and the position in the feed are one: whoever sees one of them sees all.
/// * Positions of a tenant's feed rise from 1 and are never given twice.
protocol MessageStore: Sendable {
  /// Distinguishes this feed from one of the same tenant that was lost, or restored to an earlier state.
  var epoch: String { get }

  func write<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageTransaction) throws -> Result
  ) async throws -> Result

  func read<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result

  /// The same for somebody in particular: see `ReaderTurns`.
  func read<Result: Sendable>(
    _ tenant: DID, for asker: Asker, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result

  /// Who is told of what was committed; called in the order of the commits, and must not wait. Set once, before the first write.
  func observe(_ observer: @escaping @Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void)

  /// Where data that is too large for memory waits for the message that it belongs to.
  var dataFolder: DataFolder { get }

  /// What each tenant has stored.
  func summaries() async throws -> [TenantSummary]
  /// What all of them have.
  func totals() async throws -> StoreTotals

  func registrations() async throws -> [TenantRegistration]
  /// Replaces what is known of the same DID. Durable when it returns.
  func register(_ registration: TenantRegistration) async throws

  /// Gives up, soon, what is kept in memory for speed alone.
  func releaseMemory()

  func close() async
}

/// What processing asks of one tenant's messages.
protocol MessageReader {
  /// Rights that ended and still count, since what is admitted was admitted before, at another node. `nil` for all that is new.
  var ended: EndedRights? { get }

  /// Writes and deletes of a record.
  func messages(of record: RecordID) throws -> [StoredMessage]

  /// Where a record stands, unless it was deleted.
  func place(of record: RecordID) throws -> RecordPlace?

  /// The one definition with this signed payload.
  func configure(element: String) throws -> StoredMessage?

  func message(cid: String) throws -> StoredMessage?

  /// Every message of the records whose parent this is, of whatever protocol.
  func children(of record: RecordID) throws -> [StoredMessage]

  /// Messages that were admitted by a grant and are younger than a time, by their own time stamps.
  func messages(authorizedBy grant: RecordID, after time: WallTime) throws -> [StoredMessage]

  /// The newest definition of a protocol.
  func configure(of protocolURI: String) throws -> StoredMessage?

  /// The CID of the definition of a protocol that governed at a time: the newest one that is not younger, else the oldest. It is asked
  /// for with every message, and costs no look at the definition.
  func configureCID(of protocolURI: String, at time: WallTime) throws -> String?

  /// Newest definitions, of one protocol or of all after one, by their protocols, and at most so many.
  func configures(_ page: DefinitionPage) throws -> [StoredMessage]

  /// Places at which the newest definition, or those of all protocols, show records only up to a number: at most so many.
  func recordLimits(of protocolURI: String?, at path: ProtocolPath?, atMost count: Int) throws -> [Selection.Occupancy]

  /// Whether a definition that the protocol ever had says that a type at the root stands for a record with more than one level.
  func hangsDeeper(below root: String, of protocolURI: String) throws -> Bool

  /// The live record at a role's path for this recipient below one parent.
  func roleRecord(_ place: SiblingPlace, recipient: DID) throws -> StoredMessage?

  /// Whether a live record at a path of a protocol is encrypted, or is in clear.
  func hasWrite(at path: ProtocolPath, of protocolURI: String, isEncrypted: Bool) throws -> Bool

  /// Whether anything of a record, or below it, is the tenant's and did not come by a grant.
  func hasTenants(at context: ContextID, withoutGrant grant: RecordID) throws -> Bool

  /// How many siblings that came with their data were created later, and were not deleted before that time: no more than are asked for.
  func firstWrites(at place: SiblingPlace, after creation: RecordCreation, atMost count: Int) throws -> Int

  /// The time of the newest squash among siblings.
  func newestSquash(at place: SiblingPlace) throws -> WallTime?

  /// Records at a place whose first author is not the tenant, without those that the tenant deleted.
  func count(at place: SiblingPlace, byOthersThan tenant: DID) throws -> Int

  /// The records of an author at a place that were let in because anyone may write there, without those that the tenant deleted.
  func countByAnyone(at place: SiblingPlace, author: DID, notEndedBy tenant: DID) throws -> Int

  /// Of such records of all authors the one that came first, if that was before a time: its first write.
  func oldestByAnyone(at place: SiblingPlace, arrivedBefore time: WallTime, notEndedBy tenant: DID) throws
    -> StoredMessage?

  /// The messages that stand for their records, in order, and no more than asked for.
  func find(_ selection: Selection) throws -> [StoredMessage]

  /// How many `find` would give without a limit.
  func count(_ selection: Selection) throws -> Int

  /// The data of a message, wherever it is kept.
  func content(of message: StoredMessage) throws -> MessageData?

  /// What the tenant has stored; costs nothing.
  func usage() throws -> StoredUsage

  /// What counts for the tenant's quota; costs nothing.
  func shares() throws -> StoredShares

  /// What an author who is not the tenant has stored, without records that were deleted; costs nothing.
  func usage(ofGuest author: DID) throws -> StoredUsage

  /// The last position of the feed that was given; 0 before the first.
  func head() throws -> Int64

  /// The messages of the feed after a position and up to another one, in order, which match, and at most so many.
  func feed(_ span: FeedSpan) throws -> [StoredMessage]

  /// Of all that is in the feed; costs nothing.
  func fingerprint() throws -> FeedFingerprint

  /// The CIDs of the messages that `feed` would give.
  func forEachCID(in span: FeedSpan, _ body: (String) -> Void) throws
}

/// What processing may do to one tenant's messages.
protocol MessageTransaction: MessageReader {
  /// Puts a message with its data at the end of the feed, and returns its position.
  @discardableResult
  func insert(_ message: StoredMessage, content: MessageData?) throws -> Int64

  /// Keeps a write beside the one that stands for the record: without its data and its tags' entries. Keeps a definition beside
  /// a newer one.
  func demote(_ message: StoredMessage) throws

  func remove(_ message: StoredMessage) throws

  /// Takes out every message of all records below a record, and of the record too if asked.
  func erase(below context: ContextID, includingRecord: Bool) throws

  /// The records at a place whose newest message is older than a time.
  func siblings(at place: SiblingPlace, olderThan time: WallTime) throws -> [StoredMessage]

  /// The live records at a place beyond the newest `count` by creation.
  func oldest(at place: SiblingPlace, beyond count: Int) throws -> [StoredMessage]
}

extension MessageStore {
  func read<Result: Sendable>(
    _ tenant: DID, for asker: Asker, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result { try await read(tenant, body) }
}

extension MessageReader {
  var ended: EndedRights? { nil }

  /// Gives `visit` what a selection finds, in order and fetched so many at a time, until it returns `false` or there is no more.
  func walk(_ selection: Selection, by fetchSize: Int, _ visit: (StoredMessage) throws -> Bool) throws {
    var selection = selection
    selection.limit = fetchSize
    while true {
      let found = try find(selection)
      for message in found where try !visit(message) { return }
      guard found.count == fetchSize, let last = found.last else { return }
      selection.after = (selection.sort.value(of: last), last.cid)
    }
  }

  /// The data of a message, all of it in memory.
  func data(of message: StoredMessage) throws -> [UInt8]? {
    try content(of: message)?.bytes()
  }
}

extension MessageTransaction {
  @discardableResult
  func insert(_ message: StoredMessage, data: [UInt8]?) throws -> Int64 {
    try insert(message, content: data.map { .bytes($0) })
  }
}

/// Where siblings stand: one path below one parent.
struct SiblingPlace: Hashable, Sendable {
  var protocolURI: String
  var path: ProtocolPath
  /// `nil` for roots.
  var parent: ContextID?
}

/// Where a record stands.
struct RecordPlace: Hashable, Sendable {
  var protocolURI: String
  var path: ProtocolPath
  var contextID: ContextID
}

/// By which siblings are told older from younger: by their first writes' times, and then by their ids.
struct RecordCreation: Hashable, Sendable {
  var time: WallTime
  var record: RecordID
}

/// A part of a tenant's definitions.
struct DefinitionPage: Sendable {
  /// `nil` for all.
  var protocolURI: String?
  var onlyPublished = false
  /// Strictly after this protocol.
  var after = ""
  var limit = Int.max
}

/// A part of a tenant's feed.
struct FeedSpan: Sendable {
  var after: Int64
  /// Inclusive.
  var through: Int64
  var limit: Int
  var filter: FeedFilter?
}

/// What a tenant, or a node, has stored.
public struct StoredUsage: Hashable, Sendable {
  public var messages: Int
  /// Of messages and their data.
  public var bytes: Int
  /// What of it others than the tenant sent.
  public var guestMessages: Int
  public var guestBytes: Int

  public init(messages: Int, bytes: Int, guestMessages: Int = 0, guestBytes: Int = 0) {
    self.messages = messages
    self.bytes = bytes
    self.guestMessages = guestMessages
    self.guestBytes = guestBytes
  }
}

/// What a tenant has stored, by what it counts for. What is left of a record that was deleted, its delete and its first and newest
/// writes, counts for whoever the record was of.
struct StoredShares: Hashable, Sendable {
  var tenant = StoredUsage(messages: 0, bytes: 0)
  var guests = StoredUsage(messages: 0, bytes: 0)
  var remainsOfTenant = StoredUsage(messages: 0, bytes: 0)
  var remainsOfGuests = StoredUsage(messages: 0, bytes: 0)
}

/// What a node has stored.
struct StoreTotals: Hashable, Sendable {
  /// Of whom something was ever stored.
  var tenants: Int
  /// Of messages and their data.
  var bytes: Int
}

/// What a node keeps of one tenant.
public struct TenantSummary: Hashable, Sendable {
  public var tenant: DID
  public var usage: StoredUsage
  /// The last position of the feed.
  public var head: Int64
}

/// A DID that registered itself as a tenant.
public struct TenantRegistration: Hashable, Sendable {
  public var tenant: DID
  /// SHA-256, in hexadecimal, of the terms that were agreed to.
  public var termsHash: String?
  public var registeredAt: WallTime

  public init(tenant: DID, termsHash: String? = nil, registeredAt: WallTime) {
    self.tenant = tenant
    self.termsHash = termsHash
    self.registeredAt = registeredAt
  }
}
