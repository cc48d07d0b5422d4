import Testing
import Wire

/// That the lab's routers are what their names say. What the daemons are measured against stands on this.
@Suite(
  "the lab's kinds of NAT", .enabled(if: NATLab.obstacle == nil, "\(NATLab.obstacle ?? "")"), .timeLimit(.minutes(10)))
struct NATKindTests {
  @Test("each kind maps, filters and turns around as its name says, for TCP as far as it is let out")
  func kinds() async throws {
    try await NATWorld.run(HostKind.allCases) { world in
      for host in world.hosts {
        let observed = try await NATBehaviour.observe(host, in: world)
        #expect(observed == NATBehaviour.expected(of: host.kind), "\(host.kind.rawValue)")
        let isConnected = try await connects(host, in: world)
        #expect(isConnected, "\(host.kind.rawValue) cannot connect to the anchor")
      }
    }
  }

  @Test("what two hosts of each pair of kinds can get by UDP alone is what is expected of the daemons")
  func pairs() async throws {
    try await NATWorld.run(HostKind.allCases + HostKind.allCases) { world in
      for pair in HostPair.all {
        guard let left = world.hosts.first(where: { $0.kind == pair.left }),
          let right = world.hosts.last(where: { $0.kind == pair.right })
        else { continue }
        let isThrough = try await HolePunch.succeeds(between: left, right, in: world)
        #expect(isThrough == (pair.expectation == .direct), "\(pair.testDescription)")
      }
    }
  }

  @Test("customers of one carrier reach each other neither by their own addresses nor by the shared one")
  func carrier() async throws {
    try await NATWorld.run([.cgnat, .cgnat]) { world in
      let (left, right) = (world.hosts[0], world.hosts[1])
      #expect(left.publicAddress == right.publicAddress)
      let there = try #require(right.address)
      #expect(try await !left.namespace.attempt(["ping", "-n", "-c", "1", "-W", "1", there]).succeeded)
      #expect(try await left.namespace.attempt(["ping", "-n", "-c", "1", "-W", "5", NATWorld.anchorAddress]).succeeded)
      #expect(try await !HolePunch.succeeds(between: left, right, in: world))
    }
  }

  @Test("the router with UPnP describes itself")
  func description() async throws {
    try await NATWorld.run([.upnp]) { world in
      let url = "http://192.168.1.1:\(PortMappingDaemon.descriptionPort)/rootDesc.xml"
      let description = try await world.hosts[0].namespace.run("curl", "-sf", "-m", "5", url)
      #expect(description.contains("urn:schemas-upnp-org:service:WANIPConnection"))
    }
  }

  /// Whether a TCP connection to the anchor carries something.
  private func connects(_ host: NATHost, in world: NATWorld) async throws -> Bool {
    let address =
      host.kind.hasIPv4 ? "\(NATWorld.anchorAddress):8443" : "[\(NATWorld.anchorAddressV6)]:8443"
    let payload = CheckedPayload(seed: 1)
    let listener = try await inNamespace(world.anchor) { try LabSocket.listener(address) }
    async let isWhole = inNamespace(world.anchor) { try LabSocket.receiveStream(listener, payload, 10_000) }
    try await inNamespace(host.namespace) { try LabSocket.sendStream(address, payload, 10_000) }
    return try await isWhole
  }
}
