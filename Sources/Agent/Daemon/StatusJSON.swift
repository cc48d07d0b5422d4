import Control
import Cryptography
import DWN
import Engine
import Identity
import Mesh
import Netmap
import Wire

/// The object of `status --json`: the same members whether a daemon runs or not.
struct StatusJSON {
  /// What only a running daemon has.
  struct Running {
    var processID: Int32
    var instanceID: String
    var uptime: Duration
    var engine: EngineStatus?
    /// Why the last netmap could not be applied.
    var routingError: String?
    var isApplied: Bool
    var nodeAddresses: [SocketAddress]
    var relayServer: RelayServerStatus?
  }

  var did: DID?
  var network: NetworkState?
  var control: ControlStatus?
  var running: Running?
  /// The path of a state directory that is not there.
  var missingFolder: String?
  /// Why there is no `control`, though there is a network.
  var unreadable: String?
  var now: Instant
  var wallTime: WallTime

  /// *Online* means that a packet of the peer authenticated within this time.
  static let onlineThreshold: Duration = .seconds(180)

  var json: JSONValue {
    var object: JSONObject = ["running": .bool(running != nil)]
    object["did"] = did.map { .string($0.text) }
    addNetwork(to: &object)
    addDaemon(to: &object)
    object["head"] = control?.head.map {
      [
        "seq": .integer($0.sequence), "epoch": .integer($0.epoch), "acceptedAt": .string($0.acceptedAt.timestamp),
        "signedAt": .string($0.signedAt.timestamp),
      ]
    }
    object["refused"] = .array(
      (control?.refused ?? []).map {
        [
          "recordId": .string($0.recordID), "path": .string($0.path), "author": .string($0.author),
          "reason": .string($0.reason), "count": .integer(Int64($0.count)),
        ]
      })
    object["pending"] = .array((control?.pending ?? []).map { .string($0) })
    object["endpoints"] = running.map { _ in .array((control?.endpoints ?? []).map(endpoint)) }
    object["notes"] = .array(((control?.notes ?? []) + reachNotes + routeNotes + folderNotes).map { .string($0) })
    return .object(object)
  }

  /// There is no folder to say more, or none that does.
  private var folderNotes: [String] {
    [missingFolder.map { AgentError.noStateDirectory($0).description }, unreadable].compactMap { $0 }
  }

  private func endpoint(_ endpoint: ControlStatus.Endpoint) -> JSONValue {
    var object: JSONObject = ["url": .string(endpoint.name), "lacks": .integer(Int64(endpoint.lacking))]
    object["error"] = endpoint.trouble.map { .string($0.reason) }
    object["since"] = endpoint.trouble.map { .string($0.since.rfc3339) }
    return .object(object)
  }

  /// Where the records are on somebody else's node, nobody but a relay helps machines that cannot reach each other.
  private var reachNotes: [String] {
    guard let network, let control, network.anchor == did else { return [] }
    return !network.embedsNode && control.hasRelay == false ? [MeshOperations.relayWarning] : []
  }

  private var routeNotes: [String] {
    (running?.engine?.refusedRoutes ?? [:]).sorted { $0.key < $1.key }.map { route, reason in
      "\(route) does not lead into the mesh: \(reason)"
    }
  }

  /// The peers as `peer list --json` prints them.
  var peers: [JSONValue] { (control?.peers ?? []).map { peer($0, isSelf: false) } }

  var myself: JSONValue? { control?.myself.map { peer($0, isSelf: true) } }

  private func addNetwork(to object: inout JSONObject) {
    guard let network else { return }
    object["network"] = .string(control?.networkName ?? network.name)
    object["networkRecordID"] = .string(network.networkID.text)
    object["anchorDID"] = .string(network.anchor.text)
    object["anchorEndpoint"] = (network.ownURLs.first ?? network.endpoints.first).map { .string($0) }
    object["anchorEndpoints"] = .array(network.endpoints.map { .string($0) })
    object["envelope"] = .string(network.envelope.rawValue)
    object["replayable"] = .bool(!network.envelope.hasHeads)
    object["meshCIDR"] = .string(control?.meshCIDR?.description ?? network.meshCIDR)
    let address = control?.myself?.meshIP.description ?? network.meshIP
    object["meshIP"] = address.map { .string($0) }
    object["meshIPv6"] =
      control?.myself.map { .string("\($0.meshIPv6)") } ?? did.map { .string("\(AddressPlan.ipv6(for: $0))") }
    object["wireGuardKey"] = did?.wireGuardKey.map { .string($0.base64) }
    object["ownerDID"] = .string((control?.myself?.ownerDID ?? network.anchor).text)
    object["peers"] = .array(peers)
    object["self"] = myself
    object["snapshot"] = control.map { snapshot($0.snapshot) }
  }

  private func addDaemon(to object: inout JSONObject) {
    guard let running else { return }
    object["pid"] = .integer(Int64(running.processID))
    object["instanceID"] = .string(running.instanceID)
    object["version"] = .string(Version.text)
    object["uptime"] = .string(Self.text(running.uptime))
    object["tunDevice"] = running.engine.map { .string($0.interfaceName) }
    object["port"] = running.engine.map { .integer(Int64($0.port)) }
    object["mtu"] = running.engine.map { .integer(Int64($0.mtu)) }
    object["offloads"] = running.engine.map { .array($0.offloads.map { .string($0) }) }
    object["dataThreads"] = running.engine.map { .integer(Int64($0.dataThreads)) }
    object["localEndpoints"] = running.engine.map { .array($0.localEndpoints.map { .string("\($0)") }) }
    object["interfaceUp"] = running.engine.map { .bool($0.isInterfaceUp) }
    object["drops"] = running.engine.map { engine in
      .object(
        JSONObject(engine.drops.sorted { $0.key < $1.key }.map { ($0.key, .integer(Int64(clamping: $0.value))) }))
    }
    object["relays"] = running.engine.map { .array($0.relays.map(relay)) }
    object["relayServer"] = running.relayServer?.json
    object["routingRequired"] = true
    let isDown = running.engine?.isInterfaceUp == false
    let error = running.routingError ?? (isDown ? "the interface is down: somebody has taken it down" : nil)
    object["routingReady"] = .bool(running.isApplied && error == nil)
    object["routingPhase"] = error != nil ? "error" : running.isApplied ? "ready" : "syncing"
    object["routingError"] = error.map { .string($0) }
    if !running.nodeAddresses.isEmpty {
      object["node"] = [
        "listen": .array(running.nodeAddresses.map { .string("\($0)") }),
        "advertise": .array((network?.ownURLs ?? []).map { .string($0) }),
      ]
    }
  }

  private func peer(_ node: ControlStatus.Node, isSelf: Bool) -> JSONValue {
    let session = running?.engine?.peers.first { $0.key == node.wireGuardKey }
    var object: JSONObject = ["name": .string(node.name), "nodeDID": .string(node.did.text)]
    object["meshIP"] = .string("\(node.meshIP)")
    object["meshIPv6"] = .string("\(node.meshIPv6)")
    object["label"] = node.label.map { .string($0) }
    object["ownerDID"] = node.ownerDID.map { .string($0.text) }
    object["memberRecordID"] = node.memberRecordID.map { .string($0.text) }
    object["expiresAt"] = node.expiresAt.map { .string($0.rfc3339) }
    object["lastSeen"] = node.lastSeen.map { .string($0.timestamp) }
    object["wireGuardKey"] = .string(node.wireGuardKey.base64)
    if isSelf {
      object["isSelf"] = true
      object["online"] = .bool(running != nil)
      return .object(object)
    }
    object["online"] = .bool(session?.lastReceived.map { $0 <= Self.onlineThreshold } ?? false)
    if let session {
      object["endpoint"] = session.endpoint.map { .string("\($0)") }
      object["path"] = .string(session.path.name)
      object["relay"] = session.path.relay.map { .integer(Int64($0)) }
      object["latencyMs"] = session.latency.map { .number($0.milliseconds) }
      object["session"] = .string(session.session.rawValue)
      object["lastHandshakeSeconds"] = session.lastHandshake.map { .integer(Int64($0.seconds)) }
      object["receivedBytes"] = .integer(Int64(clamping: session.receivedBytes))
      object["sentBytes"] = .integer(Int64(clamping: session.sentBytes))
    }
    return .object(object)
  }

  private func relay(_ relay: RelayStatus) -> JSONValue {
    var object: JSONObject = [
      "id": .integer(Int64(relay.id)), "region": .string(relay.region), "connected": .bool(relay.isConnected),
    ]
    object["role"] = relay.isHome ? "home" : relay.isStandby ? "standby" : nil
    object["latencyMs"] = relay.latency.map { .number($0.milliseconds) }
    object["error"] = relay.error.map { .string($0) }
    return .object(object)
  }

  private func snapshot(_ snapshot: ControlStatus.Snapshot) -> JSONValue {
    var object: JSONObject = ["generation": .integer(Int64(clamping: snapshot.generation))]
    object["refreshedAt"] = snapshot.refreshedAt.map { .string($0.timestamp) }
    object["lastAttemptAt"] = snapshot.lastAttemptAt.map { .string($0.timestamp) }
    object["lastError"] = snapshot.lastError.map { .string($0) }
    object["consecutiveFailures"] = .integer(Int64(snapshot.consecutiveFailures))
    object["state"] = .string(snapshot.state.rawValue)
    object["updates"] = .string(snapshot.isFollowing ? "live" : "polled")
    return .object(object)
  }

  /// `1h2m3s`
  static func text(_ duration: Duration) -> String {
    let seconds = Int64(duration.seconds.rounded())
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
    return (hours > 0 ? "\(hours)h" : "") + (seconds >= 60 ? "\(minutes)m" : "") + "\(seconds % 60)s"
  }
}

extension PeerStatus.Path {
  /// In `status --json`.
  fileprivate var name: String {
    switch self {
    case .none: "none"
    case .direct: "direct"
    case .relayed: "relay"
    case .both: "both"
    }
  }

  fileprivate var relay: UInt16? {
    switch self {
    case .relayed(let relay), .both(_, let relay): relay
    case .none, .direct: nil
    }
  }
}
