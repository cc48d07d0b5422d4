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
  /// The message that stands for its record: what is read and found.
  var isLatest: Bool
  /// Whether the data is in the store with it.
  var hasData = false

  /// Newer by time, and on a tie by CID.
  func isNewer(than other: StoredMessage) -> Bool {
    timestamp == other.timestamp ? cid > other.cid : timestamp > other.timestamp
  }

  var hint: ChangeHint { ChangeHint(protocolURI: protocolURI, path: place?.path) }

  /// Throws if what the store kept is no JSON, which means that its file was changed by another hand.
  func message() throws -> JSONValue {
    try JSONValue(parsing: json, depth: Message.maximumDepth)
  }
}
