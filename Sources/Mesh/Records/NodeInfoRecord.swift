public import Wire

/// `…/nodeInfo`: what a machine says of itself.
public struct NodeInfoRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.nodeInfo

  /// The operating system's host name, at most 253 characters. Only a suggestion: the anchor's label goes before it.
  public var hostname: String?
  /// `linux`, `darwin`, `windows`, `freebsd`, `android` or `ios`.
  public var os: String?
  public var capabilities: [String]

  public init(hostname: String?, os: String?, capabilities: [String] = []) {
    self.hostname = hostname
    self.os = os
    self.capabilities = capabilities
  }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    hostname = try reader.label("hostname")
    os = try reader.label("os")
    capabilities = try reader.texts("capabilities")
  }

  public var json: JSONValue {
    var object = JSONObject()
    object["hostname"] = hostname.map { .string($0) }
    object["os"] = os.map { .string($0) }
    object.set("capabilities", unlessEmpty: capabilities)
    return .object(object)
  }
}
