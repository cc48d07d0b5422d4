import Glibc
import Wire

/// A router of the lab and what it does.
struct NATRouter: Sendable {
  let namespace: NetworkNamespace
  let rules: NATRules

  /// Replaces the rules and forgets every flow, as a restart does.
  func restart(with rules: NATRules) async throws {
    try await namespace.run("nft", "flush ruleset\n" + rules.text)
    try await namespace.run("conntrack", "-F")
  }
}

/// A host of the lab and what lies between it and the internet.
struct NATHost: Sendable {
  let kind: HostKind
  let namespace: NetworkNamespace
  /// The way to the internet, from the host on.
  let routers: [NATRouter]
  /// Its own IPv4 address, `nil` for a host without.
  let address: String?
  /// The IPv4 address by which the internet knows it.
  let publicAddress: String?
  /// Its own global IPv6 address, if there is one.
  let addressV6: String?

  var publicIP: IPAddress? { publicAddress.flatMap { IPAddress($0) } }
}

/// An internet with a public machine in it, the anchor, and hosts of all kinds around it.
///
/// ```
///                    anchor 11.0.0.2, 2a10:0:0:0::2
///                       │
///   11.0.9.1, 11.0.9.2 ─┤ internet (private addresses go nowhere)
///                       ├─ 11.1.0.2 router 192.168.1.1 ── 192.168.1.10 host 0
///                       ├─ 11.1.1.2 router 192.168.0.1 ── 192.168.0.2 router 192.168.1.1 ── 192.168.1.11 host 1
///                       ├─ 11.1.99.2 carrier 100.64.n.1 ── 100.64.n.2 host n
///                       └─ 11.1.3.2, 2a10:0:1:3::2 host 3
/// ```
///
/// Homes use the same private block, as they do. The public addresses belong to nobody here: they look public to programs which refuse
/// those that are set aside for examples.
struct NATWorld: Sendable {
  static let anchorAddress = "11.0.0.2"
  static let anchorAddressV6 = "2a10::2"
  /// Addresses of the internet namespace itself, for those who look at what comes out of a NAT.
  static let witnesses = ["11.0.9.1", "11.0.9.2"]
  static let witnessesV6 = ["2a10:0:9::1", "2a10:0:9::2"]

  /// The customers' side of the one carrier.
  private static let carrierNetwork = "11.1.99"
  private static let home = "192.168.1.0/24"

  let lab: NetworkLab
  let internet: NetworkNamespace
  let anchor: NetworkNamespace
  let hosts: [NATHost]

  /// Runs `body` in a world with hosts of these kinds. All that are `cgnat` are customers of one carrier.
  static func run<Result: Sendable>(
    _ kinds: [HostKind], _ body: (NATWorld) async throws -> Result
  ) async throws -> Result {
    try await NetworkLab.run { lab in
      let world = try await NATWorld(lab, kinds)
      do {
        let result = try await body(world)
        await uncancelled { await world.endEverything() }
        return result
      } catch {
        await uncancelled { await world.endEverything() }
        throw error
      }
    }
  }

  private init(_ lab: NetworkLab, _ kinds: [HostKind]) async throws {
    self.lab = lab
    internet = try await lab.namespace("net")
    try await internet.enableForwarding()
    for block in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] {
      try await internet.run("ip", "route", "add", "blackhole", block)
    }
    for witness in Self.witnesses { try await internet.addAddress("\(witness)/32", to: "lo") }
    for witness in Self.witnessesV6 { try await internet.addAddress("\(witness)/128", to: "lo") }
    anchor = try await lab.namespace("anchor")
    try await lab.connect(
      anchor, ["\(Self.anchorAddress)/24", "\(Self.anchorAddressV6)/64"], internet, ["11.0.0.1/24", "2a10::1/64"])
    try await anchor.addRoute("default", via: "11.0.0.1")
    try await anchor.addRoute("default", via: "2a10::1")

    let customers = kinds.indices.filter { kinds[$0] == .cgnat }
    var carrier: NATRouter?
    if !customers.isEmpty {
      carrier = try await Self.router("carrier", on: Self.carrierNetwork, of: internet, lab) { rules in
        rules.customers = customers.map { ("100.64.\($0).2", UInt16(20000 + 2000 * $0)...UInt16(21999 + 2000 * $0)) }
      }
    }
    var hosts: [NATHost] = []
    for (index, kind) in kinds.enumerated() {
      hosts.append(try await Self.host(index, kind, on: internet, carrier, lab))
    }
    self.hosts = hosts
  }

  private static func host(
    _ index: Int, _ kind: HostKind, on internet: NetworkNamespace, _ carrier: NATRouter?, _ lab: NetworkLab
  ) async throws -> NATHost {
    let namespace = try await lab.namespace("h\(index)")
    let network = "11.1.\(index)"
    let networkV6 = "2a10:0:1:\(index)"
    switch kind {
    case .open, .ipv6Only:
      let withV4 = kind == .open
      try await lab.connect(
        namespace, (withV4 ? ["\(network).2/24"] : []) + ["\(networkV6)::2/64"],
        internet, (withV4 ? ["\(network).1/24"] : []) + ["\(networkV6)::1/64"])
      if withV4 { try await namespace.addRoute("default", via: "\(network).1") }
      try await namespace.addRoute("default", via: "\(networkV6)::1")
      let address = withV4 ? "\(network).2" : nil
      return NATHost(
        kind: kind, namespace: namespace, routers: [], address: address, publicAddress: address,
        addressV6: "\(networkV6)::2")
    case .cgnat:
      guard let carrier else { throw Missing(what: "the carrier", in: "the world") }
      let address = try await connect(namespace, "100.64.\(index)", number: 2, to: carrier.namespace, lab)
      return NATHost(
        kind: kind, namespace: namespace, routers: [carrier], address: address, publicAddress: "\(carrierNetwork).2",
        addressV6: nil)
    case .double:
      let outer = try await router("outer\(index)", on: network, of: internet, lab)
      let inner = try await router("inner\(index)", on: "192.168.0", of: outer.namespace, lab) {
        $0.mapping = .independent(ports: 40000...49999)
      }
      let address = try await connect(namespace, "192.168.1", number: 10 + index, to: inner.namespace, lab)
      return NATHost(
        kind: kind, namespace: namespace, routers: [inner, outer], address: address, publicAddress: "\(network).2",
        addressV6: nil)
    case .fullCone, .addressRestricted, .portRestricted, .symmetric, .blocked, .upnp:
      let router = try await router("r\(index)", on: network, of: internet, lab) { $0.become(kind) }
      let address = try await connect(namespace, "192.168.1", number: 10 + index, to: router.namespace, lab)
      if kind == .upnp {
        let inside = try await Self.interface(of: router.namespace, with: "192.168.1.1")
        try await PortMappingDaemon.start(
          on: router.namespace, outside: router.rules.outside, inside: inside, for: home, lab)
      }
      return NATHost(
        kind: kind, namespace: namespace, routers: [router], address: address, publicAddress: "\(network).2",
        addressV6: nil)
    }
  }

  /// A router whose outside is number 2 of a network, whose number 1 is the next machine on the way out.
  private static func router(
    _ label: String, on network: String, of gateway: NetworkNamespace, _ lab: NetworkLab,
    _ change: (inout NATRules) -> Void = { _ in }
  ) async throws -> NATRouter {
    let namespace = try await lab.namespace(label)
    try await namespace.enableForwarding()
    let cable = try await lab.connect(namespace, ["\(network).2/24"], gateway, ["\(network).1/24"])
    try await namespace.addRoute("default", via: "\(network).1")
    var rules = NATRules(outside: cable.a, address: "\(network).2")
    change(&rules)
    try await namespace.run("nft", rules.text)
    return NATRouter(namespace: namespace, rules: rules)
  }

  /// Connects a host to the inside of a router, which is number 1 there, and returns the host's address.
  private static func connect(
    _ host: NetworkNamespace, _ network: String, number: Int, to router: NetworkNamespace, _ lab: NetworkLab
  ) async throws -> String {
    let address = "\(network).\(number)"
    try await lab.connect(host, ["\(address)/24"], router, ["\(network).1/24"])
    try await host.addRoute("default", via: "\(network).1")
    return address
  }

  private static func interface(of router: NetworkNamespace, with address: String) async throws -> String {
    let line = try await router.run("ip", "-o", "address", "show", "to", address)
    let words = line.split(separator: " ")
    guard words.count > 1 else { throw Missing(what: address, in: router.label) }
    return String(words[1])
  }

  /// From now on packets between the first two hosts that are longer than this vanish on the way, without a word.
  func narrow(to mtu: Int) async throws {
    var rules = ""
    for (from, to) in [(hosts[0], hosts[1]), (hosts[1], hosts[0])] {
      if let from = from.publicAddress, let to = to.publicAddress {
        rules += "ip saddr \(from) ip daddr \(to) ip length > \(mtu) drop\n"
      }
      if let from = from.addressV6, let to = to.addressV6 {
        // The length of what follows the header.
        rules += "ip6 saddr \(from) ip6 daddr \(to) ip6 length > \(mtu - 40) drop\n"
      }
    }
    try await filter("narrow", rules)
    // A train of datagrams is as long as it is, and cut before it gets there.
    for host in hosts.prefix(2) {
      try await host.namespace.run(
        "sh", "-ec",
        """
        device=$(ip -o route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/')
        [ "$device" ] || device=$(ip -6 -o route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/')
        ethtool -K "$device" tso off gso off gro off tx-udp-segmentation off
        """)
    }
  }

  /// From now on nothing gets to the machine with these addresses or comes from it, until it is mended.
  func cut(_ addresses: [String]) async throws {
    let rules = addresses.map { address in
      let family = address.contains(":") ? "ip6" : "ip"
      return "\(family) saddr \(address) drop\n\(family) daddr \(address) drop\n"
    }
    try await filter("cut", rules.joined())
  }

  /// Adds rules for what the internet passes on.
  private func filter(_ name: String, _ rules: String) async throws {
    try await internet.run(
      "nft", "table inet \(name) {\n chain forward {\n type filter hook forward priority 0\n\(rules)\n}\n}")
  }

  func mend() async throws {
    _ = try await internet.attempt(["nft", "delete", "table", "inet", "cut"])
  }

  /// Ends what still runs on the machines: daemons are no children of the test, so the lab does not know them.
  private func endEverything() async {
    for namespace in [anchor] + hosts.map(\.namespace) {
      for pid in await Self.processes(of: namespace) { kill(pid, SIGKILL) }
      _ = try? await eventually(.seconds(5)) { await Self.processes(of: namespace).isEmpty }
    }
  }

  private static func processes(of namespace: NetworkNamespace) async -> [pid_t] {
    let outcome = try? await NetworkNamespace.command(["ip", "netns", "pids", namespace.name])
    return outcome?.output.split(whereSeparator: \.isWhitespace).compactMap { pid_t($0) } ?? []
  }
}

extension NATRules {
  /// The rules of a home with one router of this kind.
  fileprivate mutating func become(_ kind: HostKind) {
    switch kind {
    case .fullCone:
      filtering = .everybody
      turnsAround = true
    case .addressRestricted: filtering = .knownAddresses
    case .symmetric: mapping = .random
    case .blocked: dropsUDP = true
    case .upnp:
      mapping = .same
      takesRequests = true
    default: break
    }
  }
}
