import DWN
public import Wire

/// The schemas of `schemas/`, one for each kind of record that is written here. They are checked on what is written, never on
/// reading.
public enum RecordSchema: String, CaseIterable, Hashable, Sendable {
  case network
  case head
  case member
  case node
  case nodeInfo = "node-info"
  case endpoint
  case aclPolicy = "acl-policy"
  case relay
  /// `relay` with encryption v1.
  case relayName = "relay-name"
  case contextKey = "context-key"

  /// The record's name in messages to people.
  public var recordName: String {
    switch self {
    case .nodeInfo: "nodeInfo"
    case .relayName: "relay"
    case .aclPolicy: "aclPolicy"
    case .contextKey: "contextKey"
    default: rawValue
    }
  }

  /// The schema itself.
  public var json: JSONValue { Self.sources[self] ?? .null }

  /// Throws `unwritable`, with the first thing that breaks the schema.
  public func check(_ json: JSONValue) throws(MeshError) {
    do {
      try Self.compiled[self]?.check(json)
    } catch {
      throw .unwritable(record: recordName, reason: error.description)
    }
  }

  private static let sources: [RecordSchema: JSONValue] = Dictionary(
    uniqueKeysWithValues: allCases.map { schema in
      guard let json = try? JSONValue(parsing: schema.text) else {
        preconditionFailure("schemas/\(schema.rawValue).json is not JSON")
      }
      return (schema, json)
    })

  private static let compiled: [RecordSchema: JSONSchema] = sources.mapValues { json in
    do { return try JSONSchema(json) } catch { preconditionFailure("a schema of schemas/ does not compile: \(error)") }
  }

  private var text: [UInt8] {
    switch self {
    case .network: PackageResources.network_json
    case .head: PackageResources.head_json
    case .member: PackageResources.member_json
    case .node: PackageResources.node_json
    case .nodeInfo: PackageResources.node_info_json
    case .endpoint: PackageResources.endpoint_json
    case .aclPolicy: PackageResources.acl_policy_json
    case .relay: PackageResources.relay_json
    case .relayName: PackageResources.relay_name_json
    case .contextKey: PackageResources.context_key_json
    }
  }
}
