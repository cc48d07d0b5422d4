public import Mesh
public import Netmap
import Wire

/// Turns a network as this machine believes it to be into what the engine consumes. Pure: equal views give equal netmaps.
public enum NetmapTranslator {
  /// Addresses of a peer's record that are tried at most.
  static let endpointLimit = 20

  /// `nil` when there is nothing to run: this machine is no live node of the network, or the network record cannot be used.
  public static func netmap(of view: MeshView) -> Netmap? {
    guard let own = view.own, let record = view.record else { return nil }
    let meshPrefixes = meshPrefixes(of: record)
    return Netmap(
      networkName: record.name,
      node: LocalNode(name: own.name, key: own.key, addresses: addresses(of: own), meshPrefixes: meshPrefixes),
      peers: view.nodes.filter { $0.did != own.did }.map { peer($0, meshPrefixes: meshPrefixes) },
      relays: view.relays.map(relay),
      filter: filter(view),
      dns: NameService(suffix: record.suffix, resolvers: record.dnsServers))
  }

  /// What a person should know about how a view was translated.
  static func notes(on view: MeshView) -> [String] {
    var notes: [String] = []
    switch view.policy {
    case .accepted(let policy):
      if policy.meaning == .notEvaluated {
        notes.append(
          "the policy has rules that this version does not evaluate: nothing is let in until it accepts or denies everything"
        )
      }
    case .missing where view.network.envelope.hasHeads:
      notes.append("the network has no policy: nothing is let in")
    case .missing:
      notes.append("the network has no policy, which in networks with encryption v1 means: everything is let in")
    case .unusable(let reason): notes.append("the policy cannot be used, so nothing is let in: \(reason)")
    }
    if view.record == nil { notes.append("the network record cannot be used: the anchor has to write it anew") }
    for unused in view.unused {
      notes.append("the \(unused.path) record \(unused.recordID) is not used: \(unused.reason)")
    }
    return notes
  }

  /// The blocks of addresses that a network gives to its machines.
  static func meshPrefixes(of record: NetworkRecord) -> [IPPrefix] { [record.meshCIDR, AddressPlan.ipv6Block] }

  private static func addresses(of node: MeshView.Node) -> [IPPrefix] {
    [IPPrefix(host: node.meshIP), IPPrefix(host: node.meshIPv6)]
  }

  private static func peer(_ node: MeshView.Node, meshPrefixes: [IPPrefix]) -> Peer {
    let addresses = addresses(of: node)
    // A route may neither claim addresses of the mesh, which belong to their nodes, nor everything: whoever wants all traffic of
    // this machine needs its consent.
    let routes = node.record.allowedIPs.filter { route in
      route.length > 0 && !addresses.contains(route) && !meshPrefixes.contains { $0.contains(route) }
    }
    let endpoint = node.endpoint
    let candidates = (endpoint?.publicEndpoints.map(\.address) ?? []) + (endpoint?.localEndpoints ?? [])
    return Peer(
      key: node.key, name: node.name, addresses: addresses, allowedIPs: addresses + routes,
      endpoints: EndpointHygiene(meshPrefixes: meshPrefixes).filter(candidates, limit: endpointLimit),
      discoKey: endpoint?.discoKey,
      relayIDs: [endpoint?.preferredDERP, endpoint?.standbyDERP].compactMap { $0 },
      revision: revision(of: node))
  }

  /// Differs whenever the node record or the endpoint record does. The newest stamp alone would not tell: clocks of different
  /// writers may stand apart.
  private static func revision(of node: MeshView.Node) -> UInt64 {
    let newest = UInt64(bitPattern: node.newestStamp.microseconds)
    let endpoint = UInt64(bitPattern: node.endpointStamp?.microseconds ?? 0)
    return newest &+ endpoint &* 0x9e37_79b9_7f4a_7c15
  }

  private static func relay(_ record: RelayRecord) -> Relay {
    func literal(_ family: IPAddress.Family) -> IPAddress? {
      if case .address(let address) = record.reach(family) { address } else { nil }
    }
    return Relay(
      id: record.id, region: record.region, host: record.host.text, port: record.port, ipv4: literal(.v4),
      ipv6: literal(.v6), certificateSHA256: record.certSHA256, stunPorts: record.stunPorts,
      relaysTraffic: !record.stunOnly)
  }

  /// A missing policy is a withheld one, where heads could tell; without heads it means what it means to all who speak encryption
  /// v1 (`trust.md` section 9).
  private static func filter(_ view: MeshView) -> PacketFilterRules {
    switch view.policy {
    case .accepted(let policy): policy.meaning == .acceptsAll ? .acceptAll : .denyAll
    case .missing: view.network.envelope.hasHeads ? .denyAll : .acceptAll
    case .unusable: .denyAll
    }
  }
}
