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
        let node = try await routed.serveNode(on: server, "--tenant", anchor)
        let endpoint = "http://\(RoutedHosts.addressV4(2)):8787"
        let created = try await first.attempt(["up", "--create", "lab", "--endpoint", endpoint])
        #expect(created.succeeded)
        #expect(try await !first.namespace.listens(onTCP: 8787), "a node runs on the first machine")
        let did = try QuickStart.identity(in: try await second.meshd("init"))
        let added = try await first.attempt(["peer", "add", did])
        let line = try QuickStart.joinLine(in: added.output)
        #expect(line.contains(endpoint))
        // Nobody relays here, and everything that the owner looks at says what helps.
        let looks = [created, added, try await first.attempt(["status"]), try await first.attempt(["doctor"])]
        for look in looks {
          let text = look.output + look.errors
          #expect(text.contains("--relay") && text.contains("relay add"), "\(text)")
        }
        try await second.run(line)
        try await QuickStart.requireTunnel(first, second)

        // The tunnel needs no node, and a node needs nothing but its disk.
        await node.stop()
        try await QuickStart.requireTunnel(first, second)
        _ = try await routed.serveNode(on: server, "--tenant", anchor)
        try await second.meshd("down")
        try await second.meshd("up")
        try await QuickStart.requireTunnel(first, second)
      }
    }

    @Test("a node refuses the tenants that it was not told to serve")
    func otherTenant() async throws {
      try await RoutedHosts.run { routed in
        let (first, server) = (routed.first, routed.second)
        _ = try await routed.serveNode(on: server, "--tenant", BadInputTests.someDID)
        let endpoint = "http://\(RoutedHosts.addressV4(1)):8787"
        let outcome = try await first.attempt(["up", "--create", "lab", "--endpoint", endpoint])
        let complaint = outcome.complaint(status: 1, naming: [endpoint, "tenant"])
        #expect(complaint == nil, "\(complaint ?? "")")
        #expect(try await first.isQuiet())
        #expect(try await first.status()["network"] == nil)
      }
    }

    @Test("a node that takes whoever registers gets a proof of work, and agreement to its terms from whoever says so")
    func registration() async throws {
      try await RoutedHosts.run { routed in
        let (first, server) = (routed.first, routed.second)
        let terms = server.home.path + "/terms.txt"
        try "Be kind.\n".write(toFile: terms, atomically: true, encoding: .utf8)
        _ = try await routed.serveNode(on: server, "--register", "--terms", terms, "--work", "8")
        let endpoint = "http://\(RoutedHosts.addressV4(1)):8787"
        let outcome = try await first.attempt(["up", "--create", "lab", "--endpoint", endpoint])
        let complaint = outcome.complaint(
          status: 1, naming: [endpoint + "/registration/terms-of-service", "--accept-terms"])
        #expect(complaint == nil, "\(complaint ?? "")")
        #expect(try await first.status()["network"] == nil)
        try await first.meshd("up", "--create", "lab", "--endpoint", endpoint, "--accept-terms")
        #expect(try await first.status()["network"] == "lab")
      }
    }
  }
}
