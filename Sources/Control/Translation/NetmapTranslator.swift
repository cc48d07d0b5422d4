public import Mesh
public import Netmap
import Wire

/// Turns a network as this machine believes it to be into what the engine consumes. Pure: equal views give equal netmaps.
public enum NetmapTranslator {
  /// Addresses of a peer's record that are tried at most.
  static let endpointLimit = 20

  /// `nil` when there is nothing to run: this machine is no live node of the network, or the network record cannot be used.
  /// `nodePort`: where this machine's own node listens.
  public static func netmap(of view: MeshView, nodePort: UInt16? = nil) -> Netmap? {
    guard let own = view.own, let record = view.record else { return nil }
    let meshPrefixes = meshPrefixes(of: record)
    return Netmap(
      networkName: record.name,
      node: LocalNode(name: own.name, key: own.key, addresses: addresses(of: own), meshPrefixes: meshPrefixes),
      peers: view.nodes.filter { $0.did != own.did }.map { peer($0, meshPrefixes: meshPrefixes) },
      relays: relays(of: view).map(relay),
      filter: filter(view, own, record, nodePort),
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
    return notes + view.nodes.compactMap(networksBehind).prefix(10)
  }

  /// A machine hands on nothing that is not for itself (`ReceivePath`), so traffic for networks behind it would end there. It goes where
  /// it went without the mesh.
  private static func networksBehind(_ node: MeshView.Node) -> String? {
    let addresses = addresses(of: node)
    let networks = node.record.allowedIPs.filter { !addresses.contains($0) }
    guard let first = networks.first else { return nil }
    let more = networks.count > 1 ? " and \(networks.count - 1) more" : ""
    return "\(node.name) has networks behind it (\(first)\(more)) by its record: they are not routed, only machines are"
  }

  /// The blocks of addresses that a network gives to its machines.
  static func meshPrefixes(of record: NetworkRecord) -> [IPPrefix] { [record.meshCIDR, AddressPlan.ipv6Block] }

  private static func addresses(of node: MeshView.Node) -> [IPPrefix] {
    [IPPrefix(host: node.meshIP), IPPrefix(host: node.meshIPv6)]
  }

  private static func peer(_ node: MeshView.Node, meshPrefixes: [IPPrefix]) -> Peer {
    let addresses = addresses(of: node)
    let endpoint = node.endpoint
    let candidates = (endpoint?.publicEndpoints.map(\.address) ?? []) + (endpoint?.localEndpoints ?? [])
    return Peer(
      key: node.key, name: node.name, addresses: addresses, allowedIPs: addresses,
      endpoints: EndpointHygiene(meshPrefixes: meshPrefixes).filter(candidates, limit: endpointLimit),
      discoKey: endpoint?.discoKey,
      relayIDs: endpoint.map(relayIDs) ?? [], natMapping: endpoint.flatMap(natMapping),
      hasMappedPort: endpoint?.publicEndpoints.contains { $0.source?.isMapping == true } ?? false,
      revision: PeerRevision.of(node))
  }

  /// Home first.
  private static func relayIDs(of endpoint: EndpointRecord) -> [UInt16] {
    var ids: [UInt16] = []
    for case let id? in [endpoint.homeRelay ?? endpoint.preferredDERP, endpoint.standbyDERP] where !ids.contains(id) {
      ids.append(id)
    }
    return ids
  }

  private static func natMapping(of endpoint: EndpointRecord) -> NATMapping? {
    switch endpoint.natType {
    case .unknown: nil
    case .endpointIndependent: .endpointIndependent
    case .endpointDependent: .endpointDependent
    }
  }

  /// Those of the records; where machines' relays have none, also those that they name in their endpoint records, the own one among
  /// them: nobody has tried these, so there are as many of them as records may be, and they are reached under public addresses.
  static func relays(of view: MeshView) -> [RelayRecord] {
    var relays = view.relays
    if view.network.envelope.registersRelays { return relays }
    var taken = Set(relays.map(\.id))
    for node in view.nodes.sorted(by: { $0.did < $1.did }) {
      let id = RelayPin.id(of: node.did)
      guard let offer = node.endpoint?.relay?.limited(to: PublicAddresses.contains),
        let plan = RelayPlan(offer, of: node.did, region: node.name), taken.insert(id).inserted
      else { continue }
      relays.append(RelayRecord(id: id, plan))
    }
    return Array(relays.sorted { $0.id < $1.id }.prefix(Ledger.relayLimit))
  }

  private static func relay(_ record: RelayRecord) -> Relay {
    func literal(_ family: IPAddress.Family) -> IPAddress? {
      if case .address(let address) = record.plan.reach(family) { address } else { nil }
    }
    return Relay(
      id: record.id, region: record.region, host: record.host.text, port: record.port, ipv4: literal(.v4),
      ipv6: literal(.v6), certificateSHA256: record.certSHA256, stunPorts: record.stunPorts,
      relaysTraffic: !record.stunOnly, isOffered: record.nodeDID != nil)
  }

  /// What the policy says, after what holds whatever it says: every machine of the mesh reaches the anchor's node (`reach.md` 1).
  private static func filter(
    _ view: MeshView, _ own: MeshView.Node, _ record: NetworkRecord, _ nodePort: UInt16?
  ) -> PacketFilterRules {
    var filter = policy(view)
    guard filter != .acceptAll, own.did == view.network.anchor, let nodePort else { return filter }
    filter.rules.insert(
      PacketFilterRules.Rule(
        action: .accept, sources: [record.meshCIDR], destinations: [IPPrefix(host: own.meshIP)],
        destinationPorts: [nodePort...nodePort], protocols: [Self.tcp]), at: 0)
    return filter
  }

  private static let tcp: UInt8 = 6

  /// A missing policy is a withheld one, where heads could tell; without heads it means what it means to all who speak encryption
  /// v1 (`trust.md` section 9).
  private static func policy(_ view: MeshView) -> PacketFilterRules {
    switch view.policy {
    case .accepted(let policy): policy.meaning == .acceptsAll ? .acceptAll : .denyAll
    case .missing: view.network.envelope.hasHeads ? .denyAll : .acceptAll
    case .unusable: .denyAll
    }
  }
}
