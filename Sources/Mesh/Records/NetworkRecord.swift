public import Wire

/// `network`: what a mesh is called, which addresses are its own, and where its records are. In clear.
public struct NetworkRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.network

  /// At most 64 characters.
  public var name: String
  /// The block of IPv4 addresses from which machines get theirs.
  public var meshCIDR: IPPrefix
  /// URLs of nodes that have the anchor's tenant, best first. Written as `anchorEndpoints`, the first also as `anchorEndpoint`.
  public var anchorEndpoints: [String]
  /// The DNS suffix of machine names, without dots at its ends.
  public var suffix: String
  public var dnsServers: [String]

  public static let defaultCIDR = IPPrefix(IPAddress(v4: 10 << 24 | 200 << 16), length: 16)!
  public static let defaultSuffix = "mesh.local"

  public init(
    name: String, meshCIDR: IPPrefix = NetworkRecord.defaultCIDR, anchorEndpoints: [String] = [],
    suffix: String = NetworkRecord.defaultSuffix, dnsServers: [String] = []
  ) {
    self.name = name
    self.meshCIDR = meshCIDR
    self.anchorEndpoints = anchorEndpoints
    self.suffix = suffix
    self.dnsServers = dnsServers
  }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    guard let name = try reader.label("name") else { throw reader.wrong("name", "a text that is not empty") }
    self.name = name
    meshCIDR = try reader.required("meshCIDR", "a block like 10.200.0.0/16") { value in
      value.string.flatMap { try? AddressPlan(cidr: $0).block }
    }
    let endpoints = try reader.texts("anchorEndpoints")
    anchorEndpoints = endpoints.isEmpty ? [try reader.label("anchorEndpoint")].compactMap { $0 } : endpoints
    suffix = try reader.label("magicDNSSuffix") ?? Self.defaultSuffix
    dnsServers = try reader.texts("dnsServers")
  }

  public var json: JSONValue {
    var object: JSONObject = ["name": .string(name), "meshCIDR": .string(meshCIDR.description)]
    object["anchorEndpoint"] = anchorEndpoints.first.map { .string($0) }
    object.set("anchorEndpoints", unlessEmpty: anchorEndpoints)
    object.set("dnsServers", unlessEmpty: dnsServers)
    object["magicDNSSuffix"] = suffix == Self.defaultSuffix ? nil : .string(suffix)
    return .object(object)
  }
}
