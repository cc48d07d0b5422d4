public import Wire

/// What a grant lets its holder do, or a request asks for (dwn-messages 9).
public struct PermissionScope: Hashable, Sendable {
  public enum Interface: String, Hashable, Sendable {
    case records = "Records"
    case protocols = "Protocols"
    case messages = "Messages"
  }

  public var interface: Interface
  /// Such as `Read`. That of Records covers Query, Count and Subscribe as well; that of Messages Query and Subscribe.
  public var method: String
  /// `nil` covers every protocol; never for records.
  public var protocolURI: String?
  /// That record and everything below it.
  public var contextID: ContextID?
  /// Exactly that path.
  public var path: ProtocolPath?

  public init(
    _ interface: Interface, _ method: String, protocolURI: String? = nil, contextID: ContextID? = nil,
    path: ProtocolPath? = nil
  ) {
    self.interface = interface
    self.method = method
    self.protocolURI = protocolURI
    self.contextID = contextID
    self.path = path
  }

  private static let methods: [Interface: Set<String>] = [
    .records: ["Read", "Write", "Delete", "Query", "Subscribe", "Count"], .protocols: ["Configure", "Query"],
    .messages: ["Read"],
  ]

  /// Throws status 400.
  init(_ json: JSONValue) throws(DWNError) {
    var members = try MemberReader(json, at: "scope.")
    let interface = try members.required("interface", "Records, Protocols or Messages") {
      $0.string.flatMap { Interface(rawValue: $0) }
    }
    method = try members.required("method", "one that a scope can have") { json in
      json.string.flatMap { Self.methods[interface]?.contains($0) == true ? $0 : nil }
    }
    self.interface = interface
    let uri = { (json: JSONValue) in json.string }
    if interface == .records {
      protocolURI = try members.required("protocol", "a URI", uri)
      contextID = try members.optional("contextId", "a context id") { $0.string.flatMap { ContextID($0) } }
      path = try members.optional("protocolPath", "a protocol path") { $0.string.flatMap { ProtocolPath($0) } }
    } else {
      protocolURI = try members.optional("protocol", "a URI", uri)
    }
    try members.end()
    if let protocolURI { try URI.check(protocolURI: protocolURI, "scope.protocol") }
    guard contextID == nil || path == nil else {
      throw DWNError(
        400, "PermissionsProtocolValidateScopeContextIdProhibitedProperties",
        "a scope has a contextId or a protocolPath, not both")
    }
  }

  public var json: JSONValue {
    var object: JSONObject = ["interface": .string(interface.rawValue), "method": .string(method)]
    object["protocol"] = protocolURI.map { .string($0) }
    object["contextId"] = contextID.map { .string($0.text) }
    object["protocolPath"] = path.map { .string($0.text) }
    return .object(object)
  }
}
