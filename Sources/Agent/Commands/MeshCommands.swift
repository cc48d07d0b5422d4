import Control
import DWN
import DWNClient
public import Identity
import Logging
import Mesh
public import Wire

/// The commands as the command line calls them: through the daemon of the state directory if one runs, else by themselves.
public struct MeshCommands: Sendable {
  private let directory: StateDirectory
  private let client: ControlSocketClient
  private let patience: Duration

  /// `patience`: how long a command waits for a node to take what it published, where no daemon does that.
  public init(_ directory: StateDirectory, patience: Duration = .seconds(10)) {
    self.directory = directory
    self.patience = patience
    self.client = ControlSocketClient(directory)
  }

  public func addPeer(_ did: DID, label: String) async throws -> JSONValue {
    try await run(.addPeer(did, label: label))
  }

  public func approvePeer(_ did: DID) async throws -> JSONValue { try await run(.approvePeer(did)) }

  public func removePeer(_ did: DID) async throws -> JSONValue { try await run(.removePeer(did)) }

  public func policy() async throws -> JSONValue { try await run(.policy) }

  public func addRelay(_ request: RelayRequest) async throws -> JSONValue { try await run(.addRelay(request)) }

  public func removeRelay(_ id: UInt16) async throws -> JSONValue { try await run(.removeRelay(id)) }

  /// The relays of the network's records.
  public func relays() async throws -> JSONValue { try await run(.relays) }

  /// The object of `netcheck --json`. Only a running daemon can tell.
  public func netcheck(renewsKey: Bool) throws -> JSONValue {
    try askDaemon(.netcheck(renewsKey: renewsKey), within: .seconds(10))
  }

  /// One ping of a machine: `answered`, and if it is true how.
  public func ping(_ peer: String, within limit: Duration) throws -> JSONValue {
    try askDaemon(.ping(peer, within: limit), within: limit + .seconds(5))
  }

  /// Throws `badArgument` for a label that no node record can have.
  public static func check(label: String) throws(AgentError) {
    guard (1...128).contains(label.count) else { throw .badArgument("a label has 1 to 128 characters") }
  }

  /// The object of `status --json`.
  public func status() async throws -> JSONValue {
    if let answer = try ask(.status) { return answer }
    return try await statusWithoutDaemon().json
  }

  /// The same where there is no state directory.
  public static func status(without path: String) -> JSONValue {
    var status = StatusJSON(now: .now(), wallTime: .now())
    status.missingFolder = path
    return status.json
  }

  /// The network's name and its machines, this one first.
  public func peers() async throws -> (network: String, all: [JSONValue], peers: [JSONValue]) {
    let status = try await status()
    guard let name = status["network"]?.string else { throw AgentError.noNetwork }
    let peers = status["peers"]?.array ?? []
    return (name, (status["self"].map { [$0] } ?? []) + peers, peers)
  }

  public func createNetwork(_ request: UpRequest, identity: MachineIdentity) async throws -> JSONValue {
    try refuseIfRunning()
    let session = try await MeshSession.open(directory, identity)
    defer { session.close() }
    let remote = try endpoints(request.endpoints)
    if !remote.isEmpty {
      try await Preflight.prepare(remote, for: request.envelope, session, acceptsTerms: request.acceptsTerms)
    }
    let network = try await session.createNetwork(
      named: request.create ?? "", cidr: request.cidr, envelope: request.envelope, endpoints: request.endpoints,
      embedsNode: remote.isEmpty)
    var result: JSONObject = [
      "did": .string(identity.did.text), "networkId": .string(network.networkID.text),
      "network": .string(network.name), "meshCIDR": .string(network.meshCIDR),
      "envelope": .string(network.envelope.rawValue),
    ]
    result["meshIP"] = network.meshIP.map { .string($0) }
    result["meshIPv6"] = .string("\(AddressPlan.ipv6(for: identity.did))")
    result["endpoint"] = network.endpoints.first.map { .string($0) }
    let isPublished = remote.isEmpty ? false : try await publish(session, network, remote)
    result["published"] = .bool(isPublished)
    result["steps"] =
      isPublished
      ? [
        "Protocol installed on DWN (with encryption keys).",
        network.envelope == .jwe ? "Key delivery protocol installed." : "Keys of both roles made.",
        "Registered node (encrypted).",
      ]
      : ["Nothing is published yet: that happens at the first 'meshd up'."]
    return .object(result)
  }

  public func joinNetwork(_ request: UpRequest, identity: MachineIdentity) async throws -> JSONValue {
    try refuseIfRunning()
    guard let anchor = request.invite?.anchor ?? request.anchor,
      let id = request.invite?.networkID ?? request.networkID
    else { throw AgentError.noNetwork }
    if let invite = request.invite, invite.hasExpired(at: .now()) {
      throw AgentError.badArgument("this invitation has expired: ask for another one")
    }
    let urls = request.allEndpoints
    let session = try await MeshSession.open(directory, identity)
    defer { session.close() }
    let (network, isAdmitted) = try await session.joinNetwork(
      NetworkID(id), of: anchor, invite: request.invite, urls: urls, endpoints: try endpoints(urls),
      acceptsTerms: request.acceptsTerms)
    var result: JSONObject = [
      "did": .string(identity.did.text), "networkId": .string(id.text), "network": .string(network.name),
      "meshCIDR": .string(network.meshCIDR), "admitted": .bool(isAdmitted),
      "envelope": .string(network.envelope.rawValue), "asked": .bool(request.invite?.token != nil && !isAdmitted),
    ]
    result["meshIP"] = network.meshIP.map { .string($0) }
    return .object(result)
  }

  /// The name of the network that was left; `nil` if there was none.
  ///
  /// - Parameter abandons: also if this machine holds the network.
  public func leaveNetwork(abandons: Bool = false) async throws -> String? {
    try refuseIfRunning()
    guard let lock = try DaemonLock(directory) else { throw directory.heldByAnother }
    defer { withExtendedLifetime(lock) {} }
    let network: NetworkState?
    do {
      guard let found = try directory.loadNetwork() else { return nil }
      network = found
    } catch {
      // Leaving is the way out of a file that cannot be read.
      network = nil
    }
    if let network, !abandons, try network.anchor == directory.loadIdentity()?.did {
      throw AgentError.wouldAbandon(network: network.name)
    }
    try directory.remove(NetworkState.file)
    return network?.name ?? "?"
  }

  // MARK: With and without a daemon

  private func run(_ command: MeshCommand) async throws -> JSONValue {
    if let answer = try ask(command.request, timeout: .seconds(30)) { return answer }
    guard let identity = try directory.loadIdentity(), let network = try directory.loadNetwork() else {
      throw AgentError.noNetwork
    }
    let session = try await MeshSession.open(directory, identity)
    defer { session.close() }
    // Replicas alone have no say in what this machine's own node would take: publishing waits for that.
    let control = try await session.controlPlane(
      network, endpoints: network.embedsNode ? [] : try endpoints(network.endpoints),
      nodePort: network.embedsNode ? try directory.loadSettings().listen.first?.port : nil, logger: Self.quietLogger)
    return try await withControl(control) {
      try await command.run(
        MeshOperations(session: session, network: network, control: control, patience: patience))
    }
  }

  private func publish(
    _ session: MeshSession, _ network: NetworkState, _ remote: [any DWNEndpoint]
  ) async throws -> Bool {
    let control = try await session.controlPlane(network, endpoints: remote, logger: Self.quietLogger)
    return try await withControl(control) {
      try await control.waitUntilPublished(within: patience)
    }
  }

  /// Runs the control plane for as long as the body takes, and lets it end what it has under way.
  private func withControl<R>(_ control: DWNControlPlane, _ body: () async throws -> R) async throws -> R {
    let running = Task { await control.run() }
    let result: Result<R, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    running.cancel()
    await running.value
    return try result.get()
  }

  private func ask(_ request: ControlRequest, timeout: Duration = .seconds(5)) throws(AgentError) -> JSONValue? {
    guard let answer = try client.send(request, timeout: timeout) else { return nil }
    guard answer.status == 200 else {
      throw .daemonAnswers(answer.body["error"]?.string ?? "the daemon answered \(answer.status)")
    }
    return answer.body
  }

  private func askDaemon(_ command: PathCommand, within limit: Duration) throws -> JSONValue {
    guard let answer = try ask(command.request, timeout: limit) else { throw AgentError.daemonNotRunning }
    return answer
  }

  private func refuseIfRunning() throws(AgentError) {
    if try ask(.status) != nil { throw .daemonRunning(directory: directory.path) }
  }

  private func statusWithoutDaemon() async throws -> StatusJSON {
    var status = StatusJSON(now: .now(), wallTime: .now())
    let identity = try directory.loadIdentity()
    status.did = identity?.did
    status.network = try directory.loadNetwork()
    guard let identity, let network = status.network, try directory.has(SQLiteMeshStore.file) else { return status }
    let session: MeshSession
    do {
      session = try await MeshSession.open(directory, identity, decides: false)
    } catch AgentError.daemonRunning, AgentError.busy {
      // A command, or a daemon that is just starting or ending: what the files say is all there is to show.
      return status
    } catch let error where directory.takesNoWrites {
      // Who asks what is wrong is told this, and what the files say.
      status.unreadable = "the verified records cannot be looked at, as nothing can be written here: \(error)"
      return status
    }
    defer { session.close() }
    // Nothing is asked of these: the ledger knows what they have taken.
    let remote = try endpoints(network.foreignEndpoints)
    let control = try await session.controlPlane(network, endpoints: remote, logger: Self.quietLogger)
    status.control = await control.statusAtRest()
    return status
  }

  /// What goes wrong reaches the person as the command's one error, or as what is pending.
  private static let quietLogger = Logger(label: "meshd") { _ in SwiftLogNoOpLogHandler() }
}
