import Foundation
import Testing
import Wire

extension MeshdLab {
  /// Networks whose records lie on a node that is not the first machine's own.
  @Suite struct ForeignNodeTests {
    @Test("the records can live on a node that somebody else runs, which may restart")
    func standaloneNode() async throws {
      try await RoutedHosts.run(3) { routed in
        let (first, second, server) = (routed.first, routed.second, routed.third)
        let anchor = try QuickStart.identity(in: try await first.meshd("init"))
        let serve = server.typed([
          "meshd", "dwn", "serve", "--listen", "0.0.0.0:8787", "--data", server.home.path + "/records", "--tenant",
          anchor,
        ])
        let node = try await routed.lab.start(serve, in: server.namespace)
        let listening = try await eventually(.seconds(10)) {
          try await !server.namespace.run("ss", "-Hltn", "sport = :8787").isEmpty
        }
        try #require(listening, "\(node.output)")

        let endpoint = "http://\(RoutedHosts.addressV4(2)):8787"
        try await first.meshd("up", "--create", "lab", "--endpoint", endpoint)
        #expect(
          try await first.namespace.run("ss", "-Hltn", "sport = :8787").isEmpty, "a node runs on the first machine")
        let did = try QuickStart.identity(in: try await second.meshd("init"))
        let line = try QuickStart.joinLine(in: try await first.meshd("peer", "add", did))
        #expect(line.contains(endpoint))
        try await second.run(line)
        try await QuickStart.requireTunnel(first, second)

        // The tunnel needs no node, and a node needs nothing but its disk.
        await node.stop()
        try await QuickStart.requireTunnel(first, second)
        _ = try await routed.lab.start(serve, in: server.namespace)
        try await second.meshd("down")
        try await second.meshd("up")
        try await QuickStart.requireTunnel(first, second)
      }
    }

    @Test("a node refuses the tenants that it was not told to serve")
    func otherTenant() async throws {
      try await RoutedHosts.run { routed in
        let (first, server) = (routed.first, routed.second)
        let node = try await routed.lab.start(
          server.typed([
            "meshd", "dwn", "serve", "--listen", "0.0.0.0:8787", "--data", server.home.path + "/records", "--tenant",
            BadInputTests.someDID,
          ]), in: server.namespace)
        let listening = try await eventually(.seconds(10)) {
          try await !server.namespace.run("ss", "-Hltn", "sport = :8787").isEmpty
        }
        try #require(listening, "\(node.output)")
        let endpoint = "http://\(RoutedHosts.addressV4(1)):8787"
        let outcome = try await first.attempt(["up", "--create", "lab", "--endpoint", endpoint])
        let complaint = outcome.complaint(status: 1, naming: [endpoint, "tenant"])
        #expect(complaint == nil, "\(complaint ?? "")")
        #expect(try await first.isQuiet())
        #expect(try await first.status()["network"] == nil)
      }
    }
  }
}
