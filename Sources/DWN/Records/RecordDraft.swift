public import Identity
public import Wire

/// What goes into a RecordsWrite before it has an id and a signature.
public struct RecordDraft: Sendable {
  public var protocolURI: String
  public var path: ProtocolPath
  /// `nil` for a root record.
  public var parent: ContextID?
  public var schema: String?
  public var recipient: DID?
  public var tags: JSONObject?
  public var published: Bool?
  public var squash: Bool
  public var protocolRole: ProtocolPath?
  /// A grant by which it is written.
  public var permissionGrantID: RecordID?
  /// The envelope; `data` is then the ciphertext.
  public var encryption: JSONValue?
  public var data: [UInt8]
  /// Data that is sent from elsewhere, in pieces; `data` plays no part then.
  public var describedData: DataDescription?
  public var dataFormat = "application/json"

  /// Set by `init(updating:)`.
  private(set) var recordID: RecordID?
  private(set) var contextID: ContextID?
  private var dateCreated: WallTime?

  public init(
    protocolURI: String, path: ProtocolPath, parent: ContextID? = nil, schema: String? = nil, recipient: DID? = nil,
    tags: JSONObject? = nil, published: Bool? = nil, squash: Bool = false, protocolRole: ProtocolPath? = nil,
    encryption: JSONValue? = nil, data: [UInt8]
  ) {
    self.protocolURI = protocolURI
    self.path = path
    self.parent = parent
    self.schema = schema
    self.recipient = recipient
    self.tags = tags
    self.published = published
    self.squash = squash
    self.protocolRole = protocolRole
    self.encryption = encryption
    self.data = data
  }

  /// A later write of the same record: the immutable members are copied from any earlier write of it.
  public init(updating earlier: RecordsWrite, encryption: JSONValue? = nil, data: [UInt8]) {
    self.init(
      protocolURI: earlier.protocolURI, path: earlier.path, parent: earlier.contextID.parent, schema: earlier.schema,
      recipient: earlier.recipient, tags: earlier.tags, published: earlier.message.descriptor["published"]?.bool,
      squash: earlier.squash, encryption: encryption, data: data)
    recordID = earlier.recordID
    contextID = earlier.contextID
    dateCreated = earlier.dateCreated
    dataFormat = earlier.dataFormat
    permissionGrantID = earlier.permissionGrantID
  }

  func descriptor(at time: WallTime) -> JSONObject {
    var descriptor = JSONObject()
    descriptor["interface"] = "Records"
    descriptor["method"] = "Write"
    descriptor["protocol"] = .string(protocolURI)
    descriptor["protocolPath"] = .string(path.text)
    let described = describedData ?? DataDescription(of: data)
    descriptor["dataCid"] = .string(described.cid.text)
    descriptor["dataSize"] = .integer(Int64(described.size))
    descriptor["dateCreated"] = .string((dateCreated ?? time).timestamp)
    descriptor["messageTimestamp"] = .string(time.timestamp)
    descriptor["dataFormat"] = .string(dataFormat)
    descriptor["schema"] = schema.map { .string($0) }
    descriptor["recipient"] = recipient.map { .string($0.text) }
    descriptor["tags"] = tags.map { .object($0) }
    descriptor["parentId"] = parent.map { .string($0.record.text) }
    descriptor["published"] = published.map { .bool($0) }
    if published == true { descriptor["datePublished"] = .string(time.timestamp) }
    descriptor["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    if squash { descriptor["squash"] = true }
    return descriptor
  }
}
