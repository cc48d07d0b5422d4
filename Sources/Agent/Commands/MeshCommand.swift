import Identity
import Wire

/// What a person asks of a network: a running daemon does it, or else the command line by itself. Between the two it travels as a
/// name and an object of arguments.
enum MeshCommand: Hashable, Sendable {
  case addPeer(DID, label: String)
  case approvePeer(DID)
  case removePeer(DID)
  case addRelay(RelayRequest)
  case removeRelay(UInt16)
  case relays
  case policy

  /// `nil` for a name that is none of these. Throws `badArgument`.
  init?(_ name: String, _ arguments: JSONValue) throws(AgentError) {
    func did() throws(AgentError) -> DID {
      guard let did = arguments["did"]?.string.flatMap({ DID($0) }) else {
        throw .badArgument("the request names no DID")
      }
      return did
    }
    switch name {
    case "peer-add": self = .addPeer(try did(), label: arguments["label"]?.string ?? "peer")
    case "peer-approve": self = .approvePeer(try did())
    case "peer-remove": self = .removePeer(try did())
    case "relay-add": self = .addRelay(try RelayRequest(arguments))
    case "relay-remove":
      guard let id = arguments["id"]?.integer.flatMap({ UInt16(exactly: $0) }) else {
        throw .badArgument("the request names no relay")
      }
      self = .removeRelay(id)
    case "relay-list": self = .relays
    case "acl-show": self = .policy
    default: return nil
    }
  }

  var request: ControlRequest {
    switch self {
    case .addPeer(let did, let label): .command("peer-add", ["did": .string(did.text), "label": .string(label)])
    case .approvePeer(let did): .command("peer-approve", ["did": .string(did.text)])
    case .removePeer(let did): .command("peer-remove", ["did": .string(did.text)])
    case .addRelay(let relay): .command("relay-add", relay.json)
    case .removeRelay(let id): .command("relay-remove", ["id": .integer(Int64(id))])
    case .relays: .command("relay-list", [:])
    case .policy: .command("acl-show", [:])
    }
  }

  /// Whether it may change whose records the embedded node keeps.
  var changesTenants: Bool {
    switch self {
    case .addPeer, .removePeer: true
    case .approvePeer, .addRelay, .removeRelay, .relays, .policy: false
    }
  }

  /// What the command prints with `--json`.
  func run(_ operations: MeshOperations) async throws -> JSONValue {
    switch self {
    case .addPeer(let did, let label): try await operations.addPeer(did, label: label)
    case .approvePeer(let did): try await operations.approvePeer(did)
    case .removePeer(let did): try await operations.removePeer(did)
    case .addRelay(let relay): try await operations.addRelay(relay)
    case .removeRelay(let id): try await operations.removeRelay(id)
    case .relays: await operations.relays()
    case .policy: await operations.policy()
    }
  }
}

/// What only a running daemon can tell: it has the paths.
enum PathCommand: Hashable, Sendable {
  case netcheck(renewsKey: Bool)
  case ping(String, within: Duration)

  /// `nil` for a name that is none of these. Throws `badArgument`.
  init?(_ name: String, _ arguments: JSONValue) throws(AgentError) {
    switch name {
    case "netcheck": self = .netcheck(renewsKey: arguments["newDiscoKey"]?.bool ?? false)
    case "ping":
      guard let peer = arguments["peer"]?.string else { throw .badArgument("the request names no peer") }
      let limit = arguments["timeoutMs"]?.integer ?? 5000
      self = .ping(peer, within: .milliseconds(min(max(limit, 1), 60_000)))
    default: return nil
    }
  }

  var request: ControlRequest {
    switch self {
    case .netcheck(let renewsKey): .command("netcheck", ["newDiscoKey": .bool(renewsKey)])
    case .ping(let peer, let limit):
      .command("ping", ["peer": .string(peer), "timeoutMs": .integer(Int64(limit.milliseconds))])
    }
  }

  func run(_ questions: PathQuestions) async throws -> JSONValue {
    switch self {
    case .netcheck(let renewsKey): try await questions.netcheck(renewsKey: renewsKey)
    case .ping(let peer, let limit): try await questions.ping(peer, within: limit)
    }
  }
}
