import Foundation
import Testing
import Wire

extension MeshdLab {
  /// An anchor at home, behind a router that maps ports for whoever asks it.
  @Suite(.enabled(if: NATLab.obstacle == nil, "\(NATLab.obstacle ?? "")"), .timeLimit(.minutes(10)))
  struct MappedAnchorTests {
    @Test("members behind NATs join it, learn from its STUN where they are, and get direct ways to each other")
    func mapped() async throws {
      try await NATWorld.run([.upnp, .portRestricted, .portRestricted]) { world in
        let hosts = try world.hosts.map { try MeshdHost($0.namespace, in: world.lab.folder) }
        do {
          try await join(hosts, at: try #require(world.hosts[0].publicAddress))
          for (host, place) in zip(hosts, world.hosts).dropFirst() {
            let result = try await host.json("netcheck")
            #expect(result["udp"]?.bool == true, "\(result.text)")
            #expect(result["globalV4"]?.string.flatMap { SocketAddress($0)?.ip } == place.publicIP, "\(result.text)")
            #expect(result["natType"]?.string == "endpoint-independent", "its second port answers too: \(result.text)")
          }
          let other = try await hosts[2].status("meshIP")
          try await hosts[1].meshd("ping", other, "-c", "30", "--until-direct")
        } catch {
          for host in hosts { print(host.logTail) }
          throw error
        }
      }
    }

    /// The members join by what `peer add` says, once the records say what the router maps.
    private func join(_ hosts: [MeshdHost], at address: String) async throws {
      try await hosts[0].meshd("up", "--create", "lab")
      var relays = ""
      let isTold = try await eventually(.seconds(30), every: .milliseconds(500)) {
        relays = try await hosts[0].json("relay", "list").text
        return relays.contains(address) && relays.contains("stunPort2")
      }
      guard isTold else { throw Missing(what: "the mapped ports", in: relays) }
      for host in hosts.dropFirst() {
        let did = try QuickStart.identity(in: try await host.meshd("init"))
        try await host.run(try QuickStart.joinLine(in: try await hosts[0].meshd("peer", "add", did)))
      }
      let knows = try await eventually(.seconds(30)) {
        let status = try await hosts[1].currentStatus()
        return status["routingPhase"]?.string == "ready" && (status["peers"]?.array?.count ?? 0) == 2
      }
      guard knows else { throw Missing(what: "both peers", in: "the status of \(hosts[1].namespace.label)") }
    }
  }
}
