public import DWN
import DWNClient
import Engine
public import Identity
public import Mesh
public import Wire

/// What a person asked of `up`: flags that were not given are `nil` or empty.
public struct UpRequest: Sendable, Hashable {
  public var create: String?
  public var cidr: String?
  /// Of a network that is made.
  public var envelope: Envelope
  /// An invitation to join by. It holds a secret: it is used before a daemon is started, and handed to none.
  public var invite: Invite?
  public var endpoints: [String]
  public var anchor: DID?
  public var networkID: RecordID?
  /// Whether terms of service of nodes are agreed to, as they are now.
  public var acceptsTerms: Bool
  public var listen: [SocketAddress]
  public var advertise: [String]
  /// Nodes of others that are to hold the records beside this machine's own; `none` alone: none any more.
  public var replicas: [String]
  public var port: UInt16?
  public var interface: String?
  public var mtu: Int?
  /// Names of offloads that are switched off; `none` alone: none is.
  public var noOffload: [String]
  /// STUN servers, as `HOST:PORT`; `none` alone: none any more.
  public var stun: [String]
  public var probesPorts: Bool?
  /// URL of a gateway; `none`: no gateway any more.
  public var didGateway: String?
  public var allowsPrivateDIDHosts: Bool?
  public var relay: RelaySettings

  public init(
    create: String? = nil, cidr: String? = nil, envelope: Envelope = .jwe, invite: Invite? = nil,
    endpoints: [String] = [], anchor: DID? = nil,
    networkID: RecordID? = nil, acceptsTerms: Bool = false, listen: [SocketAddress] = [], advertise: [String] = [],
    replicas: [String] = [], port: UInt16? = nil, interface: String? = nil, mtu: Int? = nil, noOffload: [String] = [],
    stun: [String] = [],
    probesPorts: Bool? = nil, didGateway: String? = nil, allowsPrivateDIDHosts: Bool? = nil,
    relay: RelaySettings = RelaySettings()
  ) {
    self.create = create
    self.cidr = cidr
    self.envelope = envelope
    self.invite = invite
    self.endpoints = endpoints
    self.anchor = anchor
    self.networkID = networkID
    self.acceptsTerms = acceptsTerms
    self.listen = listen
    self.advertise = advertise
    self.replicas = replicas
    self.port = port
    self.interface = interface
    self.mtu = mtu
    self.noOffload = noOffload
    self.stun = stun
    self.probesPorts = probesPorts
    self.didGateway = didGateway
    self.allowsPrivateDIDHosts = allowsPrivateDIDHosts
    self.relay = relay
  }

  /// Refuses what cannot work whatever the state is: names, URLs, blocks.
  public func check() throws(AgentError) {
    if let create, !(1...64).contains(create.count) || create.contains(where: \.isNewline) {
      throw .badArgument("a network's name has 1 to 64 characters on one line")
    }
    if let cidr {
      guard let prefix = IPPrefix(cidr), prefix.family == .v4, (8...30).contains(prefix.length) else {
        throw .badArgument("\"\(cidr)\" is not an IPv4 block such as 10.200.0.0/16, between /8 and /30")
      }
      // A public one would hide machines of others, and let strangers lead the node's look-ups of DIDs into the mesh.
      guard prefix.isPrivate else {
        throw .badArgument("\(prefix) is not a private block: take one such as 10.200.0.0/16 or 100.100.0.0/16")
      }
    }
    if let anchor, anchor.wireGuardKey == nil {
      throw .badArgument(
        "\(anchor) is not the DID of a machine: --anchor takes what 'meshd init' printed on the first machine")
    }
    if let networkID, CID(networkID.text) == nil {
      throw .badArgument("\"\(networkID)\" is not the id of a network: 'meshd peer add' prints it on the first machine")
    }
    if let interface, !EngineConfiguration.isInterfaceName(interface) {
      throw .badArgument(EngineError.badInterfaceName(interface).description)
    }
    if EngineConfiguration.offloads(without: noOffload) == nil {
      throw .badArgument("--no-offload takes tso, uso, gso, gro, all or none")
    }
    for server in stun where server != "none" && STUNHost(server) == nil {
      throw .badArgument("\"\(server)\" is not a STUN server such as stun.example.org:3478")
    }
    if let didGateway, didGateway != "none" {
      // Whether it may be a private host is for the node to say, which has the flags that were kept.
      try DIDSettings(gateway: didGateway, allowsPrivateHosts: true).check()
    }
    try relay.check()
    for url in endpoints + (advertise + replicas).filter({ $0 != "none" }) {
      do { _ = try EndpointURL(url) } catch { throw .badArgument("\(error)") }
    }
    guard endpoints.count <= NodeURLs.limit, advertise.count + replicas.count <= NodeURLs.limit else {
      throw .badArgument("a network names at most \(NodeURLs.limit) URLs of nodes")
    }
  }

  /// The flags again, for the process that goes on in the background.
  public var arguments: [String] {
    var result: [String] = []
    func add(_ flag: String, _ value: String?) { if let value { result.append("\(flag)=\(value)") } }
    add("--create", create)
    add("--cidr", cidr)
    if envelope == .v1 { result.append("--v1") }
    for endpoint in endpoints { add("--endpoint", endpoint) }
    add("--anchor", anchor?.text)
    add("--network", networkID?.text)
    if acceptsTerms { result.append("--accept-terms") }
    for address in listen { add("--listen", address.description) }
    for url in advertise { add("--advertise", url) }
    for url in replicas { add("--replica", url) }
    add("--port", port.map(String.init))
    add("--interface", interface)
    add("--mtu", mtu.map(String.init))
    for name in noOffload { add("--no-offload", name) }
    for server in stun { add("--stun", server) }
    if let probesPorts { result.append(probesPorts ? "--port-probing" : "--no-port-probing") }
    add("--did-dht-gateway", didGateway)
    if let allowsPrivateDIDHosts {
      result.append(allowsPrivateDIDHosts ? "--allow-private-did-hosts" : "--no-allow-private-did-hosts")
    }
    result += relay.arguments
    return result
  }

  /// Where the network's node is, as far as this says it: the invitation's endpoint first.
  var allEndpoints: [String] { (invite.map { [$0.endpoint] } ?? []) + endpoints }

  /// Whether this names the network that the state directory is in, and no other endpoints than are known: then there is nothing to find
  /// out, and nobody need answer.
  public func names(_ existing: NetworkState?) -> Bool {
    guard let existing, existing.networkID == invite?.networkID ?? networkID,
      existing.anchor == invite?.anchor ?? anchor
    else { return false }
    return existing.embedsNode || allEndpoints.isEmpty || allEndpoints == existing.endpoints
  }

  /// Endpoints alone are those of the network that the state directory is in.
  func completed(by existing: NetworkState?) throws(AgentError) -> UpRequest {
    guard let existing, create == nil, networkID == nil, !endpoints.isEmpty else { return self }
    guard !existing.embedsNode else { throw .holdsRecordsItself }
    var request = self
    (request.anchor, request.networkID) = (existing.anchor, existing.networkID)
    return request
  }

  /// Whether this names the endpoints of a network whose anchor is this machine, and whose records lie on nodes of others. They may be
  /// those that are known: the network's record may name others.
  func movesOwn(_ existing: NetworkState, of did: DID) -> Bool {
    existing.anchor == did && anchor == did && existing.networkID == networkID && !endpoints.isEmpty
      && !existing.embedsNode
  }

  /// The replicas that the network has from now on.
  func replicas(of existing: NetworkState?, embedsNode: Bool) throws(AgentError) -> [String] {
    guard !replicas.isEmpty else { return existing?.replicas ?? [] }
    guard embedsNode else { throw .holdsNoRecordsItself }
    return try canonical(replicas.filter { $0 != "none" })
  }

  /// Refuses this machine's own node as its replica.
  func checkReplicas(besides own: [String]) throws(AgentError) {
    let own = try canonical(own)
    if let same = try canonical(replicas.filter { $0 != "none" }).first(where: own.contains) {
      throw .badArgument("\(same) is this machine's own node: a replica is a node that runs when this machine does not")
    }
  }

  /// Refuses what does not fit the network that the state directory is in, or that it is in none.
  public func checkAgainst(_ existing: NetworkState?) throws(AgentError) {
    guard let existing else {
      if create == nil, networkID == nil { throw .noNetwork }
      return
    }
    if create != nil || (networkID != nil && networkID != existing.networkID) {
      throw .anotherNetwork(name: existing.name)
    }
  }

  /// Whether a daemon that is running already does what is asked.
  public func checkAgainst(running status: JSONValue) throws(AgentError) {
    let name = status["network"]?.string ?? ""
    if create != nil { throw .anotherNetwork(name: name) }
    if let networkID, status["networkRecordID"]?.string != networkID.text { throw .anotherNetwork(name: name) }
    let known = (status["anchorEndpoints"]?.array ?? []).compactMap(\.string)
    if !endpoints.isEmpty, networkID == nil, status["node"] != nil { throw .holdsRecordsItself }
    if !endpoints.isEmpty, endpoints != known {
      throw .failed("meshd is running with other endpoints: stop it with 'meshd down', then run this again")
    }
    if !listen.isEmpty || !advertise.isEmpty || !replicas.isEmpty || port != nil || interface != nil || mtu != nil
      || !noOffload.isEmpty || acceptsTerms || !stun.isEmpty || probesPorts != nil || didGateway != nil
      || allowsPrivateDIDHosts != nil || relay != RelaySettings()
    {
      throw .failed("meshd is running: stop it with 'meshd down' before you change these flags")
    }
  }
}

/// The result of `up`.
public enum UpResult {
  /// What scripts rely on.
  public static func publicJSON(_ result: JSONValue) -> JSONValue {
    pick(result, ["did", "networkId", "meshIP", "meshIPv6", "endpoint", "network", "interface", "port"])
  }

  /// The same for a daemon that was running already.
  public static func json(fromStatus status: JSONValue) -> JSONValue {
    var object = JSONObject()
    object["did"] = status["did"]
    object["networkId"] = status["networkRecordID"]
    object["meshIP"] = status["meshIP"]
    object["meshIPv6"] = status["meshIPv6"]
    object["endpoint"] = status["anchorEndpoint"]
    object["network"] = status["network"]
    object["interface"] = status["tunDevice"]
    object["port"] = status["port"]
    return .object(object)
  }

  private static func pick(_ json: JSONValue, _ names: [String]) -> JSONValue {
    .object(JSONObject(names.compactMap { name in json[name].map { (name, $0) } }))
  }
}

/// URLs of nodes, each once and as endpoints are called.
func canonical(_ urls: [String]) throws(AgentError) -> [String] {
  var result: [String] = []
  for endpoint in try endpoints(urls) where !result.contains(endpoint.name) { result.append(endpoint.name) }
  return result
}
