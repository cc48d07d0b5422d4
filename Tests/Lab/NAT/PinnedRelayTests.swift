import Foundation
import Testing
import Wire

extension MeshdLab {
  /// Relays of networks with encryption v1, which no records name.
  @Suite(.enabled(if: NATLab.obstacle == nil, "\(NATLab.obstacle ?? "")"), .timeLimit(.minutes(10)))
  struct PinnedRelayTests {
    /// Ids of records are smaller.
    private static let firstPin = 32768

    @Test(
      "what machines say of their own relays is enough: they carry packets, and status names them by ids of their own")
    func pinned() async throws {
      try await NATWorld.run([.open, .blocked]) { world in
        let anchor = try MeshdHost(world.anchor, in: world.lab.folder)
        let hosts = try world.hosts.map { try MeshdHost($0.namespace, in: world.lab.folder) }
        do {
          try await anchor.meshd("up", "--create", "lab", "--v1")
          for (host, flags) in zip(hosts, [["--relay"], []]) {
            let did = try QuickStart.identity(in: try await host.meshd("init"))
            try await host.run(try QuickStart.joinLine(in: try await anchor.meshd("peer", "add", did)) + flags)
          }
          let blocked = hosts[1]
          var relays: [JSONValue] = []
          let areKnown = try await eventually(.seconds(60), every: .milliseconds(500)) {
            relays = try await blocked.status()["relays"]?.array ?? []
            return relays.count == 2 && relays.allSatisfy { $0["connected"]?.bool == true }
          }
          #expect(areKnown, "\(relays.map(\.text))")
          let ids = relays.compactMap { $0["id"]?.integer }
          #expect(Set(ids).count == 2 && ids.allSatisfy { $0 >= Self.firstPin }, "\(ids)")
          let text = try await blocked.meshd("status")
          for relay in relays { #expect(text.contains(try #require(relay["region"]?.string)), "\(text)") }
          let listed = try await anchor.json("relay", "list").array ?? []
          #expect(Set(listed.compactMap { $0["id"]?.integer }) == Set(ids))

          let address = try await hosts[0].status("meshIP")
          #expect(try await blocked.reaches(address))
          let peer = try await blocked.status()["peers"]?.array?.first { $0["meshIP"]?.string == address }
          #expect(peer?["path"]?.string == "relay" && ids.contains(peer?["relay"]?.integer ?? 0), "\(peer?.text ?? "")")
        } catch {
          for host in [anchor] + hosts { print(host.logTail) }
          throw error
        }
      }
    }
  }
}
