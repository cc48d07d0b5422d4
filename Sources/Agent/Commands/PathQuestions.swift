import Control
import Cryptography
import Engine
import Identity
import Netmap
import Traversal
import Wire

/// What people ask a running daemon about its ways to the others: `meshd netcheck` and `meshd ping`.
struct PathQuestions {
  let engine: Engine
  let control: ControlStatus
  let directory: StateDirectory

  /// Checks the network. `renewsKey`: puts another key for path discovery in place of the present one before that.
  func netcheck(renewsKey: Bool) async throws -> JSONValue {
    if renewsKey {
      let key = try directory.replaceKey(StateDirectory.discoKeyFile, random: SystemRandom())
      await engine.renewDiscoKey(key)
    }
    return await engine.netcheck().json
  }

  /// One ping. `name`: what the mesh or the anchor calls the machine, one of its addresses in the mesh, or its DID.
  func ping(_ name: String, within limit: Duration) async throws -> JSONValue {
    let peer = try peer(called: name)
    let answer: PingAnswer?
    do { answer = try await engine.ping(peer.wireGuardKey, within: limit) } catch {
      throw AgentError.failed("\(peer.label ?? peer.name) cannot be pinged: \(error)")
    }
    var object: JSONObject = ["name": .string(peer.label ?? peer.name), "meshIP": .string("\(peer.meshIP)")]
    object["answered"] = .bool(answer != nil)
    guard let answer else { return .object(object) }
    object["latencyMs"] = .number(answer.latency.milliseconds)
    object["direct"] = .bool(answer.isDirect)
    object["endpoint"] = answer.address.map { .string("\($0)") }
    if let relay = answer.relay {
      object["relay"] = .integer(Int64(relay))
      object["region"] = await engine.status().relays.first { $0.id == relay }.map { .string($0.region) }
    }
    return .object(object)
  }

  private func peer(called name: String) throws(AgentError) -> ControlStatus.Node {
    let address = IPAddress(name)
    let found = control.peers.filter { peer in
      peer.did.text == name || peer.name == name || peer.label == name || peer.meshIP == address
        || peer.meshIPv6 == address
    }
    guard let peer = found.first else {
      if let myself = control.myself, myself.name == name || myself.did.text == name || myself.meshIP == address {
        throw .badArgument("\(name) is this machine")
      }
      throw .badArgument("no machine of the network is called \"\(name)\": 'meshd peer list' shows them")
    }
    guard found.count == 1 else {
      throw .badArgument("\(found.count) machines are called \"\(name)\": name one by its address or its DID")
    }
    return peer
  }
}

extension NetcheckResult {
  /// `netcheck --json` (`reach.md` 7).
  var json: JSONValue {
    var object: JSONObject = [
      "udp": hasUDP.map { .bool($0) } ?? .null, "ipv4": hasIPv4.map { .bool($0) } ?? .null,
      "ipv6": hasIPv6.map { .bool($0) } ?? .null,
    ]
    object["globalV4"] = globalIPv4.map { .string("\($0)") } ?? .null
    object["globalV6"] = globalIPv6.map { .string("\($0)") } ?? .null
    object["natType"] = .string(natMapping?.rawValue ?? "unknown")
    object["hairpin"] = hairpin.map { .bool($0) } ?? .null
    object["portMapping"] = [
      "pmp": .bool(portMapping.contains(.natPMP)), "pcp": .bool(portMapping.contains(.pcp)),
      "upnp": .bool(portMapping.contains(.upnp)), "error": mappingTrouble.map { .string($0.text) } ?? .null,
    ]
    object["relays"] = .array(
      relays.map { relay in
        var entry: JSONObject = ["id": .integer(Int64(relay.id)), "region": .string(relay.region)]
        entry["latencyMs"] = relay.latency.map { .number($0.milliseconds) } ?? .null
        entry["error"] = (relay.error ?? relay.trouble?.text).map { .string($0) } ?? .null
        return .object(entry)
      })
    if !servers.isEmpty { object["stun"] = .array(servers.map(\.json)) }
    object["home"] = homeRelay.map { .integer(Int64($0)) } ?? .null
    object["standby"] = standbyRelay.map { .integer(Int64($0)) } ?? .null
    return .object(object)
  }
}

extension NetcheckResult.ServerResult {
  fileprivate var json: JSONValue {
    var object: JSONObject = ["server": .string("\(server)")]
    object["latencyMs"] = latency.map { .number($0.milliseconds) } ?? .null
    let error = isKnown ? trouble?.text : "its name stands for no address"
    object["error"] = error.map { .string($0) } ?? .null
    return .object(object)
  }
}

extension NetcheckReport.Trouble {
  /// For people, of a server.
  fileprivate var text: String {
    switch self {
    case .nonsense: "its answers to STUN make no sense"
    case .impossible(let address): "it says that this machine is seen at \(address), which cannot be"
    }
  }
}

extension PortMapper.Trouble {
  /// For people, of a router.
  fileprivate var text: String {
    switch self {
    case .refused(let refusal): "it maps nothing: \(refusal.service.rawValue) says error \(refusal.code)"
    case .behindNAT(let address): "its own address outside is \(address): it stands behind another NAT"
    case .mapsNothing: "it maps nothing, and does not say why"
    case .nonsense: "its answers make no sense"
    }
  }
}
