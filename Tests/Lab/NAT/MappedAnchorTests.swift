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

    @Test("a router that gets another address is asked for it, the records name it, and down gives everything back")
    func moved() async throws {
      try await NATWorld.run([.upnp, .open]) { world in
        let hosts = try world.hosts.map { try MeshdHost($0.namespace, in: world.lab.folder) }
        let router = try #require(world.hosts[0].routers.first)
        do {
          try await join(hosts, at: try #require(world.hosts[0].publicAddress))
          let member = try await hosts[1].status("meshIP")
          let isDirect = try await eventually(.seconds(40)) {
            try await hosts[0].attempt(["ping", member, "-c", "5", "--until-direct"]).succeeded
          }
          #expect(isDirect)

          let next = "11.1.0.3"
          try await router.move(to: next, via: "11.1.0.1")
          var relays = ""
          let isTold = try await eventually(.seconds(90), every: .milliseconds(500)) {
            // Who speaks with a machine outside hears from it where it is.
            _ = try await hosts[0].attempt(["ping", member, "-c", "1", "--timeout", "1s"])
            relays = try await hosts[0].json("relay", "list").text
            return relays.contains(next) && !relays.contains("11.1.0.2")
          }
          #expect(isTold, "\(relays)")
          let endpoints = try await hosts[0].status()["anchorEndpoints"]?.array?.compactMap(\.string) ?? []
          #expect(endpoints.contains { $0.hasPrefix("http://\(next):") }, "\(endpoints)")

          let before = try await router.passes()
          try await hosts[0].meshd("down")
          let after = try await router.passes()
          #expect(before > 0 && after == 0, "\(before), \(after)")
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
        return status["routingPhase"]?.string == "ready" && (status["peers"]?.array?.count ?? 0) == hosts.count - 1
      }
      guard knows else { throw Missing(what: "all peers", in: "the status of \(hosts[1].namespace.label)") }
    }
  }
}

extension NATRouter {
  /// Its provider gives it another address of the same network.
  fileprivate func move(to address: String, via provider: String) async throws {
    let device = rules.outside
    try await namespace.run(
      "sh", "-ec",
      """
      sysctl -qw net.ipv4.conf.\(device).promote_secondaries=1
      ip address add \(address)/24 dev \(device)
      ip address del \(rules.address)/24 dev \(device)
      ip route replace default via \(provider)
      conntrack -F
      """)
  }

  /// How many ports are mapped.
  fileprivate func passes() async throws -> Int {
    try await namespace.run("nft", "list", "chain", "inet", "upnp", "prerouting_miniupnpd")
      .split(separator: "\n").count { $0.contains("dnat") }
  }
}
