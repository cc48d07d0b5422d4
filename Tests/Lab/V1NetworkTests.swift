import Foundation
import Testing
import Wire

extension MeshdLab {
  /// Networks with encryption v1, by the commands that make and join them.
  @Suite struct V1NetworkTests {
    @Test("up --create --v1, peer add and the line that it prints make a tunnel; status says what such a network lacks")
    func quickStart() async throws {
      try await RoutedHosts.run { routed in
        let (first, second) = (routed.first, routed.second)
        try await first.meshd("up", "--create", "lab", "--v1")
        let did = try QuickStart.identity(in: try await second.meshd("init"))
        let added = try await first.meshd("peer", "add", did)
        #expect(added.contains("as soon as 'meshd up' has run there"))
        let line = try QuickStart.joinLine(in: added)
        #expect(!line.contains("--v1"))
        try await second.run(line)
        try await QuickStart.requireTunnel(first, second)
        for host in [first, second] {
          let status = try await host.meshd("status", "--json")
          #expect(status.contains(#""envelope": "v1""#) && status.contains(#""replayable": true"#))
          #expect(try await host.meshd("status").contains("v1 (replayable)"))
          #expect(try await host.meshd("acl", "show").contains("all traffic"))
        }

        // After a restart of either it is the same network, and needs no flag.
        try await second.meshd("down")
        try await second.meshd("up")
        try await first.meshd("down")
        try await first.meshd("up")
        try await QuickStart.requireTunnel(first, second)

        try await first.meshd("peer", "remove", did)
        let isOut = try await eventually(.seconds(60)) {
          let isGone = try await !first.meshd("peer", "list").contains("online")
          let knows = try await second.meshd("status").contains("removed this machine")
          return isGone && knows
        }
        #expect(isOut)
      }
    }

    @Test("what does not go together with encryption v1 is refused, and nothing is made")
    func refused() async throws {
      try await RoutedHosts.run { routed in
        let first = routed.first
        for wrong in [["up", "--v1"], ["up", "--v1", "meshd://invite/AAAA"]] {
          #expect(try await first.attempt(wrong).complaint(status: 2, naming: []) == nil, "\(wrong)")
        }
        try await first.meshd("network", "create", "jwe")
        #expect(try await first.attempt(["network", "leave"]).complaint(status: 1, naming: ["--abandon"]) == nil)
        try await first.meshd("network", "leave", "--abandon")
        let outcome = try await first.attempt(["network", "create", "v1", "--v1"])
        let complaint = outcome.complaint(status: 1, naming: ["jwe", "profile"])
        #expect(complaint == nil, "\(complaint ?? "")")
        #expect(try await first.meshd("status").contains("Network: none"))
      }
    }
  }
}
