import Identity
import Testing
import Wire

extension MeshdLab {
  /// Changes reach running daemons as they happen.
  @Suite struct LiveUpdateTests {
    @Test(
      "a change at the anchor is told to all others before any of them asks, also after the anchor's node was restarted"
    )
    func told() async throws {
      try await RoutedHosts.run(3) { routed in
        _ = try await QuickStart.network(of: routed)
        let others = [routed.second, routed.third]
        for host in others { try await requireLive(host) }
        try await requireTelling(by: routed.first, to: others)

        try await routed.first.killDaemon()
        try await routed.first.meshd("up")

        for host in others { try await requireLive(host) }
        try await requireTelling(by: routed.first, to: others)
      }
    }

    private func requireLive(_ host: MeshdHost) async throws {
      let isLive = try await eventually(.seconds(90)) {
        try await host.status()["snapshot"]?["updates"] == "live"
      }
      guard isLive else { throw Missing(what: "live updates", in: try await host.status().text) }
    }

    /// The anchor adds a machine; the others have it in their lists without having asked anybody since.
    private func requireTelling(by anchor: MeshdHost, to others: [MeshdHost]) async throws {
      // A look for safety may come between, once a minute; then it is tried again.
      for _ in 0..<4 {
        let before = try await attempts(others)
        let did = MachineIdentity.generate(random: SystemRandom()).did.text
        try await anchor.meshd("peer", "add", did)
        for host in others {
          let isThere = try await eventually(.seconds(10)) { try await host.status().text.contains(did) }
          guard isThere else { throw Missing(what: did, in: try await host.status().text) }
        }
        if try await attempts(others) == before { return }
      }
      throw Missing(what: "a change that was told", in: try await others[0].status().text)
    }

    private func attempts(_ hosts: [MeshdHost]) async throws -> [JSONValue?] {
      var result: [JSONValue?] = []
      for host in hosts { result.append(try await host.status()["snapshot"]?["lastAttemptAt"]) }
      return result
    }
  }
}
