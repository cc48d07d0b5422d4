import Glibc
import Identity
import Testing
import Wire

extension MeshdLab {
  /// What stays when daemons, machines or the anchor go away.
  @Suite struct ResumeTests {
    @Test("a killed daemon comes back with plain up, on either machine", arguments: [0, 1])
    func killed(index: Int) async throws {
      try await RoutedHosts.run { routed in
        _ = try await QuickStart.network(of: routed)
        let host = routed.hosts[index]
        let before = try await host.status()
        try await host.killDaemon()
        #expect(try await host.status()["running"]?.bool == false)

        try await host.meshd("up")

        let after = try await host.status()
        for member in ["did", "network", "meshIP", "meshIPv6"] { #expect(after[member] == before[member], "\(member)") }
        try await QuickStart.requireTunnel(routed.first, routed.second)
      }
    }

    @Test("after a reboot of both, plain up on each restores the network")
    func rebooted() async throws {
      try await RoutedHosts.run { routed in
        _ = try await QuickStart.network(of: routed)
        for host in routed.hosts { try await host.killDaemon() }
        // The second comes up first: there is no node yet to ask.
        try await routed.second.meshd("up")
        try await routed.first.meshd("up")
        try await QuickStart.requireTunnel(routed.first, routed.second)
      }
    }

    @Test("while the anchor is down, the others restart from their verified records and reach each other")
    func anchorDown() async throws {
      try await RoutedHosts.run(3) { routed in
        _ = try await QuickStart.network(of: routed)
        try await QuickStart.requireTunnel(routed.second, routed.third)
        try await routed.first.meshd("down")

        for host in [routed.second, routed.third] {
          try await host.killDaemon()
          try await host.meshd("up")
        }

        try await QuickStart.requireTunnel(routed.second, routed.third)
      }
    }

    @Test("a machine that cannot reach the node restarts, and its tunnel to the anchor works")
    func nodeCutOff() async throws {
      try await RoutedHosts.run { routed in
        _ = try await QuickStart.network(of: routed)
        try await routed.cutNodes()
        try await routed.second.killDaemon()
        try await routed.second.meshd("up")
        try await QuickStart.requireTunnel(routed.first, routed.second)
      }
    }

    @Test(
      "a machine that is killed before anybody has heard of it, and then cannot reach the node, is reached all the same"
    )
    func nodeCutOffAtOnce() async throws {
      try await RoutedHosts.run { routed in
        var start = QuickStart()
        try await start.create("lab", on: routed.first)
        try await start.admit(routed.second, by: routed.first)
        try await routed.cutNodes()
        try await routed.second.killDaemon()
        try await routed.second.meshd("up")
        try await QuickStart.requireTunnel(routed.first, routed.second)
      }
    }

    @Test(
      "a machine that cannot reach the node in any other way hears of changes through the mesh itself, and is heard")
    func nodeOverTheMesh() async throws {
      try await RoutedHosts.run { routed in
        let (first, second) = (routed.first, routed.second)
        _ = try await QuickStart.network(of: routed)
        try await routed.cutNodes()
        try await second.killDaemon()
        try await second.meshd("up")
        try await QuickStart.requireTunnel(first, second)

        let did = MachineIdentity.generate(random: SystemRandom()).did.text
        try await first.meshd("peer", "add", did)
        let isTold = try await eventually(.seconds(120)) { try await second.status().text.contains(did) }
        guard isTold else { throw Missing(what: did, in: try await second.status().text) }
        // What it says of itself arrives that way, too; the addresses that are cut off still wait for it.
        let way = "http://\(try await first.status("meshIP")):8787"
        let isPublished = try await eventually(.seconds(60)) {
          try await second.status()["pending"]?.array?.contains { $0.string?.contains(way) ?? true } == false
        }
        guard isPublished else { throw Missing(what: "publication over \(way)", in: try await second.status().text) }
      }
    }

    @Test("a machine added while the anchor's daemon is down is published when it is up again")
    func addedWhileDown() async throws {
      try await RoutedHosts.run { routed in
        var start = QuickStart()
        try await start.create("lab", on: routed.first)
        try await routed.first.meshd("down")

        let did = try QuickStart.identity(in: try await routed.second.meshd("init"))
        let line = try QuickStart.joinLine(in: try await routed.first.meshd("peer", "add", did))
        try await routed.first.meshd("up")

        try await routed.second.run(line)
        try await QuickStart.requireTunnel(routed.first, routed.second)
      }
    }
  }
}
