public import Identity
public import Wire

/// Installs a protocol (dwn-messages 7.1). Whether the definition is valid is `ProtocolDefinition`'s to say.
public struct ProtocolsConfigure: Hashable, Sendable {
  public var definition: JSONObject
  public var permissionGrantID: RecordID?

  public init(_ definition: JSONObject, permissionGrantID: RecordID? = nil) {
    self.definition = definition
    self.permissionGrantID = permissionGrantID
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    definition = try members.required("definition", "an object") { $0.object }
    permissionGrantID = try members.permissionGrantID()
    try members.end()
  }

  var members: JSONObject {
    var object: JSONObject = ["definition": .object(definition)]
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    return object
  }
}

/// Asks for definitions: of one protocol, or all.
public struct ProtocolsQuery: Hashable, Sendable {
  public var protocolURI: String?
  /// Of newer nodes; without effect here.
  public var recipient: DID?
  public var permissionGrantID: RecordID?

  public init(protocolURI: String? = nil, permissionGrantID: RecordID? = nil) {
    self.protocolURI = protocolURI
    self.permissionGrantID = permissionGrantID
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    var protocolURI: String?
    var recipient: DID?
    _ = try members.optional("filter", "an object") { json throws(DWNError) -> Bool? in
      guard let object = json.object, !object.isEmpty else { return nil }
      var filter = MemberReader(object, at: "filter.")
      protocolURI = try filter.optional("protocol", "a URI") { $0.string }
      recipient = try filter.optional("recipient", "a DID") { $0.string.flatMap { DID($0) } }
      try filter.end()
      return true
    }
    if let protocolURI { try URI.check(protocolURI: protocolURI, "filter.protocol") }
    self.protocolURI = protocolURI
    self.recipient = recipient
    permissionGrantID = try members.permissionGrantID()
    try members.end()
  }

  var members: JSONObject {
    var filter = JSONObject()
    filter["protocol"] = protocolURI.map { .string($0) }
    filter["recipient"] = recipient.map { .string($0.text) }
    var object = JSONObject()
    if !filter.isEmpty { object["filter"] = .object(filter) }
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    return object
  }
}
