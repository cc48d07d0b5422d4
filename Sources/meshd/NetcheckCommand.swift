import Agent
import ArgumentParser
import Wire

struct NetcheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "netcheck", abstract: "Check the network between this machine and the others.",
    discussion: """
      Asks the network's relays which addresses they see, how long they take, and how a NAT gives out ports; asks the \
      router whether it maps ports. It takes up to five seconds, and ten where a check was running already.
      """)

  @Flag(
    name: .customLong("new-disco-key"),
    help: "Take another key for path discovery first: all ways to the others are looked for anew.")
  var newDiscoKey = false

  @OptionGroup var state: StateOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let directory = try state.selection.look()
    if !json.isOn { Terminal.note("Checking the network…") }
    let result = try MeshCommands(directory).netcheck(renewsKey: newDiscoKey)
    if json.isOn { return Terminal.print(json: result) }
    print(NetcheckText.render(result))
  }
}

/// `netcheck` for people.
enum NetcheckText {
  static func render(_ result: JSONValue) -> String {
    var lines: [String] = []
    func row(_ title: String, _ value: String) { lines.append("  \(title): \(value)") }
    func yesNo(_ value: JSONValue?) -> String { value?.bool.map { $0 ? "yes" : "no" } ?? "unknown" }

    let relays = result["relays"]?.array ?? []
    func open(_ value: JSONValue?, _ seen: JSONValue? = nil) -> String {
      seen?.string.map { "yes, seen as \($0)" }
        ?? value?.bool.map { $0 ? "yes" : "no" } ?? "unknown: \(UnknownUDP.reason(in: result))"
    }
    row("UDP", open(result["udp"]))
    row("IPv4", open(result["ipv4"], result["globalV4"]))
    row("IPv6", open(result["ipv6"], result["globalV6"]))
    row("NAT maps", natType(result["natType"]?.string))
    row("Hairpin", yesNo(result["hairpin"]))
    let services = [("NAT-PMP", "pmp"), ("PCP", "pcp"), ("UPnP", "upnp")]
      .filter { result["portMapping"]?[$0.1]?.bool == true }.map(\.0)
    let trouble = result["portMapping"]?["error"]?.string
    let offers = services.isEmpty ? "the router offers none" : services.joined(separator: ", ")
    row("Port mapping", offers + (trouble.map { ", but \($0)" } ?? ""))
    if relays.isEmpty {
      row("Relays", "none: machines without a direct way to each other stay apart ('meshd relay add' adds one)")
    } else {
      lines.append("  Relays:")
      let (home, standby) = (result["home"]?.integer, result["standby"]?.integer)
      let table = Terminal.table(
        ["ID", "REGION", "LATENCY", ""],
        relays.map { relay in
          let id = relay["id"]?.integer
          let role = id == nil ? "" : id == home ? "home" : id == standby ? "standby" : ""
          return [
            id.map(String.init) ?? "?", relay["region"]?.string ?? "", relay["latencyMs"]?.milliseconds ?? "no answer",
            relay["error"]?.string ?? role,
          ]
        })
      lines.append(contentsOf: table.split(separator: "\n").map { "    " + $0 })
    }
    if let servers = result["stun"]?.array, !servers.isEmpty {
      lines.append("  STUN servers:")
      let table = Terminal.table(
        ["SERVER", "LATENCY", ""],
        servers.map { server in
          [
            server["server"]?.string ?? "", server["latencyMs"]?.milliseconds ?? "no answer",
            server["error"]?.string ?? "",
          ]
        })
      lines.append(contentsOf: table.split(separator: "\n").map { "    " + $0 })
    }
    return lines.joined(separator: "\n")
  }

  private static func natType(_ type: String?) -> String {
    switch type {
    case "endpoint-independent": "one address for everybody (easy)"
    case "endpoint-dependent": "another address for each (hard)"
    default: "unknown"
    }
  }
}
