import Control
import DWN
import DWNClient
import Foundation
import Identity
import Logging
import Mesh
import Wire

/// A state directory, open for writing: who this machine is, what it signed, and what it verified. The daemon has one for its
/// life; a command has one while no daemon runs.
struct MeshSession: Sendable {
  let directory: StateDirectory
  let identity: MachineIdentity
  let store: SQLiteMeshStore
  let keeper: LedgerKeeper
  private let lock: DaemonLock

  /// Takes the directory's lock. Throws what says who has it, if somebody else does.
  ///
  /// - Parameter decides: whether a network whose making was interrupted is made or given up now. Who only looks leaves it as it is.
  static func open(
    _ directory: StateDirectory, _ identity: MachineIdentity, isDaemon: Bool = false, decides: Bool = true
  ) async throws -> MeshSession {
    guard let lock = try DaemonLock(directory, for: isDaemon ? .daemon : .command) else {
      throw directory.heldByAnother
    }
    let store = try SQLiteMeshStore(directory)
    let keeper = try LedgerKeeper(identity: identity, store: store, stored: try await store.load())
    if decides, let prepared = directory.preparedNetwork {
      let isCommitted = await keeper.ledger.isAnchor(of: NetworkID(prepared.networkID))
      if isCommitted { try directory.adoptPreparedNetwork() } else { try directory.discardPreparedNetwork() }
    }
    return MeshSession(directory: directory, identity: identity, store: store, keeper: keeper, lock: lock)
  }

  func close() {
    do { try store.close() } catch { Logger(label: "meshd").warning("mesh.sqlite was not closed cleanly: \(error)") }
    withExtendedLifetime(lock) {}
  }

  /// A control plane over this session. Nothing runs until its `run()`.
  func controlPlane(
    _ network: NetworkState, endpoints: [any DWNEndpoint], nodePort: UInt16? = nil,
    verifyRelay: (@Sendable (RelayOffer) async -> RelayOffer?)? = nil, logger: Logger
  ) async throws -> DWNControlPlane {
    var configuration = DWNControlPlane.Configuration(
      network: network.reference, identity: identity, endpoints: endpoints,
      nodeInfo: NodeInfoRecord(hostname: Self.hostname, os: "linux"))
    // A machine whose own node holds the records needs no other.
    if !network.embedsNode { configuration.dial = { url in HTTPEndpoint(url) } }
    configuration.nodePort = nodePort
    configuration.verifyRelay = verifyRelay
    let stored = try await store.load().networks[NetworkID(network.networkID)] ?? StoredNetwork()
    return await DWNControlPlane(configuration, stored: stored, keeper: keeper, logger: logger)
  }

  /// Makes a network and enters the directory in it: all of it, or nothing. The relay that this machine runs is its first.
  func createNetwork(
    named name: String, cidr: String?, envelope: Envelope = .jwe, endpoints: [String], embedsNode: Bool,
    replicas: [String] = [], relay: RelayPlan? = nil
  ) async throws -> NetworkState {
    if let existing = try directory.loadNetwork() { throw AgentError.anotherNetwork(name: existing.name) }
    let block = cidr.flatMap { IPPrefix($0) } ?? NetworkRecord.defaultCIDR
    let plan = NetworkPlan(
      record: NetworkRecord(name: name, meshCIDR: block, anchorEndpoints: endpoints), envelope: envelope,
      relay: envelope.registersRelays ? relay : nil)
    let state = try await keeper.perform { [directory, identity] ledger in
      let (network, change) = try ledger.createNetwork(plan, now: .now(), random: SystemRandom())
      let myself = ledger.nodes(of: network.id).first { $0.did == identity.did }
      let state = NetworkState(
        networkID: network.id.recordID, anchor: identity.did, name: name, endpoints: endpoints, embedsNode: embedsNode,
        replicas: replicas, envelope: envelope, meshCIDR: "\(block)", meshIP: myself.map { "\($0.record.meshIP)" })
      // On disk before the ledger commits, and in force after it: whatever happens between, `open` takes one side.
      try directory.prepare(state)
      return (state, change)
    }
    try directory.adoptPreparedNetwork()
    return state
  }

  /// Lets the network's record name these nodes, if that is news.
  func advertise(_ urls: [String], in network: inout NetworkState) async throws {
    guard !urls.isEmpty else { return }
    let id = network.reference.id
    // Nothing is asked of a ledger that takes no decisions any more, where nothing is to be decided.
    if await keeper.ledger.record(of: id)?.anchorEndpoints != urls {
      try await keeper.perform { ledger in
        try ledger.updateNetwork(id, now: .now()) { $0.anchorEndpoints = urls }
      }
    }
    guard urls != network.endpoints else { return }
    network.endpoints = urls
    try directory.save(network)
  }

  /// Who has records on the node that this machine runs: itself, and in a network with encryption v1 its members, whose definitions
  /// keys are delivered by.
  func tenants(of network: NetworkState) async -> Set<DID> {
    guard network.envelope == .v1 else { return [identity.did] }
    return Set(await keeper.ledger.nodes(of: network.reference.id).map(\.did)).union([identity.did])
  }

  /// Looks for the network at the endpoints and enters the directory in it, with the envelope that its id commits to. With an
  /// invitation, and unless the anchor has added this machine already, the anchor is asked to.
  func joinNetwork(
    _ id: NetworkID, of anchor: DID, invite: Invite? = nil, urls: [String], endpoints: [any DWNEndpoint],
    acceptsTerms: Bool
  ) async throws -> (NetworkState, isAdmitted: Bool) {
    let existing = try directory.loadNetwork()
    if let existing, existing.networkID != id.recordID || existing.anchor != anchor {
      throw AgentError.anotherNetwork(name: existing.name)
    }
    let finding = try await NetworkProbe(id: id, anchor: anchor, identity: identity).find(at: endpoints, now: .now())
    try await Preflight.check(endpoints, hold: finding.envelope, of: anchor)
    let plan = try AddressPlan(finding.record.meshCIDR)
    var state =
      existing
      ?? NetworkState(
        networkID: id.recordID, anchor: anchor, name: finding.record.name, endpoints: urls, embedsNode: false,
        envelope: finding.envelope, meshCIDR: "\(finding.record.meshCIDR)",
        meshIP: "\(plan.ipv4(for: identity.did))")
    if !state.embedsNode { state.endpoints = urls }
    if state.envelope == .v1 {
      try await ForeignTenancy(identity: identity, acceptsTerms: acceptsTerms).enterWherePossible(endpoints)
      try await installDefinition(state.reference, at: endpoints)
    }
    if let invite, !finding.isAdmitted { try await ask(state, invite, at: endpoints) }
    try directory.save(state)
    return (state, finding.isAdmitted)
  }

  /// A machine that joins a network with encryption v1 installs the protocol on its own tenant, so that keys can be delivered to it.
  /// What a node does not take now is published again while the daemon runs, which also says so.
  private func installDefinition(_ network: NetworkReference, at endpoints: [any DWNEndpoint]) async throws {
    try await keeper.perform { try $0.install(.v1, now: .now()) }
    for endpoint in endpoints {
      let publisher = Publisher(
        keeper: keeper, endpoint: endpoint, quorum: RefusalQuorum(endpoints.map(\.name)), network: network,
        clock: SystemClock(), logger: Logger(label: "meshd") { _ in SwiftLogNoOpLogHandler() }, mayWriteRecords: false)
      _ = await publisher.publish()
    }
  }

  private func ask(_ network: NetworkState, _ invite: Invite, at endpoints: [any DWNEndpoint]) async throws {
    guard let token = invite.token else { return }
    guard network.envelope == .v1 else {
      throw AgentError.failed(
        "this invitation asks for admission, which networks with the JWE envelope do not have yet: its anchor adds this machine with "
          + "'meshd peer add \(identity.did)'")
    }
    let request = JoinRequest(
      network: network.reference, networkName: invite.networkName, token: token, identity: identity,
      label: Self.hostname, requestedAt: .now())
    let draft = request.draft
    let write = MessageSigner(identity).recordsWrite(draft, at: .now())
    var failure = AgentError.failed("no endpoint was given")
    for endpoint in endpoints {
      do {
        let reply = try await endpoint.process(
          tenant: network.anchor, message: write.message.value, data: draft.data)
        if reply.status.isSuccess || reply.status.code == 409 { return }
        failure = .failed(
          "\(endpoint.name) does not take the request to be admitted: \(reply.status.code) \(reply.status.detail)")
      } catch {
        failure = .failed(error.description)
      }
    }
    throw failure
  }

  /// This machine's name, without its domain.
  static var hostname: String {
    let name = ProcessInfo.processInfo.hostName
    return name.split(separator: ".").first.map(String.init) ?? "localhost"
  }
}

extension NetworkState {
  var reference: NetworkReference {
    NetworkReference(id: NetworkID(networkID), anchor: anchor, envelope: envelope)
  }
}

/// The nodes of a list of URLs.
func endpoints(_ urls: [String]) throws(AgentError) -> [any DWNEndpoint] {
  var result: [any DWNEndpoint] = []
  for url in urls {
    do { result.append(HTTPEndpoint(try EndpointURL(url))) } catch { throw .badArgument("\(error)") }
  }
  return result
}
