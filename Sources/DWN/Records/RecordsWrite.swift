public import Identity
public import Wire

/// A signed RecordsWrite with its members as types, and its place in its tree checked against itself.
public struct RecordsWrite: Hashable, Sendable {
  public let signed: SignedMessage
  public let recordID: RecordID
  public let contextID: ContextID
  public let protocolURI: String
  public let path: ProtocolPath
  public let schema: String?
  public let recipient: DID?
  public let parentID: RecordID?
  public let tags: JSONObject?
  public let published: Bool
  public let squash: Bool
  public let dataCID: CID
  public let dataSize: Int
  public let dataFormat: String
  public let dateCreated: WallTime
  public let encryption: JSONObject?
  /// Whether the record id is computed from this very message.
  public let isInitial: Bool

  public var message: Message { signed.message }
  public var author: DID { signed.author }
  public var timestamp: WallTime { signed.message.timestamp }
  public var cid: CID { signed.message.cid }

  /// Throws status 400 when the members contradict each other.
  public init(_ signed: SignedMessage) throws(DWNError) {
    let message = signed.message
    let descriptor = message.descriptor
    guard message.kind == .recordsWrite, let recordID = message.json["recordId"]?.string.flatMap({ RecordID($0) }),
      let contextID = message.json["contextId"]?.string.flatMap({ ContextID($0) }),
      let protocolURI = descriptor["protocol"]?.string,
      let path = descriptor["protocolPath"]?.string.flatMap({ ProtocolPath($0) }),
      let dataCID = descriptor["dataCid"]?.string.flatMap({ CID($0) }), let dataSize = descriptor["dataSize"]?.integer,
      let dataFormat = descriptor["dataFormat"]?.string,
      let dateCreated = descriptor["dateCreated"]?.string.flatMap({ WallTime(timestamp: $0) })
    else { throw .schema("not a RecordsWrite with a record id and a context id") }
    guard URI.isNormalized(protocolURI) else {
      throw DWNError(
        400, "UrlProtocolNotNormalized", "protocol must be written \(URI.normalized(protocolURI) ?? "as a URL")")
    }
    let schema = descriptor["schema"]?.string
    if let schema, !URI.isNormalized(schema) {
      throw DWNError(400, "UrlSchemaNotNormalized", "schema must be written \(URI.normalized(schema) ?? "as a URL")")
    }
    let published = descriptor["published"]?.bool ?? false
    guard published == descriptor.contains("datePublished") else {
      throw .schema("datePublished must be present exactly when published is true")
    }
    let isInitial = RecordsWrite.entryID(of: descriptor, author: signed.author) == recordID
    let parentID = descriptor["parentId"]?.string.flatMap { RecordID($0) }
    if isInitial, descriptor["messageTimestamp"] != descriptor["dateCreated"] {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityDateCreatedMismatch",
        "an initial write has one time: messageTimestamp must equal dateCreated")
    }
    let depth = path.isControl ? 1 : path.depth
    guard contextID.depth == depth, contextID.record == recordID, contextID.parent?.record == parentID else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityContextIdMismatch",
        "contextId must end with the parent's id and the record's, one segment for each level of the path")
    }
    self.signed = signed
    self.recordID = recordID
    self.contextID = contextID
    self.protocolURI = protocolURI
    self.path = path
    self.schema = schema
    self.recipient = descriptor["recipient"]?.string.flatMap { DID($0) }
    self.parentID = parentID
    self.tags = descriptor["tags"]?.object
    self.published = published
    self.squash = descriptor["squash"]?.bool ?? false
    self.dataCID = dataCID
    self.dataSize = Int(dataSize)
    self.dataFormat = dataFormat
    self.dateCreated = dateCreated
    self.encryption = message.json["encryption"]?.object
    self.isInitial = isInitial
  }

  /// The id that a descriptor gives a record of this author.
  public static func entryID(of descriptor: JSONObject, author: DID) -> RecordID {
    var hashed = descriptor
    hashed["author"] = .string(author.text)
    return RecordID(CID(of: .object(hashed)))
  }

  /// Members that a later write of the same record may change; all others must be as in the initial write, absence included.
  public static let mutableMembers: Set<String> = [
    "dataCid", "dataSize", "dataFormat", "published", "datePublished", "messageTimestamp", "tags",
  ]

  /// The first immutable member in which two writes of one record differ.
  public func immutableMemberChanged(from initial: RecordsWrite) -> String? {
    if contextID != initial.contextID { return "contextId" }
    let names = Set(message.descriptor.names).union(initial.message.descriptor.names).subtracting(Self.mutableMembers)
    return names.sorted().first { message.descriptor[$0] != initial.message.descriptor[$0] }
  }

  /// Whether these are the bytes that the signed descriptor promises.
  public func matches(data: [UInt8]) -> Bool {
    data.count == dataSize && DataCID.of(data) == dataCID
  }
}
