import Control
import Identity
import Mesh
import Wire

/// The commands that change or show a network, over an open session: the same code in the daemon and without one.
struct MeshOperations: Sendable {
  let session: MeshSession
  let network: NetworkState
  let control: DWNControlPlane
  /// How long a command waits for a node to take what it published.
  var patience: Duration = .seconds(10)

  func addPeer(_ did: DID, label: String) async throws -> JSONValue {
    guard isAnchor else { throw AgentError.notTheAnchor("add peers") }
    guard did != session.identity.did else { throw AgentError.thisMachine(did) }
    let id = network.reference.id
    try MeshCommands.check(label: label)
    let admission = NodeAdmission(did: did, label: label)
    let (node, isNew, change) = try await session.keeper.perform { ledger in
      switch try ledger.addNode(admission, to: id, now: .now(), random: SystemRandom()) {
      case .added(let node, let change): ((node, true, change), change)
      case .alreadyMember(let node): ((node, false, LedgerChange()), LedgerChange())
      }
    }
    var result: JSONObject = ["did": .string(did.text)]
    result["meshIP"] = .string("\(node.record.meshIP)")
    result["meshIPv6"] = .string("\(AddressPlan.ipv6(for: did))")
    result["label"] = node.record.label.map { .string($0) } ?? .string(label)
    result["command"] = .string(await joinCommand())
    try await addPublication(of: change, to: &result)
    result["known"] = .bool(!isNew)
    result["delivered"] = .bool(
      await session.keeper.ledger.nodes(of: id).first { $0.recordID == node.recordID }?.hasKeys ?? false)
    result["network"] = .string(network.name)
    let warnings = await warnings()
    if !warnings.isEmpty { result["warnings"] = .array(warnings.map { .string($0) }) }
    return .object(result)
  }

  func approvePeer(_ did: DID) async throws -> JSONValue {
    guard isAnchor else { throw AgentError.notTheAnchor("approve peers") }
    guard did != session.identity.did else { throw AgentError.thisMachine(did) }
    let id = network.reference.id
    let definitions = network.envelope == .v1 ? await control.definitions(installedBy: did) : [:]
    let change = try await session.keeper.perform { ledger in
      try ledger.approve(did, in: id, definitions: definitions, now: .now(), random: SystemRandom())
    }
    var result: JSONObject = ["did": .string(did.text), "delivered": .bool(!change.isEmpty)]
    try await addPublication(of: change, to: &result)
    return .object(result)
  }

  func removePeer(_ did: DID) async throws -> JSONValue {
    guard isAnchor else { throw AgentError.notTheAnchor("remove peers") }
    guard did != session.identity.did else { throw AgentError.thisMachine(did) }
    let id = network.reference.id
    let change = try await session.keeper.perform { ledger in
      try ledger.removeNode(did, from: id, now: .now(), random: SystemRandom())
    }
    var result: JSONObject = ["did": .string(did.text), "network": .string(network.name)]
    try await addPublication(of: change, to: &result)
    return .object(result)
  }

  /// How far a change has come: whether one node has everything, and what is to be said of those that do not.
  func addPublication(of change: LedgerChange, to result: inout JSONObject) async throws {
    result["published"] = .bool(try await control.waitUntilPublished(change, within: patience))
    let unpublished = await control.unpublished()
    if !unpublished.isEmpty { result["unpublished"] = .array(unpublished.map { .string($0) }) }
  }

  func policy() async -> JSONValue {
    let report = await control.policyReport()
    return [
      "policy": report.policy ?? .null, "note": .string(report.note),
      "always": .array(report.always.map { .string($0) }),
    ]
  }

  /// What keeps machines elsewhere from the network (`reach.md` section 1).
  func warnings() async -> [String] {
    Self.warnings(of: network, hasRelay: await control.status().hasRelay)
  }

  static func warnings(of network: NetworkState, hasRelay: Bool?) -> [String] {
    var warnings: [String] = []
    if network.embedsNode {
      if network.endpoints.isEmpty {
        warnings.append("this machine has no address that others reach: give one with 'meshd up --advertise URL'")
      } else if NodeURLs.areAllPrivate(network.endpoints) {
        warnings.append(privateWarning)
      }
    } else if hasRelay == false {
      warnings.append(relayWarning)
    }
    return warnings
  }

  static let privateWarning =
    "all addresses of this node are private: machines elsewhere cannot reach it. Forward its TCP and UDP port to it and name the "
    + "outer address with --advertise, or have a node that others reach hold the records too (meshd dwn serve --tenant there, --replica here)"

  static let relayWarning =
    "the network has no relay: machines that cannot reach each other directly stay apart. Run one on a machine that others reach "
    + "('meshd up --relay' there), or name one with 'meshd relay add URL'"

  var isAnchor: Bool { network.anchor == session.identity.did }

  /// The line that the new machine has to run.
  private func joinCommand() async -> String {
    // Of a node of this machine's own two addresses, so that there is room for a replica.
    let known = network.replicas.isEmpty ? network.endpoints : network.ownURLs.prefix(2) + network.replicas
    let urls = known.isEmpty ? ["URL"] : Array(known.prefix(3))
    let endpoints = urls.map { "--endpoint \($0)" }.joined(separator: " ")
    return "meshd up \(endpoints) --anchor \(network.anchor) --network \(network.networkID)"
  }
}
