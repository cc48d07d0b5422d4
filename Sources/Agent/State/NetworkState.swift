import Glibc
public import Identity
public import DWN
public import Mesh
public import Wire

/// `network.json`: which network this directory is in. Everything else is in the records.
public struct NetworkState: Hashable, Sendable {
  public var networkID: RecordID
  public var anchor: DID
  public var name: String
  /// Nodes that hold the records; empty on a machine whose own embedded node is the only one.
  public var endpoints: [String]
  /// Whether this machine runs the node that holds the records.
  public var embedsNode: Bool
  /// Nodes of others that hold the records beside this machine's own.
  public var replicas: [String]
  /// Nodes on which the records lay before, and which have not been told yet where they lie now.
  public var left: [String] = []
  /// When the last of them was left.
  public var leftAt: WallTime?
  /// What the network's id commits its records to, found out when it was made or joined. Never another afterwards.
  public var envelope: Envelope
  public var meshCIDR: String
  public var meshIP: String?

  public init(
    networkID: RecordID, anchor: DID, name: String, endpoints: [String], embedsNode: Bool,
    replicas: [String] = [], envelope: Envelope = .jwe, meshCIDR: String = "10.200.0.0/16", meshIP: String? = nil
  ) {
    self.networkID = networkID
    self.anchor = anchor
    self.name = name
    self.endpoints = endpoints
    self.embedsNode = embedsNode
    self.replicas = replicas
    self.envelope = envelope
    self.meshCIDR = meshCIDR
    self.meshIP = meshIP
  }

  /// The nodes of others that hold the records.
  var foreignEndpoints: [String] { embedsNode ? replicas : endpoints }

  /// Under which others reach this machine's own node, if it has one.
  var ownURLs: [String] { embedsNode ? endpoints.filter { !replicas.contains($0) } : [] }

  static let file = "network.json"

  var json: JSONValue {
    var object = JSONObject()
    object["networkRecordId"] = .string(networkID.text)
    object["anchorDid"] = .string(anchor.text)
    object["anchorEndpoint"] = .string(endpoints.first ?? "")
    object["anchorEndpoints"] = .array(endpoints.map { .string($0) })
    object["networkName"] = .string(name)
    object["meshCidr"] = .string(meshCIDR)
    object["meshIp"] = meshIP.map { .string($0) }
    object["embedsNode"] = .bool(embedsNode)
    if !left.isEmpty {
      object["left"] = .array(left.map { .string($0) })
      object["leftAt"] = leftAt.map { .string($0.rfc3339) }
    }
    if !replicas.isEmpty { object["replicas"] = .array(replicas.map { .string($0) }) }
    object["envelope"] = .string(envelope.rawValue)
    return .object(object)
  }

  init?(_ json: JSONValue) {
    guard let id = json["networkRecordId"]?.string.flatMap({ RecordID($0) }),
      let anchor = json["anchorDid"]?.string.flatMap({ DID($0) })
    else { return nil }
    // Files from before there were two envelopes name none.
    guard let envelope = Envelope(rawValue: json["envelope"]?.string ?? Envelope.jwe.rawValue) else { return nil }
    var endpoints = (json["anchorEndpoints"]?.array ?? []).compactMap(\.string)
    if endpoints.isEmpty, let one = json["anchorEndpoint"]?.string, !one.isEmpty { endpoints = [one] }
    self.init(
      networkID: id, anchor: anchor, name: json["networkName"]?.string ?? "", endpoints: endpoints,
      embedsNode: json["embedsNode"]?.bool ?? false,
      replicas: (json["replicas"]?.array ?? []).compactMap(\.string), envelope: envelope,
      meshCIDR: json["meshCidr"]?.string ?? "10.200.0.0/16",
      meshIP: json["meshIp"]?.string)
    left = (json["left"]?.array ?? []).compactMap(\.string)
    leftAt = json["leftAt"]?.string.flatMap { WallTime(rfc3339: $0) }
  }
}

extension StateDirectory {
  public func loadNetwork() throws(AgentError) -> NetworkState? {
    guard let text = try read(NetworkState.file) else { return nil }
    guard let json = try? JSONValue(parsing: text), let state = NetworkState(json) else {
      throw .corruptFile(
        path: file(NetworkState.file), reason: "it does not name a network",
        advice: "repair it, or run 'meshd network leave' and join again")
    }
    return state
  }

  public func save(_ network: NetworkState) throws(AgentError) {
    try write(NetworkState.file, Array((network.json.prettyText + "\n").utf8))
  }

  // MARK: A network that is being made

  private static let prepared = "network.json.new"

  /// Writes what `network.json` will be once the ledger has the network.
  func prepare(_ network: NetworkState) throws(AgentError) {
    try write(Self.prepared, Array((network.json.prettyText + "\n").utf8))
  }

  /// What was prepared and not decided; `nil` if there is nothing that can be read.
  var preparedNetwork: NetworkState? {
    guard let text = try? read(Self.prepared), let json = try? JSONValue(parsing: text) else { return nil }
    return NetworkState(json)
  }

  /// Whether the making of a network was interrupted: opening the session decides what became of it.
  public var isMakingNetwork: Bool { preparedNetwork != nil }

  /// Puts it into force. Needs no space on the disk.
  func adoptPreparedNetwork() throws(AgentError) {
    guard rename(file(Self.prepared), file(NetworkState.file)) == 0 else {
      throw .cannotWrite(path: file(NetworkState.file), reason: StateDirectory.errnoText())
    }
  }

  func discardPreparedNetwork() throws(AgentError) { try remove(Self.prepared) }
}
