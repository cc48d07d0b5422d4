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
