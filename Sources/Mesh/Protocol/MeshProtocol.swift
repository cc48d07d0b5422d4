public import DWN

/// The names of the mesh's protocol: its URI, its paths, and who can read what stands at them.
public enum MeshProtocol {
  public static let uri = "https://enbox.id/protocols/wireguard-mesh"

  public static let network: ProtocolPath = "network"
  public static let head: ProtocolPath = "network/head"
  public static let member: ProtocolPath = "network/member"
  public static let node: ProtocolPath = "network/node"
  public static let nodeInfo: ProtocolPath = "network/node/nodeInfo"
  public static let endpoint: ProtocolPath = "network/node/endpoint"
  /// The machines of a member; the same records as `node`, one level deeper.
  public static let memberNode: ProtocolPath = "network/member/node"
  public static let memberNodeInfo: ProtocolPath = "network/member/node/nodeInfo"
  public static let memberEndpoint: ProtocolPath = "network/member/node/endpoint"
  /// What machines write of themselves; the anchor writes everything else.
  public static let ownRecords = [nodeInfo, endpoint, memberNodeInfo, memberEndpoint]
  public static let aclPolicy: ProtocolPath = "network/aclPolicy"
  public static let relay: ProtocolPath = "network/relay"
  public static let preAuthKey: ProtocolPath = "network/preAuthKey"
  public static let nodeRequest: ProtocolPath = "network/nodeRequest"

  /// Both places where a machine's record may stand.
  public static let nodePaths = [node, memberNode]

  /// The path of a machine's nodeInfo, next to where its node record stands. `nil` for a path that is not a node's.
  public static func nodeInfo(under node: ProtocolPath) -> ProtocolPath? {
    nodePaths.contains(node) ? ProtocolPath(node.text + "/nodeInfo") : nil
  }

  /// The path of a machine's endpoint. `nil` for a path that is not a node's.
  public static func endpoint(under node: ProtocolPath) -> ProtocolPath? {
    nodePaths.contains(node) ? ProtocolPath(node.text + "/endpoint") : nil
  }

  /// The one schema that a record at a path may name. `nil` for a path that the protocol does not have.
  public static func schema(of path: ProtocolPath) -> String? {
    schemaName[path].map { "https://enbox.id/schemas/wireguard-mesh/" + $0 }
  }

  /// Who can read a record at a path of the mesh. `nil` for a path that the protocol does not have.
  public static func secrecy(of path: ProtocolPath) -> Secrecy? {
    guard schemaName[path] != nil else { return nil }
    switch path {
    case network, head, nodeRequest, "nodeRequest", "nodeApproval", "network/member/nodeRequest": return .clear
    case preAuthKey: return .anchor
    default: return .members
    }
  }

  private static let schemaName: [ProtocolPath: String] = [
    network: "network", head: "head", member: "member", node: "node", nodeInfo: "node-info", endpoint: "endpoint",
    memberNode: "node", memberNodeInfo: "node-info", memberEndpoint: "endpoint", aclPolicy: "acl-policy",
    relay: "relay",
    preAuthKey: "pre-auth-key", nodeRequest: "node-request", "network/member/nodeRequest": "node-request",
    "nodeRequest": "node-request", "nodeApproval": "node-approval",
  ]

  /// Every path of the protocol.
  public static let paths = schemaName.keys.sorted()
}

/// Who can read the records of one path.
public enum Secrecy: Hashable, Sendable {
  /// Everybody: the records are never encrypted.
  case clear
  /// Whoever holds the network key of the record's epoch, and the anchor.
  case members
  /// The anchor alone.
  case anchor
}
