import Testing
import Wire

/// Everything that runs the real binary: one test after the other, as each wants the machine for itself.
@Suite(
  .serialized, .enabled(if: MeshdBinary.obstacle == nil, "\(MeshdBinary.obstacle ?? "")"),
  // It holds for the suites inside too.
  .timeLimit(.minutes(NATLab.isThorough ? 60 : 5)))
enum MeshdLab {}

extension MeshdLab {
  @Suite struct QuickStartTests {
    @Test("the quick start, word for word: two machines become one network")
    func wordForWord() async throws {
      try await RoutedHosts.run { routed in
        let (first, second) = (routed.first, routed.second)
        var start = QuickStart()

        let created = try await start.create("my-network", on: first)
        let lines = created.split(separator: "\n").map(String.init)
        let firstDID = try QuickStart.identity(in: created)
        #expect(firstDID.hasPrefix("did:jwk:"))
        #expect(lines.contains { $0.hasPrefix("Network \"my-network\" created. Mesh IP: 10.200.") })
        #expect(lines.contains { $0.hasPrefix("To add a peer: meshd peer add ") })

        let initialized = try await start.timed("init") { try await second.meshd("init") }
        #expect(initialized.hasPrefix("Your device identity: did:jwk:"))
        let secondDID = try QuickStart.identity(in: initialized)
        #expect(try await second.meshd("init") == initialized, "a second init prints the same")

        let added = try await start.timed("peer add") { try await first.meshd("peer", "add", secondDID) }
        let line = try QuickStart.joinLine(in: added)
        #expect(line.contains(firstDID))
        #expect(line.contains { $0.hasPrefix("http://\(RoutedHosts.addressV4(0)):8787") })

        try await start.timed("up") { try await second.run(line) }
        let firstAddress = try await first.status("meshIP")
        try await start.timed("first ping") {
          guard try await second.reaches(firstAddress) else {
            throw Missing(what: "an answer from \(firstAddress)", in: "second")
          }
        }
        start.printTimes()

        try await QuickStart.requireTunnel(first, second)
        for member in ["meshIP", "meshIPv6"] {
          for (client, server) in [(first, second), (second, first)] {
            try await requireTCP(from: client, to: server, at: try await server.status(member), lab: routed.lab)
          }
        }

        for (host, did, other) in [(first, firstDID, secondDID), (second, secondDID, firstDID)] {
          let status = try await host.status()
          #expect(status["running"]?.bool == true)
          #expect(status["did"]?.string == did)
          #expect(status["refused"]?.array == [], "\(host.namespace.label) refused something")
          #expect((status["head"]?["seq"]?.integer ?? 0) > 0)
          let peers = try await host.json("peer", "list").array ?? []
          #expect(peers.contains { $0["nodeDID"]?.string == other }, "\(host.namespace.label) does not list the other")
          #expect(try await host.meshd("status").contains(did))
        }

        for host in [first, second] {
          try await host.meshd("down")
          #expect(try await host.status()["running"]?.bool == false)
          #expect(try await host.processes().isEmpty)
        }
      }
    }

    /// Two megabytes over TCP, in the direction of the server.
    private func requireTCP(from client: MeshdHost, to server: MeshdHost, at address: String, lab: NetworkLab)
      async throws
    {
      let listener = try await lab.serve(
        ["iperf3", "-s", "-1", "-B", address], in: server.namespace, onTCP: 5201)
      try await client.namespace.run(["iperf3", "-c", address, "-n", "2M"])
      await listener.stop()
    }
  }
}
