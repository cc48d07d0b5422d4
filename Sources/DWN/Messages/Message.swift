public import Wire

/// A DWN message as it was received, with everything that follows from its bytes alone. Unknown spellings survive: every CID is
/// taken over the JSON as it came.
///
/// A `Message` has the members and types that its method prescribes. Who signed it is `SignedMessage`'s to say.
public struct Message: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable {
    case recordsWrite = "RecordsWrite"
    case recordsRead = "RecordsRead"
    case recordsQuery = "RecordsQuery"
    case recordsDelete = "RecordsDelete"
    case protocolsConfigure = "ProtocolsConfigure"
    case protocolsQuery = "ProtocolsQuery"
  }

  /// Without `encodedData`.
  public let json: JSONObject
  public let kind: Kind
  public let descriptor: JSONObject
  public let timestamp: WallTime
  /// Of the whole message.
  public let cid: CID
  public let descriptorCID: CID

  /// Largest message without its data, in bytes of JSON text.
  public static let maximumSize = 64 << 10
  /// Deepest nesting of JSON in a message.
  public static let maximumDepth = 16

  /// Checks form: top-level members, descriptor members and their types.
  ///
  /// `encodedData`, which belongs to replies, is dropped. Throws status 400.
  public init(_ value: JSONValue) throws(DWNError) {
    guard var json = value.object else { throw .schema("a message is a JSON object") }
    json["encodedData"] = nil
    guard let descriptor = json["descriptor"]?.object, let interface = descriptor["interface"]?.string,
      let method = descriptor["method"]?.string
    else { throw .schema("descriptor.interface and descriptor.method must both be present") }
    guard let kind = Kind(rawValue: interface + method) else {
      throw .schema("\(interface)\(method) is not a method of this node")
    }
    try MessageForm.of(kind).check(json: json, descriptor: descriptor)
    guard let text = descriptor["messageTimestamp"]?.string, let timestamp = WallTime(timestamp: text) else {
      throw DWNError(
        400, "TimestampInvalid", "messageTimestamp must look like 2026-07-11T12:00:00.000000Z and be a real instant")
    }
    self.json = json
    self.kind = kind
    self.descriptor = descriptor
    self.timestamp = timestamp
    self.cid = CID(of: .object(json))
    self.descriptorCID = CID(of: .object(descriptor))
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
}

extension DWNError {
  static func schema(_ text: String) -> DWNError { DWNError(400, "SchemaValidatorFailure", text) }
}
