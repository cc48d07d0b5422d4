import Testing

/// A machine of the mesh that forwards for a host behind it, under its own address, as routers do.
@Suite(
  "traffic that is forwarded into the mesh and out of it",
  .enabled(if: NetworkLab.obstacle == nil && NetworkLab.have("nft"), "\(NetworkLab.obstacle ?? "no command nft")"),
  .timeLimit(.minutes(10)))
struct ForwardedTrafficTests {
  private static let behind = "192.168.7.2"

  private func withHostBehind(
    without offloads: String, _ body: (TunnelPair, NetworkNamespace) async throws -> Void
  ) async throws {
    try await NetworkLab.run { lab in
      let pair = try await TunnelPair(lab, without: offloads, by: .cable)
      do {
        let (router, host) = (pair.engines[0].namespace, try await lab.namespace("host"))
        try await lab.connect(host, ["\(Self.behind)/24"], router, ["192.168.7.1/24"])
        try await host.addRoute("default", via: "192.168.7.1")
        try await router.enableForwarding()
        try await router.run(
          "nft",
          """
          add table ip router
          add chain ip router leaving { type nat hook postrouting priority srcnat; }
          add rule ip router leaving ip saddr \(Self.behind) ip daddr 10.200.0.2 masquerade
          add chain ip router coming { type nat hook prerouting priority dstnat; }
          add rule ip router coming ip daddr 10.200.0.1 tcp dport 7012 dnat to \(Self.behind)
          """)
        try await body(pair, host)
      } catch {
        await pair.stop()
        throw error
      }
      await pair.stop()
    }
  }

  @Test("arrives as it was sent, both ways, with every offload and without any", arguments: ["none", "all"])
  func streams(withoutOffloads: String) async throws {
    try await withHostBehind(without: withoutOffloads) { pair, host in
      let payload = CheckedPayload(seed: 12)
      let far = pair.engines[1].namespace
      let count = 16 << 20
      for (from, to, listening, sending) in [
        (host, far, "10.200.0.2:7011", "10.200.0.2:7011"), (far, host, "\(Self.behind):7012", "10.200.0.1:7012"),
      ] {
        let listener = try await inNamespace(to) { try LabSocket.listener(listening) }
        async let isWhole = inNamespace(to) { try LabSocket.receiveStream(listener, payload, count) }
        try await inNamespace(from) { try LabSocket.sendStream(sending, payload, count) }
        #expect(try await isWhole, "\(sending)")
      }
      let receiver = try await inNamespace(far) { try LabSocket.udp(bound: "10.200.0.2:7013") }
      async let received = inNamespace(far) { LabSocket.receiveDatagrams(receiver, payload) }
      try await inNamespace(host) { try LabSocket.sendDatagrams("10.200.0.2:7013", payload, 3000) }
      let (whole, changed) = try await received
      #expect(changed == 0 && whole > 1000)
    }
  }
}
