import DWN
import Identity
import Wire

/// A message as the store keeps it: its text, and what rules and filters ask for.
struct StoredMessage: Sendable {
  enum Kind: String, Sendable {
    case write
    case delete
    case configure
  }

  /// Whose room a message takes (dwn-server 13, fair shares).
  enum Share: Int, Sendable {
    case tenant
    /// Allowed by a role, a grant, or a relation to another record.
    case member
    /// Allowed because anyone may.
    case anyone
  }

  /// Of a record; a delete takes them from the record it ends.
  struct Place: Sendable, Hashable {
    var recordID: RecordID
    var contextID: ContextID
    var path: ProtocolPath
    var recipient: DID?
    var schema: String?
    var dateCreated: WallTime
  }

  /// Only of a write.
  struct Content: Sendable {
    var dataFormat: String
    var dataCID: CID
    var dataSize: Int
    var isPublished: Bool
    var datePublished: WallTime?
    var isSquash: Bool
    var isInitial: Bool
    /// Given to the store with the message; those who read a message from it use `tags()`.
    var tags: JSONObject?
  }

  /// Only of a delete: what the newest write of the record said, and filters ask for.
  struct Ended: Sendable {
    var isPublished: Bool
    var datePublished: WallTime?
    /// Given to the store with the message, and not read back.
    var tags: JSONObject?
  }

  var kind: Kind
  var cid: String
  /// SHA-256 of the signed payload: equal for two messages that differ in a malleable byte.
  var element: String
  var author: DID
  var timestamp: WallTime
  var json: String
  var protocolURI: String
  /// Of a definition: whether strangers may have it.
  var isPublishedDefinition = false
  var place: Place?
  var content: Content?
  var ended: Ended?
  /// Of a definition. Given to the store with the message, and not read back.
  var queryRules: QueryRules?
  /// The message that stands for its record, or for its protocol: what is read and found.
  var isLatest: Bool
  /// Whether the data is in the store with it.
  var hasData = false
  /// Who attested the write, if anybody did.
  var attester: DID?
  /// The grant by which the message was admitted.
  var grantID: RecordID?
  var share = Share.tenant
  /// When the node admitted it; `nil` for what an earlier version of the program stored.
  var arrived: WallTime?
  /// Where it stands in its tenant's feed; given by the store.
  var position: Int64 = 0

  /// Newer by time, and on a tie by CID.
  func isNewer(than other: StoredMessage) -> Bool {
    timestamp == other.timestamp ? cid > other.cid : timestamp > other.timestamp
  }

  /// Throws if what the store kept is no JSON, which means that its file was changed by another hand.
  func message() throws -> JSONValue {
    try JSONValue(parsing: json, depth: Message.maximumDepth)
  }

  /// Bytes that it counts for its tenant: its text, its data, and what a definition means for queries.
  func size(with data: MessageData?) -> Int {
    json.utf8.count + (data?.size ?? 0) + (queryRules?.size(of: protocolURI) ?? 0)
  }

  /// Of a record, or of a definition.
  var isPublished: Bool { content?.isPublished ?? ended?.isPublished ?? isPublishedDefinition }

  var datePublished: WallTime? { content?.datePublished ?? ended?.datePublished }

  /// The tags of a write, wherever the message comes from; those of a delete only on its way into the store.
  func tags() throws -> JSONObject? {
    guard kind == .write else { return ended?.tags }
    return try content?.tags ?? message()["descriptor"]?["tags"]?.object
  }
}
