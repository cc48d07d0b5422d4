import Testing
import Wire

extension MeshdLab {
  /// Networks whose records come to lie on other nodes than at first.
  @Suite struct NodeChangeTests {
    private func url(_ host: Int, port: Int = 8787) -> String { "http://\(RoutedHosts.addressV4(host)):\(port)" }

    private func endpoints(of host: MeshdHost) async throws -> [String] {
      try await host.status()["anchorEndpoints"]?.array?.compactMap(\.string) ?? []
    }

    @Test("while the machine that made the network is dead, its replica lets others join, and find each other")
    func replica() async throws {
      try await RoutedHosts.run(3) { routed in
        let (first, second, third) = (routed.first, routed.second, routed.third)
        let anchor = try QuickStart.identity(in: try await first.meshd("init"))
        _ = try await routed.serveNode(on: third, "--tenant", anchor)
        try await first.meshd("up", "--create", "lab", "--replica", url(2))
        var start = QuickStart()
        try await start.admit(second, by: first)
        try await QuickStart.requireTunnel(first, second)
        let did = try QuickStart.identity(in: try await third.meshd("init"))
        let line = try QuickStart.joinLine(in: try await first.meshd("peer", "add", did))
        #expect(line.contains(url(2)))
        let isAtBoth = try await eventually(.seconds(20)) {
          let nodes = try await first.status()["endpoints"]?.array ?? []
          return nodes.count == 2 && nodes.allSatisfy { $0["lacks"] == 0 }
        }
        #expect(isAtBoth)

        try await first.killDaemon()
        try await third.run(line)
        try await QuickStart.requireTunnel(second, third, within: .seconds(60))

        // What others wrote while it was away it reads there.
        try await first.meshd("up")
        try await QuickStart.requireTunnel(first, third, within: .seconds(60))
        try await first.meshd("down")
        try await first.meshd("up", "--replica", "none")
        #expect(try await !endpoints(of: first).contains(url(2)))
        let isTold = try await eventually(.seconds(60)) { try await !endpoints(of: second).contains(url(2)) }
        #expect(isTold)
      }
    }

    @Test(
      "members of a network with encryption v1 find each other at a replica, whether it serves them as tenants or not",
      arguments: [true, false])
    func replicaV1(isOpen: Bool) async throws {
      try await RoutedHosts.run(3) { routed in
        let (first, second, third) = (routed.first, routed.second, routed.third)
        let anchor = try QuickStart.identity(in: try await first.meshd("init"))
        _ =
          try await isOpen
          ? routed.serveNode(on: third, "--open") : routed.serveNode(on: third, "--tenant", anchor)
        var start = QuickStart()
        try await first.meshd("up", "--create", "lab", "--v1")
        try await start.admit(second, by: first)
        try await QuickStart.requireTunnel(first, second)
        try await first.meshd("down")
        try await first.meshd("up", "--replica", url(2))
        try await start.admit(third, by: first)
        try await QuickStart.requireTunnel(first, third)
        let isNamed = try await eventually(.seconds(60)) { try await endpoints(of: second).contains(url(2)) }
        #expect(isNamed)
        try await first.killDaemon()
        for host in [second, third] { try await host.meshd("down") }
        for host in [second, third] { try await host.meshd("up") }
        try await QuickStart.requireTunnel(second, third, within: .seconds(60))
      }
    }

    @Test("the machine that made a network names other nodes; members follow, by hand where the former node is gone")
    func move() async throws {
      try await RoutedHosts.run(3) { routed in
        let (first, second, server) = (routed.first, routed.second, routed.third)
        let anchor = try QuickStart.identity(in: try await first.meshd("init"))
        let (one, other) = (url(2), url(2, port: 8788))
        let former = try await routed.serveNode(on: server, "--tenant", anchor)
        let latter = try await routed.serveNode(on: server, port: 8788, "--tenant", anchor)
        try await first.meshd("up", "--create", "lab", "--endpoint", one)
        var start = QuickStart()
        try await start.admit(second, by: first)
        try await QuickStart.requireTunnel(first, second)

        try await first.meshd("down")
        try await first.meshd("up", "--endpoint", other + "/")
        #expect(try await endpoints(of: first) == [other])
        let follows = try await eventually(.seconds(60)) { try await endpoints(of: second).contains(other) }
        #expect(follows)
        await former.stop()
        try await requireNews(from: first, at: second, label: "printer")

        // A node that is not there takes nobody's place.
        try await first.meshd("down")
        let refused = try await first.attempt(["up", "--endpoint", one])
        let complaint = refused.complaint(status: 1, naming: [one])
        #expect(complaint == nil, "\(complaint ?? "")")
        try await first.meshd("up")
        #expect(try await endpoints(of: first) == [other])

        try await first.meshd("down")
        await latter.stop()
        _ = try await routed.serveNode(on: server, port: 8789, "--tenant", anchor)
        let last = url(2, port: 8789)
        let moved = try await first.attempt(["up", "--endpoint", last])
        #expect(moved.succeeded)
        #expect((moved.output + moved.errors).contains("meshd up --endpoint \(last)"))
        try await second.meshd("down")
        try await second.meshd("up", "--endpoint", last)
        try await requireNews(from: first, at: second, label: "camera")
        try await QuickStart.requireTunnel(first, second)
      }
    }

    /// What the one decides now comes to the other.
    private func requireNews(from anchor: MeshdHost, at member: MeshdHost, label: String) async throws {
      let machine = try MeshdHost(anchor.namespace, in: anchor.home, state: label)
      let did = try QuickStart.identity(in: try await machine.meshd("init"))
      try await anchor.meshd("peer", "add", did, "--label", label)
      let isThere = try await eventually(.seconds(60)) { try await member.json("peer", "list").text.contains(did) }
      #expect(isThere, "\(label) has not come to \(member.namespace.label)")
    }

    @Test("what cannot be meant is refused, and nothing changes")
    func refusals() async throws {
      try await RoutedHosts.run { routed in
        let (first, server) = (routed.first, routed.second)
        let anchor = try QuickStart.identity(in: try await first.meshd("init"))
        let alone = try await first.attempt(["up", "--endpoint", url(1)])
        #expect(alone.complaint(status: 2, naming: ["--create", "--anchor"]) == nil)
        let both = try await first.attempt(["up", "--create", "lab", "--endpoint", url(1), "--replica", url(1)])
        #expect(both.complaint(status: 2, naming: ["--replica", "--endpoint"]) == nil)
        let absent = try await first.attempt(["up", "--create", "lab", "--replica", url(1)])
        #expect(absent.complaint(status: 1, naming: [url(1)]) == nil)
        #expect(try await first.status()["network"] == nil)

        try await first.meshd("up", "--create", "lab")
        try await first.meshd("down")
        let own = try await first.attempt(["up", "--endpoint", url(1)])
        #expect(own.complaint(status: 1, naming: ["--replica"]) == nil)
        // One that does not serve this machine is no replica of it.
        let node = try await routed.serveNode(on: server, "--tenant", BadInputTests.someDID)
        let foreign = try await first.attempt(["up", "--replica", url(1)])
        #expect(foreign.complaint(status: 1, naming: [url(1), "--tenant \(anchor)"]) == nil)
        await node.stop()
        try await first.meshd("up")
        #expect(try await !endpoints(of: first).contains(url(1)))
      }
    }
  }
}
