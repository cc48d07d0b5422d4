import Foundation
import Wire

/// `status` for people.
enum StatusText {
  static func render(_ status: JSONValue, state: String) -> String {
    var lines: [String] = []
    func row(_ title: String, _ value: String?) {
      if let value, !value.isEmpty { lines.append("  \(title): \(value)") }
    }

    lines.append("Identity:")
    row("DID", status["did"]?.string ?? "none yet ('meshd init' makes one)")
    row("State", state)
    lines.append("")
    if let network = status["networkRecordID"]?.string {
      lines.append("Network:")
      row("Name", status["network"]?.string)
      row("CIDR", status["meshCIDR"]?.string)
      row("Anchor DID", status["anchorDID"]?.string)
      row("Anchor Endpoint", status["anchorEndpoint"]?.string)
      row("Network Record", network)
      row("Encryption", status["replayable"]?.bool == true ? "v1 (replayable)" : nil)
      row("Mesh IP", status["meshIP"]?.string)
      row("Mesh IPv6", status["meshIPv6"]?.string)
      row("WireGuard Key", status["wireGuardKey"]?.string)
      if let head = status["head"]?.object {
        row(
          "Head",
          "seq \(head["seq"]?.integer ?? 0), epoch \(head["epoch"]?.integer ?? 0), accepted \(head["acceptedAt"]?.string ?? "?")"
        )
      }
    } else {
      lines.append("Network: none ('meshd up --create NAME' makes one)")
    }
    for note in status["notes"]?.array ?? [] { row("Note", note.string) }
    lines.append("")
    guard status["running"]?.bool == true else {
      lines.append("Daemon: not running")
      return lines.joined(separator: "\n")
    }
    lines.append("Daemon:")
    row("Running", "yes (PID \(status["pid"]?.integer ?? 0))")
    row("Uptime", status["uptime"]?.string)
    row("TUN device", status["tunDevice"]?.string)
    row("UDP port", status["port"]?.integer.map(String.init))
    row("Routing", status["routingPhase"]?.string)
    row("Last routing error", status["routingError"]?.string)
    row("Node", (status["node"]?["listen"]?.array ?? []).compactMap(\.string).joined(separator: ", "))
    row("Relay here", RelayServerText.text(status["relayServer"]))
    let drops = (status["drops"]?.object?.members ?? []).map { "\($0.value.integer ?? 0) \($0.name)" }
    row("Dropped packets", drops.joined(separator: ", "))
    for pending in status["pending"]?.array ?? [] { row("Waiting for", pending.string) }
    for endpoint in status["endpoints"]?.array ?? [] { row("Endpoint in trouble", EndpointTrouble.text(endpoint)) }
    if let refused = status["refused"]?.array, !refused.isEmpty {
      lines.append("  Refused records:")
      for record in refused {
        lines.append(
          "    \(record["path"]?.string ?? "?") \(record["recordId"]?.string ?? "?"): \(record["reason"]?.string ?? "?")"
            + " (\(record["count"]?.integer ?? 1)×)")
      }
    }
    let relays = status["relays"]?.array ?? []
    if !relays.isEmpty {
      lines.append("")
      lines.append("Relays:")
      lines.append(contentsOf: RelayTable.render(relays).split(separator: "\n").map { "  " + $0 })
    }
    let peers = status["peers"]?.array ?? []
    if !peers.isEmpty {
      lines.append("")
      lines.append("Peers:")
      lines.append(contentsOf: PeerTable.render(peers).split(separator: "\n").map { "  " + $0 })
    }
    return lines.joined(separator: "\n")
  }
}

/// A node that does not take or show the network's records, though others may.
enum EndpointTrouble {
  static func text(_ endpoint: JSONValue) -> String? {
    guard let error = endpoint["error"]?.string else { return nil }
    let lacks = endpoint["lacks"]?.integer ?? 0
    let what = lacks == 0 ? "" : lacks == 1 ? ", and lacks 1 message" : ", and lacks \(lacks) messages"
    return "\(endpoint["url"]?.string ?? "?") since \(endpoint["since"]?.string ?? "?")\(what): \(error)"
  }
}

/// The relay that this machine runs.
enum RelayServerText {
  static func text(_ server: JSONValue?) -> String? {
    guard let server else { return nil }
    let place = (server["listen"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
    if let problem = server["problem"]?.string { return "\(place), not used: \(problem)" }
    return "\(place), relay \(server["recordedAs"]?.integer ?? 0) of the network"
  }
}

/// The relays as this machine uses them.
enum RelayTable {
  static func render(_ relays: [JSONValue]) -> String {
    Terminal.table(
      ["ID", "REGION", "ROLE", "LATENCY", "STATE"],
      relays.map { relay in
        [
          relay["id"]?.integer.map(String.init) ?? "?", relay["region"]?.string ?? "", relay["role"]?.string ?? "-",
          relay["latencyMs"]?.milliseconds ?? "-",
          relay["error"]?.string ?? (relay["connected"]?.bool == true ? "connected" : "not connected"),
        ]
      })
  }
}

extension JSONValue {
  /// A number of milliseconds, for people.
  var milliseconds: String? {
    switch self {
    case .number(let value): String(format: "%.1f ms", value)
    case .integer(let value): "\(value) ms"
    default: nil
    }
  }
}

/// The table of `peer list`.
enum PeerTable {
  static func render(_ peers: [JSONValue]) -> String {
    Terminal.table(
      ["NODE DID", "MESH IP", "LABEL", "PATH", "STATE"],
      peers.map { peer in
        [
          short(peer["nodeDID"]?.string ?? "?"), peer["meshIP"]?.string ?? "?",
          peer["label"]?.string ?? peer["name"]?.string ?? "", path(peer), state(peer),
        ]
      })
  }

  /// The address that packets go to, or the relay.
  private static func path(_ peer: JSONValue) -> String {
    let relay = peer["relay"]?.integer.map { "relay \($0)" } ?? "relay"
    switch peer["path"]?.string {
    case "relay": return relay
    case "both": return "\(peer["endpoint"]?.string ?? "?"), \(relay)"
    default: return peer["endpoint"]?.string ?? "-"
    }
  }

  private static func state(_ peer: JSONValue) -> String {
    if peer["isSelf"]?.bool == true { return "this device" }
    return peer["online"]?.bool == true ? "online" : "unknown"
  }

  /// DIDs of this program differ only behind their first sixty characters.
  private static func short(_ did: String) -> String {
    did.count <= 44 ? did : did.prefix(12) + "…" + did.suffix(31)
  }
}
