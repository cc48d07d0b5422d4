public import Identity
public import Wire

/// The descriptor of a RecordsWrite (dwn-messages 5.1).
public struct RecordsWriteDescriptor: Hashable, Sendable {
  public let protocolURI: String
  public let path: ProtocolPath
  public let dataCID: CID
  public let dataSize: Int
  public let dataFormat: String
  public let dateCreated: WallTime
  public let recipient: DID?
  public let schema: String?
  public let tags: JSONObject?
  public let parentID: RecordID?
  /// `nil` where the member is absent, which means the same as `false`.
  public let published: Bool?
  /// There exactly if `published` is true.
  public let datePublished: WallTime?
  public let permissionGrantID: RecordID?
  public let squash: Bool

  init(_ members: inout MemberReader) throws(DWNError) {
    protocolURI = try members.required("protocol", "a URI") { $0.string }
    path = try members.required("protocolPath", "a protocol path") { $0.string.flatMap { ProtocolPath($0) } }
    dataCID = try members.required("dataCid", "a CID") { $0.string.flatMap { CID($0) } }
    dataSize = try members.required("dataSize", "a number of bytes") { json in
      json.integer.flatMap { $0 >= 0 ? Int(exactly: $0) : nil }
    }
    dataFormat = try members.required("dataFormat", "a media type") { json in
      json.string.flatMap { (1...255).contains($0.utf8.count) ? $0 : nil }
    }
    guard let created = try members.time("dateCreated") else { throw .schema("descriptor.dateCreated is missing") }
    dateCreated = created
    recipient = try members.optional("recipient", "a DID") { $0.string.flatMap { DID($0) } }
    schema = try members.optional("schema", "a URI") { $0.string }
    tags = try members.optional("tags", "1 to 10 tags: text, number, boolean, or a list of 1 to 10 texts or numbers") {
      json in RecordsWriteDescriptor.areTags(json) ? json.object : nil
    }
    parentID = try members.optional("parentId", "a record id") { $0.string.flatMap { RecordID($0) } }
    published = try members.optional("published", "a boolean") { $0.bool }
    datePublished = try members.time("datePublished")
    permissionGrantID = try members.permissionGrantID()
    squash = try members.optional("squash", "true") { $0.bool == true ? true : nil } ?? false
    try members.end()
    guard (published == true) == (datePublished != nil) else {
      throw .schema("datePublished must be present exactly when published is true")
    }
    try URI.check(protocolURI: protocolURI, "descriptor.protocol")
    if let schema { try URI.check(schema: schema, "descriptor.schema") }
  }

  public var members: JSONObject {
    var object = JSONObject()
    object["protocol"] = .string(protocolURI)
    object["protocolPath"] = .string(path.text)
    object["dataCid"] = .string(dataCID.text)
    object["dataSize"] = .integer(Int64(dataSize))
    object["dateCreated"] = .string(dateCreated.timestamp)
    object["dataFormat"] = .string(dataFormat)
    object["schema"] = schema.map { .string($0) }
    object["recipient"] = recipient.map { .string($0.text) }
    object["tags"] = tags.map { .object($0) }
    object["parentId"] = parentID.map { .string($0.text) }
    object["published"] = published.map { .bool($0) }
    object["datePublished"] = datePublished.map { .string($0.timestamp) }
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    if squash { object["squash"] = true }
    return object
  }

  private static func areTags(_ value: JSONValue) -> Bool {
    guard let tags = value.object, (1...10).contains(tags.count) else { return false }
    return tags.members.allSatisfy { _, tag in
      switch tag {
      case .string, .integer, .number, .bool: true
      case .array(let items):
        (1...10).contains(items.count)
          && (items.allSatisfy { $0.string != nil } || items.allSatisfy { $0.double != nil })
      default: false
      }
    }
  }
}

extension MemberReader {
  /// A timestamp that looks right and is no instant has a code of its own.
  fileprivate mutating func time(_ name: String) throws(DWNError) -> WallTime? {
    let place = place
    return try optional(name, "a timestamp") { json throws(DWNError) in
      guard let text = json.string else { return nil }
      guard let time = WallTime(timestamp: text) else {
        throw DWNError(
          400, "TimestampInvalid", "\(place)\(name) must look like 2026-07-11T12:00:00.000000Z and be a real instant")
      }
      return time
    }
  }
}

extension URI {
  static func check(protocolURI: String, _ place: String) throws(DWNError) {
    guard let normal = normalized(protocolURI) else {
      throw DWNError(400, "UrlProtocolNotNormalizable", "\(place) is no URL")
    }
    guard normal == protocolURI else {
      throw DWNError(400, "UrlProtocolNotNormalized", "\(place) must be written \(normal)")
    }
  }

  static func check(schema: String, _ place: String) throws(DWNError) {
    guard isNormalized(schema) else {
      throw DWNError(400, "UrlSchemaNotNormalized", "\(place) must be written \(normalized(schema) ?? "as a URL")")
    }
  }
}
