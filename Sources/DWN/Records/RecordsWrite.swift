public import Identity
public import Wire

/// A signed RecordsWrite with its members as types, and its place in its tree checked against itself.
public struct RecordsWrite: Hashable, Sendable {
  /// In one place, as a `SignedMessage`'s are.
  private final class Contents: Sendable {
    let signed: SignedMessage
    let descriptor: RecordsWriteDescriptor
    let recordID: RecordID
    let contextID: ContextID
    let isInitial: Bool

    init(
      _ signed: SignedMessage, _ descriptor: RecordsWriteDescriptor, _ recordID: RecordID, _ contextID: ContextID,
      isInitial: Bool
    ) {
      self.signed = signed
      self.descriptor = descriptor
      self.recordID = recordID
      self.contextID = contextID
      self.isInitial = isInitial
    }
  }

  private let contents: Contents

  public var signed: SignedMessage { contents.signed }
  public var descriptor: RecordsWriteDescriptor { contents.descriptor }
  public var recordID: RecordID { contents.recordID }
  public var contextID: ContextID { contents.contextID }
  /// Whether the record id is computed from this very message.
  public var isInitial: Bool { contents.isInitial }

  public var message: Message { signed.message }
  public var author: DID { signed.author }
  public var timestamp: WallTime { signed.message.timestamp }
  public var cid: CID { signed.message.cid }
  public var protocolURI: String { descriptor.protocolURI }
  public var path: ProtocolPath { descriptor.path }
  public var schema: String? { descriptor.schema }
  public var recipient: DID? { descriptor.recipient }
  public var parentID: RecordID? { descriptor.parentID }
  public var tags: JSONObject? { descriptor.tags }
  public var published: Bool { descriptor.published ?? false }
  public var datePublished: WallTime? { descriptor.datePublished }
  public var squash: Bool { descriptor.squash }
  public var dataCID: CID { descriptor.dataCID }
  public var dataSize: Int { descriptor.dataSize }
  public var dataFormat: String { descriptor.dataFormat }
  public var dateCreated: WallTime { descriptor.dateCreated }
  public var permissionGrantID: RecordID? { descriptor.permissionGrantID }
  /// A third party that vouches for the record.
  public var attester: DID? { signed.attester }
  public var encryption: JSONObject? { message.json["encryption"]?.object }

  /// Throws status 400 when the members contradict each other.
  public init(_ signed: SignedMessage) throws(DWNError) {
    let message = signed.message
    guard case .recordsWrite(let descriptor) = message.body,
      let recordID = message.json["recordId"]?.string.flatMap({ RecordID($0) }),
      let contextID = message.json["contextId"]?.string.flatMap({ ContextID($0) })
    else { throw .schema("not a RecordsWrite with a record id and a context id") }
    let isInitial = RecordsWrite.entryID(of: message.descriptor, author: signed.author) == recordID
    if isInitial, message.timestamp != descriptor.dateCreated {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityDateCreatedMismatch",
        "an initial write has one time: messageTimestamp must equal dateCreated")
    }
    try Self.check(contextID, of: recordID, descriptor)
    contents = Contents(signed, descriptor, recordID, contextID, isInitial: isInitial)
  }

  /// Everything else follows from the message.
  public static func == (a: RecordsWrite, b: RecordsWrite) -> Bool {
    a.contents === b.contents || a.signed == b.signed
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(contents.signed) }

  /// What a write says before its signatures have been verified. For a node alone, which first compares it with what it holds.
  package init(unverified claimed: ClaimedMessage) throws(DWNError) {
    if let write = claimed.write {
      self = write
    } else {
      try self.init(SignedMessage(believing: claimed))
    }
  }

  /// The context ends with the parent's id and the record's. It has a segment for each level of the path, and more of them where the
  /// path begins with what stands for a record of another protocol that is no root there (`ProtocolDefinition.base`).
  private static func check(
    _ contextID: ContextID, of recordID: RecordID, _ descriptor: RecordsWriteDescriptor
  ) throws(DWNError) {
    let levels = descriptor.path.isControl ? 1 : descriptor.path.depth
    if levels > 1, descriptor.parentID == nil, contextID == ContextID(root: recordID) {
      throw DWNError(
        400, "ProtocolAuthorizationParentlessIncorrectProtocolPath", "a record at \(descriptor.path) has a parent")
    }
    guard contextID.depth == levels || (levels > 1 && contextID.depth > levels), contextID.record == recordID,
      contextID.parent?.record == descriptor.parentID
    else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityContextIdMismatch",
        "contextId must end with the parent's id and the record's, with a segment for each level of the path")
    }
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
