import Foundation
import Testing
import Wire

extension MeshdLab {
  /// The commands beside the quick start, and the forms that scripts rely on.
  @Suite struct CommandFormTests {
    static let commands = [
      "", "init", "up", "down", "status", "doctor", "peer", "peer add", "peer approve", "peer list", "network",
      "network create",
      "network join", "network leave", "acl", "acl show", "relay", "relay add", "relay list", "relay remove", "dwn",
      "dwn serve", "dwn tenants", "dwn stats", "dwn check", "dwn backup", "dwn restore", "dwn export", "dwn import",
      "version",
    ]

    @Test("every command has help, and asking for it does nothing else")
    func help() async throws {
      try await NetworkLab.run { lab in
        let host = try MeshdHost(try await lab.namespace("alone"), in: lab.folder)
        for command in Self.commands {
          let help = try await host.run(["meshd"] + command.split(separator: " ").map(String.init) + ["--help"])
          #expect(help.contains("USAGE: meshd"), "meshd \(command) --help")
        }
        #expect(try await host.meshd("--version").hasPrefix("meshd "))
        #expect(try await host.meshd("version") == host.meshd("--version"))
        #expect(!FileManager.default.fileExists(atPath: host.state.path))
      }
    }

    @Test("--json gives the members that scripts rely on")
    func json() async throws {
      try await RoutedHosts.run { routed in
        let (first, second) = (routed.first, routed.second)
        let without = try await second.json("init")
        try requireTexts(["did", "stateDir"], in: without)
        #expect(try await second.status()["running"]?.bool == false)

        let created = try await first.json("up", "--create", "lab")
        try requireTexts(["did", "networkId", "meshIP", "meshIPv6", "endpoint"], in: created)
        let added = try await first.json("peer", "add", without["did"]?.string ?? "", "--label", "laptop")
        try requireTexts(["did", "meshIP", "meshIPv6", "label", "command"], in: added)
        #expect(added["label"]?.string == "laptop")
        #expect(added["published"]?.bool == true)
        let again = try await first.json("peer", "add", without["did"]?.string ?? "")
        #expect(again["meshIP"] == added["meshIP"], "a second peer add changes nothing")

        try await second.run((added["command"]?.string ?? "").split(separator: " ").map(String.init))
        try await QuickStart.requireTunnel(first, second)
        for host in [first, second] {
          let status = try await host.status()
          try requireTexts(["did", "network", "meshIP", "meshIPv6", "tunDevice"], in: status)
          #expect(status["head"]?["seq"]?.integer != nil && status["head"]?["epoch"]?.integer != nil)
          #expect(status["head"]?["acceptedAt"]?.string != nil)
          #expect(status["refused"]?.array != nil && status["pending"]?.array != nil)
          for peer in try await host.json("peer", "list").array ?? [] {
            try requireTexts(["nodeDID", "meshIP", "meshIPv6"], in: peer)
          }
        }
      }
    }

    @Test("a network that was created and joined without a daemon comes up with plain up")
    func createJoinLeave() async throws {
      try await RoutedHosts.run { routed in
        let (first, second) = (routed.first, routed.second)
        try await first.meshd("network", "create", "lab")
        #expect(try await first.isQuiet())
        try await first.meshd("up")

        let did = try QuickStart.identity(in: try await second.meshd("init"))
        let line = try QuickStart.joinLine(in: try await first.meshd("peer", "add", did))
        try await second.run(["meshd", "network", "join"] + line.dropFirst(2))
        #expect(try await second.isQuiet())
        try await second.meshd("up")
        try await QuickStart.requireTunnel(first, second)

        #expect(try await first.meshd("acl", "show").contains("accept"))
        #expect(try await first.meshd("peer", "approve", did).contains("Nothing to deliver"))

        try await second.meshd("down")
        #expect(try await second.meshd("network", "leave").contains("Left network \"lab\""))
        #expect(try await second.meshd("network", "leave").contains("Not in a network"))
        #expect(try await second.attempt(["up"]).status == 1)
      }
    }

    @Test("whoever lists the processes of a machine finds the daemon by its name")
    func processName() async throws {
      try await RoutedHosts.run(1) { routed in
        try await routed.first.meshd("up", "--create", "lab")
        let pid = try #require(try await routed.first.status()["pid"]?.integer)
        #expect(try String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8) == "meshd\n")
      }
    }

    @Test("flags of up are kept for the next plain up")
    func keptFlags() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        try await host.meshd(
          "up", "--create=lab", "--port=4500", "--interface=wire7", "--mtu=1400", "--listen", "0.0.0.0:9000",
          "--advertise", "http://198.51.100.2:9000", "--no-port-probing")
        let before = try await host.status()
        #expect(before["tunDevice"]?.string == "wire7")
        try await host.meshd("down")
        try await host.meshd("up")
        let after = try await host.status()
        for member in ["tunDevice", "port", "mtu", "node", "anchorEndpoint"] {
          #expect(after[member] != nil && after[member] == before[member], "\(member)")
        }
        #expect(try await host.namespace.run("ip", "link", "show", "wire7").contains("mtu 1400"))
        #expect(try await host.namespace.listens(onTCP: 9000))
        let settings = host.state.appendingPathComponent("settings.json")
        func probesPorts() throws -> Bool? {
          try JSONValue(parsing: Array(Data(contentsOf: settings)))["portProbing"]?.bool
        }
        #expect(try probesPorts() == false)
        try await host.meshd("down")
        try await host.meshd("up", "--port-probing")
        #expect(try probesPorts() == nil, "it is so unless somebody says otherwise")
      }
    }

    private func requireTexts(_ members: [String], in object: JSONValue) throws {
      for member in members {
        guard let text = object[member]?.string, !text.isEmpty else { throw Missing(what: member, in: object.text) }
      }
    }
  }
}
