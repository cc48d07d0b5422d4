import Foundation
import Testing
import Wire

extension MeshdLab {
  /// `meshd ping` and `meshd netcheck`: what they print, what scripts read of them, and how they end.
  @Suite struct PathCommandsTests {
    @Test("ping shows the way to a machine, by any of its names, and its exit status says whether there is one")
    func ping() async throws {
      try await RoutedHosts.run { routed in
        _ = try await QuickStart.network(of: routed)
        let (first, second) = (routed.first, routed.second)
        let (address, did) = (try await second.status("meshIP"), try await second.status("did"))
        let way = "\(RoutedHosts.addressV4(1)):"
        let answered = try await first.meshd("ping", address, "--until-direct", "-c", "30")
        let last = try #require(answered.split(separator: "\n").last)
        #expect(last.hasPrefix("pong from ") && last.contains("(\(address)) via ") && last.hasSuffix(" ms"), "\(last)")
        #expect(last.contains(way) || last.contains(RoutedHosts.addressV6(1)), "\(last)")

        for name in [address, try await second.status("meshIPv6"), did] {
          let pongs = try await first.json("ping", name, "-c", "2").array ?? []
          #expect(pongs.count == 2)
          for pong in pongs {
            #expect(pong["answered"]?.bool == true && pong["direct"]?.bool == true && pong["endpoint"]?.string != nil)
            #expect(pong["meshIP"]?.string == address && pong["latencyMs"] != nil)
          }
        }
        for (name, word) in [("nobody", "nobody"), (try await first.status("meshIP"), "this machine")] {
          let complaint = try await first.attempt(["ping", name, "-c", "1"]).complaint(status: 1, naming: [word])
          #expect(complaint == nil, "\(complaint ?? "")")
        }

        try await second.killDaemon()
        let silent = try await first.attempt(["ping", did, "-c", "1", "--timeout", "300ms"])
        #expect(silent.status == 1 && silent.output.contains("(\(address)) within 300ms"), "\(silent.output)")
        let unanswered = try await first.attempt(["ping", did, "-c", "1", "--timeout", "300ms", "--json"])
        let parsed = try JSONValue(parsing: Array(unanswered.output.utf8))
        #expect(unanswered.status == 1 && parsed.array?.first?["answered"]?.bool == false)
      }
    }

    @Test("netcheck tells what the network is like, and a new disco key leads to the same ways")
    func netcheck() async throws {
      try await RoutedHosts.run { routed in
        _ = try await QuickStart.network(of: routed)
        let (first, second) = (routed.first, routed.second)
        let check = try await second.json("netcheck")
        let members = [
          "udp", "ipv4", "ipv6", "globalV4", "globalV6", "natType", "hairpin", "portMapping", "relays", "home",
          "standby",
        ]
        #expect(check.object?.names.sorted() == members.sorted())
        #expect(check["portMapping"]?.object?.names.sorted() == ["error", "pcp", "pmp", "upnp"])
        #expect(check["udp"]?.bool == true && check["ipv4"]?.bool == true)
        #expect(check["globalV4"]?.string?.hasPrefix("\(RoutedHosts.addressV4(1)):") == true)
        #expect(check["natType"]?.string == "endpoint-independent" && check["home"]?.integer == 1)
        let relay = try #require(check["relays"]?.array?.first)
        #expect(relay["id"]?.integer == 1 && relay["latencyMs"] != .null && relay["error"] == .null)
        let text = try await second.meshd("netcheck")
        #expect(text.contains("UDP: yes") && text.contains("home"), "\(text)")

        // The anchor's own relay sees nothing of it: that nobody answers says nothing.
        let alone = try await first.json("netcheck")
        #expect(alone.object?.names.sorted() == members.sorted())
        #expect(alone["udp"] == .null && alone["ipv4"] == .null && alone["ipv6"] == .null, "\(alone.text)")
        let aloneText = try await first.meshd("netcheck")
        #expect(aloneText.contains("UDP: unknown: there is nobody to ask"), "\(aloneText)")
        let diagnosis = try await first.attempt(["doctor"]).output
        #expect(diagnosis.contains("Whether UDP gets through is unknown"), "\(diagnosis)")

        let keyFile = second.state.appendingPathComponent("disco.key")
        let before = try Data(contentsOf: keyFile)
        try await second.meshd("netcheck", "--new-disco-key")
        let after = try Data(contentsOf: keyFile)
        #expect(after != before && after.count == 32)
        try await QuickStart.requireTunnel(first, second)
        let isDirect = try await eventually(.seconds(40)) {
          try await first.attempt(["ping", try await second.status("meshIP"), "--until-direct", "-c", "5"]).succeeded
        }
        #expect(isDirect)
      }
    }

    @Test("a STUN server whose answers make no sense is named by netcheck and doctor, and so is one of an unknown name")
    func senselessServer() async throws {
      try await RoutedHosts.run { routed in
        let (first, second) = (routed.first, routed.second)
        let place = "\(RoutedHosts.addressV4(1)):3478"
        let server = try await ProbeSocket.open(place, in: second.namespace)
        let echo = Thread {
          while let (bytes, source) = server.receiveBytes(patience: 60_000), bytes != [0] {
            server.send(bytes, to: source)
          }
          server.close()
        }
        echo.start()
        defer { SocketAddress(place).map { server.send([0], to: $0) } }
        try await first.meshd("init")
        try await first.meshd("up", "--create", "lab", "--stun", place, "--stun", "nowhere.invalid:3478")
        let check = try await first.json("netcheck")
        let servers = check["stun"]?.array ?? []
        #expect(servers.map { $0["server"]?.string } == [place, "nowhere.invalid:3478"], "\(check.text)")
        #expect(servers.map { $0["latencyMs"] } == [.null, .null])
        #expect(servers.first?["error"]?.string == "its answers to STUN make no sense")
        #expect(servers.last?["error"]?.string == "its name stands for no address")
        #expect(check["udp"] == .null && check["ipv4"] == .null && check["ipv6"] == .null, "\(check.text)")
        for command in ["netcheck", "doctor"] {
          let text = try await first.attempt([command]).output
          #expect(text.contains(place) && text.contains("make no sense"), "\(text)")
          #expect(text.contains("unknown: no server says where this machine is seen"), "\(text)")
        }
      }
    }

    @Test(
      "a relay that shows another certificate than the network's records name is not used, and both commands say so")
    func otherCertificate() async throws {
      try await RoutedHosts.run(3) { routed in
        var start = QuickStart()
        let (first, second, third) = (routed.first, routed.second, routed.third)
        try await start.create("lab", on: first)
        let address = "\(RoutedHosts.addressV4(2)):8788"
        _ = try await routed.lab.serve(
          third.typed(["meshd", "relay", "serve", "--open", "--listen", address, "--data", third.home.path + "/relay"]),
          in: third.namespace, onTCP: 8788)
        try await first.meshd(
          "relay", "add", "https://\(address)", "--pin", String(repeating: "0", count: 64), "--region", "liar",
          "--stun-port", "8788", "--stun-port", "8789")
        try await start.admit(second, by: first)
        for command in ["netcheck", "status"] {
          let isSaid = try await eventually(.seconds(60)) {
            let relays = try await second.json(command)["relays"]?.array ?? []
            let liar = relays.first { $0["region"]?.string == "liar" }
            return liar?["error"]?.string?.contains("certificate") == true
          }
          let text = try await second.meshd(command)
          #expect(isSaid && text.contains("certificate"), "\(text)")
        }
        try await QuickStart.requireTunnel(first, second)
      }
    }
  }
}
