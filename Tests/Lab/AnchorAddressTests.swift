import Testing
import Wire

extension MeshdLab {
  /// Where the anchor's node says that it is reached.
  @Suite struct AnchorAddressTests {
    @Test("a public address on a tunnel is told when it comes and taken back when it goes, while the daemon runs")
    func tunnel() async throws {
      try await RoutedHosts.run { routed in
        let anchor = routed.first
        try await anchor.meshd("init")
        try await anchor.meshd("up", "--create", "lab")
        let address = "11.9.0.7"
        func isTold() async throws -> Bool {
          try await anchor.status()["anchorEndpoints"]?.array?.contains(.string("http://\(address):8787")) == true
        }
        let isToldBefore = try await isTold()
        #expect(!isToldBefore)
        // Somebody routes it here, as a provider of addresses does: no way out of this host changes.
        try await anchor.namespace.run(
          "sh", "-ec",
          """
          ip tuntap add dev provider mode tun
          ip address add \(address)/32 dev provider
          ip link set provider up
          """)
        let isToldThen = try await eventually(.seconds(20)) { try await isTold() }
        #expect(isToldThen)
        try await anchor.namespace.run("ip", "link", "del", "provider")
        let isTakenBack = try await eventually(.seconds(20)) { try await !isTold() }
        #expect(isTakenBack)
      }
    }

    @Test("its relay is recorded under a new address, and the anchor's own connection with it goes on")
    func relay() async throws {
      try await RoutedHosts.run { routed in
        let anchor = routed.first
        try await anchor.meshd("up", "--create", "lab")
        let former = RoutedHosts.addressV4(0)
        let (address, gateway) = (former + "2", String(former.dropLast()) + "1")
        func isConnected() async throws -> Bool {
          try await anchor.status()["relays"]?.array?.first?["connected"] == true
        }
        let isConnectedBefore = try await eventually(.seconds(20)) { try await isConnected() }
        #expect(isConnectedBefore)
        try await anchor.namespace.run(
          "sh", "-ec",
          """
          device=$(ip -o -4 route show default | grep -o 'dev [^ ]*' | cut -d' ' -f2)
          ip address del \(former)/24 dev "$device"
          ip address add \(address)/24 dev "$device"
          ip route replace default via \(gateway)
          """)
        let isRecorded = try await eventually(.seconds(30)) {
          try await anchor.json("relay", "list").text.contains(address)
        }
        #expect(isRecorded)
        // The netmap follows the record.
        try await Task.sleep(for: .seconds(2))
        let isConnectedThen = try await eventually(.seconds(10)) { try await isConnected() }
        #expect(isConnectedThen)
      }
    }

    @Test("an anchor that starts with IPv4 alone listens for IPv6 too, and is reached over it once it has an address")
    func lateIPv6() async throws {
      try await RoutedHosts.run { routed in
        let (anchor, other) = (routed.first, routed.second)
        let device = try await anchor.namespace.run("sh", "-c", "ip -o -4 route show default | grep -o 'dev [^ ]*'")
          .split(whereSeparator: \.isWhitespace).last.map(String.init)
        let interface = try #require(device)
        try await anchor.namespace.run("ip", "-6", "address", "flush", "dev", interface)
        try await anchor.meshd("up", "--create", "lab")
        let listeners = try await anchor.status()["node"]?["listen"]
        #expect(listeners == ["0.0.0.0:8787", "[::]:8787"])

        let (address, gateway) = (RoutedHosts.addressV6(0), String(RoutedHosts.addressV6(0).dropLast()) + "1")
        try await anchor.namespace.addAddress("\(address)/64", to: interface)
        try await anchor.namespace.addRoute("default", via: gateway)
        let url = "http://[\(address)]:8787"
        let isTold = try await eventually(.seconds(20)) {
          try await anchor.status()["anchorEndpoints"]?.array?.contains(.string(url)) == true
        }
        #expect(isTold)
        let health = try await other.run(["curl", "-gsS", "--max-time", "20", "\(url)/health"])
        #expect(health == #"{"ok":true}"#)
      }
    }
  }
}
