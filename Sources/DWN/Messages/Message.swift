import Identity
public import Wire

/// A DWN message as it was received, with everything that follows from its bytes alone. Unknown spellings survive: every CID is
/// taken over the JSON as it came.
///
/// A `Message` has the members and types that its method prescribes. Who signed it is `SignedMessage`'s to say.
public struct Message: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    case recordsWrite = "RecordsWrite"
    case recordsRead = "RecordsRead"
    case recordsQuery = "RecordsQuery"
    case recordsCount = "RecordsCount"
    case recordsSubscribe = "RecordsSubscribe"
    case recordsDelete = "RecordsDelete"
    case protocolsConfigure = "ProtocolsConfigure"
    case protocolsQuery = "ProtocolsQuery"
    case messagesQuery = "MessagesQuery"
    case messagesRead = "MessagesRead"
    case messagesSubscribe = "MessagesSubscribe"

    /// Without a signature these are answered from what is published (dwn-messages 4.3).
    public var mayBeUnsigned: Bool {
      switch self {
      case .recordsRead, .recordsQuery, .recordsCount, .recordsSubscribe, .protocolsQuery: true
      default: false
      }
    }

    /// `Records`, `Protocols` or `Messages`.
    public var interface: String {
      switch self {
      case .protocolsConfigure, .protocolsQuery: "Protocols"
      case .messagesQuery, .messagesRead, .messagesSubscribe: "Messages"
      default: "Records"
      }
    }

    /// Such as `Write`.
    public var method: String { String(rawValue.dropFirst(interface.count)) }
  }

  /// Without `encodedData`.
  public let json: JSONObject
  public let body: MessageBody
  public let descriptor: JSONObject
  public let timestamp: WallTime
  /// Of the whole message.
  public let cid: CID
  public let descriptorCID: CID

  public var kind: Kind { body.kind }

  /// Largest message without its data, in bytes of JSON text.
  public static let maximumSize = 64 << 10
  /// Deepest nesting of JSON in a message. A definition of the deepest protocol has twenty levels.
  public static let maximumDepth = 24

  /// Checks form: top-level members, descriptor members and their types.
  ///
  /// `encodedData`, which belongs to replies, is dropped. Throws status 400.
  public init(_ value: JSONValue) throws(DWNError) {
    guard var json = value.object else { throw .schema("a message is a JSON object") }
    json["encodedData"] = nil
    guard let descriptor = json["descriptor"]?.object, let interface = descriptor["interface"]?.string,
      let method = descriptor["method"]?.string
    else { throw .schema("descriptor.interface and descriptor.method must both be present") }
    guard let kind = Kind(rawValue: interface + method), kind.interface.utf8.count == interface.utf8.count else {
      throw .schema("\(interface)\(method) is not a method of this node")
    }
    try Message.checkMembers(of: json, kind)
    guard !JSONValue.object(json).hasNUL else { throw .schema("a message has no text with a NUL in it") }
    let body = try MessageBody(kind, descriptor: descriptor)
    guard let text = descriptor["messageTimestamp"]?.string, let timestamp = WallTime(timestamp: text) else {
      throw DWNError(
        400, "TimestampInvalid", "messageTimestamp must look like 2026-07-11T12:00:00.000000Z and be a real instant")
    }
    self.json = json
    self.body = body
    self.descriptor = descriptor
    self.timestamp = timestamp
    (cid, descriptorCID) = Self.cids(of: json, descriptor)
  }

  /// Of a request that this process makes. What a node would refuse is the node's to refuse: it is no reason to trap here.
  init(making body: MessageBody, descriptor: JSONObject, json: JSONObject, at time: WallTime) {
    self.json = json
    self.body = body
    self.descriptor = descriptor
    self.timestamp = time
    (cid, descriptorCID) = Self.cids(of: json, descriptor)
  }

  /// Of a message and its descriptor.
  private static func cids(of json: JSONObject, _ descriptor: JSONObject) -> (CID, CID) {
    let encoded = DAGCBOR.encode(.object(descriptor))
    let message = DAGCBOR.encode(json, with: (name: "descriptor", value: encoded))
    return (CID(ofDAGCBOR: message), CID(ofDAGCBOR: encoded))
  }

  /// For messages from a stranger: refuses those beyond the bounds before anything else looks at them.
  public init(parsing text: some Collection<UInt8>) throws(DWNError) {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: text, depth: Message.maximumDepth, limit: Message.maximumSize)
    } catch {
      throw .schema(error.description)
    }
    try self.init(value)
  }

  public var value: JSONValue { .object(json) }

  /// A newer message replaces an older one of the same record: by time, and on a tie by CID.
  public func isNewer(than other: Message) -> Bool {
    timestamp == other.timestamp ? cid > other.cid : timestamp > other.timestamp
  }

  public static func == (a: Message, b: Message) -> Bool { a.json == b.json }
  public func hash(into hasher: inout Hasher) { hasher.combine(cid) }

  private static func checkMembers(of json: JSONObject, _ kind: Kind) throws(DWNError) {
    let isWrite = kind == .recordsWrite
    let optional = isWrite ? ["attestation", "encryption"] : kind.mayBeUnsigned ? ["authorization"] : []
    let required =
      isWrite
      ? ["authorization", "contextId", "descriptor", "recordId"]
      : kind.mayBeUnsigned ? ["descriptor"] : ["authorization", "descriptor"]
    for name in json.names where !required.contains(name) && !optional.contains(name) {
      let rule = isWrite ? "Unevaluated" : "Additional"
      throw DWNError(
        400, "SchemaValidator\(rule)PropertyNotAllowed", "the message has an unknown member \"\(name)\"")
    }
    for name in required where !json.contains(name) { throw .schema("the message has no \"\(name)\"") }
    guard isWrite else { return }
    guard json["recordId"]?.string.flatMap({ RecordID($0) }) != nil,
      json["contextId"]?.string.flatMap({ ContextID($0) }) != nil
    else { throw .schema("recordId and contextId must be a record id and a context id") }
    if json.contains("encryption"), json["encryption"]?.object == nil { throw .schema("encryption must be an object") }
    if let attestation = json["attestation"] {
      do { _ = try GeneralJWS(attestation) } catch { throw .schema("attestation: \(error)") }
    }
  }
}

extension JSONValue {
  /// Whether some text in it, or the name of a member, has the character with which texts end in C: what compares texts there takes
  /// two for one. Nesting is bounded by whoever parsed it.
  fileprivate var hasNUL: Bool {
    switch self {
    case .string(let text): text.hasNUL
    case .array(let items): items.contains { $0.hasNUL }
    case .object(let object): object.members.contains { $0.name.hasNUL || $0.value.hasNUL }
    default: false
    }
  }
}

extension String {
  fileprivate var hasNUL: Bool { utf8.withContiguousStorageIfAvailable { $0.contains(0) } ?? utf8.contains(0) }
}
