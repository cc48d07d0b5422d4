import Wire

/// What there is to say about the ways to the other machines: addresses, UDP, NAT, gateways, relays, peers.
struct WaysDiagnosis {
  let status: JSONValue
  let netcheck: JSONValue?

  var findings: [Finding] {
    [ports, advertised, udp, nat, mapping].compactMap { $0 } + servers
      + [ownRelay].compactMap { $0 } + relays + [peers, drops].compactMap { $0 }
  }

  private var ports: Finding {
    let node = (status["node"]?["listen"]?.array ?? []).compactMap(\.string)
    return Finding(
      .info, "UDP port \(status["port"]?.integer ?? 0)",
      detail: node.isEmpty ? nil : "the node listens on \(node.joined(separator: ", "))")
  }

  /// Where this machine's own node holds the records, others have to reach it.
  private var advertised: Finding? {
    guard let urls = status["node"]?["advertise"]?.array?.compactMap(\.string) else { return nil }
    guard !urls.isEmpty else {
      return Finding(
        .warn, "This machine has no address that others reach", next: "give one with 'meshd up --advertise URL'")
    }
    guard NodeURLs.areAllPrivate(urls) else {
      return Finding(.ok, "Others reach the node here", detail: urls.joined(separator: ", "))
    }
    return Finding(.warn, "Machines elsewhere do not reach this one", next: MeshOperations.privateWarning)
  }

  private var udp: Finding? {
    guard let netcheck else { return nil }
    guard let udp = netcheck["udp"]?.bool else {
      return Finding(.info, "Whether UDP gets through is unknown: \(UnknownUDP.reason(in: netcheck))")
    }
    let seen = ["globalV4", "globalV6"].compactMap { netcheck[$0]?.string }
    if udp {
      return Finding(.ok, "UDP gets through", detail: seen.isEmpty ? nil : "seen as \(seen.joined(separator: ", "))")
    }
    return Finding(
      .warn, "UDP does not get through", detail: "all traffic goes through relays",
      next: "let UDP out of this network, at least to the relays' STUN ports")
  }

  private var nat: Finding? {
    switch netcheck?["natType"]?.string {
    case "endpoint-independent": Finding(.ok, "The NAT, if there is one, gives one address for everybody")
    case "endpoint-dependent":
      Finding(
        .info, "The NAT gives another address for each destination",
        detail: "direct ways to machines behind NATs of that kind do not exist; relays carry those")
    default: nil
    }
  }

  private var mapping: Finding? {
    guard let offers = netcheck?["portMapping"] else { return nil }
    let services = [("NAT-PMP", "pmp"), ("PCP", "pcp"), ("UPnP", "upnp")].filter { offers[$0.1]?.bool == true }.map(\.0)
    if let error = offers["error"]?.string {
      return Finding(
        .info, "Nobody outside gets in by what the router maps",
        detail: ([error] + (services.isEmpty ? [] : ["asked by \(services.joined(separator: ", "))"]))
          .joined(separator: "; "))
    }
    return services.isEmpty
      ? Finding(.info, "The router maps no ports")
      : Finding(.ok, "The router maps ports", detail: services.joined(separator: ", "))
  }

  /// STUN servers that say what makes no sense. A relay that is not reached is told of as such.
  private var servers: [Finding] {
    let unreached = (status["relays"]?.array ?? []).filter { $0["error"]?.string != nil }.map { $0["id"]?.integer }
    let relays = (netcheck?["relays"]?.array ?? []).filter { !unreached.contains($0["id"]?.integer) }
    let named =
      relays.map { ("Relay \($0["id"]?.integer ?? 0) (\($0["region"]?.string ?? "?"))", $0) }
      + (netcheck?["stun"]?.array ?? []).map { ("The STUN server \($0["server"]?.string ?? "?")", $0) }
    return named.compactMap { name, row in
      row["error"]?.string.map { Finding(.warn, "\(name) does not tell where this machine is seen", detail: $0) }
    }
  }

  private var ownRelay: Finding? {
    guard let server = status["relayServer"] else { return nil }
    let listen = (server["listen"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
    if let problem = server["problem"]?.string {
      return Finding(.warn, "Nobody uses the relay that this machine runs on \(listen)", detail: problem)
    }
    return Finding(
      .ok, "This machine is relay \(server["recordedAs"]?.integer ?? 0) of the network", detail: "on \(listen)")
  }

  private var relays: [Finding] {
    let relays = status["relays"]?.array ?? []
    guard !relays.isEmpty else {
      // Who is no member does not know.
      guard status["self"] != nil else { return [] }
      return [
        Finding(
          .info, "The network has no relay",
          next:
            "'meshd up --relay' on a machine that others reach, or 'meshd relay add URL', brings together what has no direct way"
        )
      ]
    }
    let isOneConnected = relays.contains { $0["connected"]?.bool == true }
    return relays.compactMap { relay in
      let name = "Relay \(relay["id"]?.integer ?? 0) (\(relay["region"]?.string ?? "?"))"
      let isConnected = relay["connected"]?.bool == true
      if let error = relay["error"]?.string {
        return isConnected
          ? Finding(.warn, "\(name) is connected, and says that something is wrong", detail: error)
          : Finding(isOneConnected ? .warn : .fail, "\(name) is not reached", detail: error)
      }
      guard isConnected else { return nil }
      return Finding(.ok, "\(name) is connected", detail: relay["role"]?.string)
    }
  }

  private var peers: Finding? {
    let peers = status["peers"]?.array ?? []
    guard !peers.isEmpty else {
      return status["self"].map { _ in Finding(.info, "The network has no other machine yet") }
    }
    let direct = peers.count { ["direct", "both"].contains($0["path"]?.string) }
    let relayed = peers.count { $0["path"]?.string == "relay" }
    let online = peers.count { $0["online"]?.bool == true }
    return Finding(
      .info, peers.count == 1 ? "1 other machine" : "\(peers.count) other machines",
      detail: "\(online) online, \(direct) reached directly, \(relayed) over a relay")
  }

  private var drops: Finding? {
    let drops = (status["drops"]?.object?.members ?? []).map { "\($0.value.integer ?? 0) \($0.name)" }
    return drops.isEmpty ? nil : Finding(.info, "Packets were dropped", detail: drops.joined(separator: ", "))
  }
}
