import Netmap
import Testing
import Wire

@testable import Engine

@Suite("where this machine can be reached")
struct LocalEndpointsTests {
  private let mesh = [IPPrefix("10.200.0.0/16")!, IPPrefix("fd0d:e100:d3c5:1::/64")!]

  private func host(_ addresses: [(String, Int)]) -> HostNetwork {
    HostNetwork(
      links: [
        1: .init(name: "lo", isLoopback: true), 2: .init(name: "eth0"), 3: .init(name: "docker0"),
        4: .init(name: "mesh0", isTunnel: true), 5: .init(name: "eth1", isUp: false),
      ],
      addresses: addresses.map { HostNetwork.Address(ip: IPAddress($0.0)!, link: $0.1) }, defaultRoutes: [2])
  }

  private func list(_ host: HostNetwork, hasIPv6: Bool = true) -> [String] {
    LocalEndpoints.list(host, meshPrefixes: mesh, port: 41641, hasIPv6: hasIPv6).map { "\($0.ip)" }
  }

  @Test("leaves out loopback, link-local, mesh addresses, and what is on a TUN or on a link that is down")
  func leavesOut() {
    let found = list(
      host([
        ("127.0.0.1", 1), ("::1", 1), ("10.0.0.9", 1), ("169.254.3.4", 2), ("fe80::1", 2), ("10.200.3.4", 2),
        ("fd0d:e100:d3c5:1::5", 2), ("192.168.7.1", 4), ("203.0.113.9", 5), ("198.51.100.7", 6), ("192.168.1.2", 2),
      ]))
    #expect(found == ["192.168.1.2"])
  }

  @Test("public addresses come first, stable before temporary, then those beside the default route")
  func order() {
    var network = host([
      ("172.17.0.1", 3), ("192.168.1.2", 2), ("2001:db8::7", 2), ("2001:db8::8", 2), ("198.51.100.7", 2),
    ])
    network.addresses[2].isTemporary = true
    #expect(list(network) == ["198.51.100.7", "2001:db8::8", "2001:db8::7", "192.168.1.2", "172.17.0.1"])
    #expect(list(network, hasIPv6: false) == ["198.51.100.7", "192.168.1.2", "172.17.0.1"])
  }

  @Test("an address that is not settled is left out, and one on two links comes once")
  func unsettled() {
    var network = host([("192.168.1.2", 2), ("192.168.1.3", 2), ("192.168.1.2", 3)])
    network.addresses[1].isUnsettled = true
    #expect(list(network) == ["192.168.1.2"])
  }

  @Test("no more than an endpoint record has room for")
  func bounded() {
    let many = (1...100).map { ("198.51.100.\($0)", 2) } + (1...100).map { ("192.168.1.\($0)", 2) }
    let found = list(host(many))
    #expect(found.count == LocalEndpoints.maximumPublic + LocalEndpoints.maximumPrivate)
  }

  @Test(
    "addresses that are never used",
    arguments: [
      "127.0.0.1:1", "[::1]:1", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1",
      "169.254.1.1:1", "[fe80::1]:1", "192.0.2.1:0", "10.200.1.1:1", "[fd0d:e100:d3c5:1::9]:1",
      "[::ffff:127.0.0.1]:1", "[::ffff:10.200.1.1]:1", "0.1.2.3:1",
    ])
  func unusable(text: String) throws {
    #expect(EndpointHygiene(meshPrefixes: mesh).checked(try #require(SocketAddress(text))) == nil)
  }

  /// The host of the suite with bridges: one for containers, and one that the LAN is a port of.
  private func bridged() -> HostNetwork {
    var network = host([("172.17.0.1", 3), ("192.168.1.2", 6), ("2001:db8::8", 6), ("2001:db8::7", 6), ("10.9.0.1", 4)])
    network.links[2]?.master = 6
    network.links[3]?.kind = "bridge"
    network.links[6] = .init(name: "br0", kind: "bridge")
    network.links[7] = .init(name: "veth1", kind: "veth", master: 3)
    network.links[8] = .init(name: "vnet0", kind: "tun", master: 6)
    network.addresses[2].isTemporary = true
    network.defaultRoutes = []
    return network
  }

  @Test("a bridge is for guests if nothing else is a port of it and no default route goes over it")
  func guests() {
    var network = bridged()
    #expect(network.isForGuests(3) && !network.isForGuests(6) && !network.isForGuests(2))
    network.defaultRoutes = [3]
    #expect(!network.isForGuests(3))
  }

  @Test(
    "what others are told of a listener: neither bridges of guests nor addresses that change, the default route's first, and of tunnels what is public, last"
  )
  func listeners() {
    func reachable(_ network: HostNetwork) -> [String] { network.reachable(excluding: mesh).map(\.description) }
    var network = bridged()
    #expect(reachable(network) == ["192.168.1.2", "2001:db8::7"])
    network.links[9] = .init(name: "eth2")
    network.addresses.append(.init(ip: IPAddress("198.51.100.7")!, link: 9))
    network.addresses.append(.init(ip: IPAddress("10.200.0.1")!, link: 9))
    network.defaultRoutes = [9]
    #expect(reachable(network) == ["198.51.100.7", "192.168.1.2", "2001:db8::7"])
    network.links[10] = .init(name: "wg0", isTunnel: true)
    for text in ["203.0.113.5", "10.64.0.2", "100.64.0.2", "fd00:1::2", "fe80::2"] {
      network.addresses.append(.init(ip: IPAddress(text)!, link: 10))
    }
    network.defaultRoutes.insert(10)
    #expect(reachable(network) == ["198.51.100.7", "192.168.1.2", "2001:db8::7", "203.0.113.5"])
    network.links[10]?.isUp = false
    network.links[9]?.isUp = false
    network.links[6]?.isUp = false
    #expect(reachable(network) == ["172.17.0.1"], "there is nobody else to tell anything")
  }

  @Test(
    "nothing is sent into tunnels of others nor to broadcast addresses, but into networks of this host's own that lie within those"
  )
  func bounds() {
    var network = host([("192.168.1.2", 2), ("10.9.0.1", 4), ("10.8.0.5", 7)])
    network.links[7] = .init(name: "vpn0", isTunnel: true)
    network.addresses[0].prefixLength = 24
    network.addresses[1].prefixLength = 32
    network.addresses[2].prefixLength = 16
    network.addRoute(IPPrefix("10.200.0.0/16")!, over: 4)
    network.addRoute(IPPrefix("172.16.5.0/24")!, over: 2)
    for route in ["172.16.0.0/12", "128.0.0.0/1", "2000::/3", "fd00:1::/64"] {
      network.addRoute(IPPrefix(route)!, over: 7)
    }
    func isUsed(_ text: String) -> Bool { Self.isUsed(text, network) }
    for text in ["10.8.77.1", "172.16.1.1", "fd00:1::9", "192.168.1.255", "::ffff:10.8.0.5"] {
      #expect(!isUsed(text), "\(text)")
    }
    for text in ["192.168.1.7", "172.16.5.9", "203.0.113.9", "2001:db8::1", "10.9.0.7", "10.200.0.5", "192.168.2.255"] {
      #expect(isUsed(text), "\(text)")
    }
  }

  /// Whether the host with the mesh's device 4 sends anything to the address.
  private static func isUsed(_ text: String, _ network: HostNetwork) -> Bool {
    EndpointHygiene(meshPrefixes: [], host: network.bounds(besides: 4))
      .checked(SocketAddress(IPAddress(text)!, port: 1)) != nil
  }

  /// All IPv4 but the private networks, as people write it who want to reach their own network beside a VPN.
  private static let complement = [
    "0.0.0.0/5", "8.0.0.0/7", "11.0.0.0/8", "12.0.0.0/6", "16.0.0.0/4", "32.0.0.0/3", "64.0.0.0/2", "128.0.0.0/3",
    "160.0.0.0/5", "168.0.0.0/6", "172.0.0.0/12", "172.32.0.0/11", "172.64.0.0/10", "172.128.0.0/9", "173.0.0.0/8",
    "174.0.0.0/7", "176.0.0.0/4", "192.0.0.0/9", "192.128.0.0/11", "192.160.0.0/13", "192.169.0.0/16",
    "192.170.0.0/15", "192.172.0.0/14", "192.176.0.0/12", "192.192.0.0/10", "193.0.0.0/8", "194.0.0.0/7",
    "196.0.0.0/6", "200.0.0.0/5", "208.0.0.0/4",
  ]

  @Test("a tunnel that takes all but the private networks rules out nothing but its own address, however it is written")
  func fullTunnel() {
    var network = host([("192.168.1.2", 2), ("11.0.0.9", 7)])
    network.links[7] = .init(name: "vpn0", isTunnel: true)
    network.addresses[1].prefixLength = 8
    for route in Self.complement + ["2000::/4", "3000::/5", "2600::/24"] {
      network.addRoute(IPPrefix(route)!, over: 7)
    }
    #expect(!Self.isUsed("11.0.0.9", network))
    for text in ["11.0.0.10", "172.5.1.1", "193.0.2.7", "192.168.1.7", "203.0.113.9", "2600::1", "2001:db8::1"] {
      #expect(Self.isUsed(text, network), "\(text)")
    }
  }

  @Test("private networks behind a tunnel count however many public ones its routes name before them")
  func manyRoutes() {
    var network = host([("192.168.1.2", 2)])
    network.links[7] = .init(name: "vpn0", isTunnel: true)
    for number in 0..<2000 {
      network.addRoute(IPPrefix(IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8), length: 24)!, over: 7)
    }
    for route in ["172.20.0.0/16", "100.80.0.0/16", "fd00:7::/48"] { network.addRoute(IPPrefix(route)!, over: 7) }
    for text in ["172.20.1.1", "100.80.1.1", "fd00:7::9"] { #expect(!Self.isUsed(text, network), "\(text)") }
    for text in ["11.0.0.1", "100.128.0.1"] { #expect(Self.isUsed(text, network), "\(text)") }
  }

  @Test("a peer's candidates keep their order, each once, and are bounded")
  func candidates() {
    let endpoints = ["192.0.2.1:1", "127.0.0.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1", "192.0.2.2:1"]
      .compactMap { SocketAddress($0) }
    let hygiene = EndpointHygiene(meshPrefixes: mesh)
    #expect(
      hygiene.filter(endpoints, limit: .max).map(\.description) == ["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"])
    let many = (1...100).map { SocketAddress(IPAddress(v4: 0xc000_0200 + UInt32($0)), port: 1) }
    #expect(hygiene.filter(many, limit: 20).count == 20)
  }

  @Test("what happens on tunnels, on links that are down, and to addresses that are not settled changes no way")
  func outline() {
    let network = host([("192.168.1.2", 2), ("fe80::1", 2)])
    var other = network
    other.addresses += [
      .init(ip: IPAddress("10.200.0.1")!, link: 4), .init(ip: IPAddress("203.0.113.9")!, link: 5),
      .init(ip: IPAddress("2001:db8::1")!, link: 2, isUnsettled: true), .init(ip: IPAddress("fe80::2")!, link: 2),
    ]
    other.defaultRoutes.insert(4)
    #expect(other.outline == network.outline)
    other.addresses.append(.init(ip: IPAddress("192.168.1.3")!, link: 2))
    #expect(other.outline != network.outline)
    var rerouted = network
    rerouted.gateways = [.init(ip: IPAddress("192.168.1.1")!, link: 2)]
    #expect(rerouted.outline != network.outline)
  }

  @Test("the gateway is that of the preferred default route, with the host's address beside it")
  func gateway() {
    var network = host([("192.168.1.2", 2), ("172.17.0.5", 3)])
    #expect(network.gateway == nil)
    network.gateways = [
      .init(ip: IPAddress("172.17.0.1")!, link: 3, metric: 100), .init(ip: IPAddress("192.168.1.1")!, link: 2),
      .init(ip: IPAddress("10.0.0.1")!, link: 4),
    ]
    #expect(network.gateway?.ip == IPAddress("192.168.1.1")! && network.gateway?.host == IPAddress("192.168.1.2")!)
    network.links[2]?.isUp = false
    #expect(network.gateway?.ip == IPAddress("172.17.0.1")!)
  }
}
