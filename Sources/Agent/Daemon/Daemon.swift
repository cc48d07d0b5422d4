import CLinux
import Control
import Cryptography
import DERP
import DWN
import DWNNode
import Engine
import Foundation
public import Identity
public import Logging
import Mesh
import Netmap
import Traversal
import UnixSignals
import Wire

/// The daemon: one network, its records, its engine, and the control socket, from start to end.
///
/// It starts in an order in which a failure leaves nothing half-written: first what can fail for reasons of the machine (lock,
/// database, node port, network device), then the network is made or joined, then everything runs.
public actor Daemon {
  private let directory: StateDirectory
  private let identity: MachineIdentity
  private let logger: Logger
  private let session: MeshSession
  private var network: NetworkState
  private let node: EmbeddedNode?
  private let relay: MeshRelay?
  private var advertising: Advertising
  /// Of the newest netmap; `nil` before there is one.
  private var members: RelayMembers?
  /// Whose records the embedded node keeps.
  private let tenants: TenantList
  private let engine: Engine
  private let control: DWNControlPlane
  private let startedAt = Instant.now()
  private let instanceID = Hex.encode(SystemRandom().bytes(16))
  private let stop: StopSignal
  private var isApplied = false
  /// Whether this start was asked to name other nodes than before.
  private let namesNodes: Bool
  /// The records are about to say something new.
  private var advertisesSoon = false
  private var routingError: String?
  /// Why it ends by itself.
  private var failure: String?
  private var moves = PeerMoves()
  private var clock: ClockMark

  /// Runs a daemon until it is told to stop, by its socket or by SIGINT, SIGTERM or SIGHUP. Throws when it cannot start, or ends because
  /// something failed.
  public static func run(
    directory: StateDirectory, identity: MachineIdentity, request: UpRequest, report: StartupReport, logger: Logger,
    onEvent: @escaping @Sendable (StartupEvent) -> Void
  ) async throws {
    _ = clinux_forbid_dumps()
    SpareMemory.shareArenas()
    // Trapped before anything is set up, so that an early signal ends the daemon in order too.
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let stop = StopSignal()
    let starting = Task { try await Daemon(directory, identity, request, logger, stop) }
    Task {
      for await _ in signals { stop.stop() }
    }
    Task {
      await stop.wait()
      // Whatever a start waits for, such as a node that does not answer, is given up.
      starting.cancel()
    }
    let daemon: Daemon
    do {
      daemon = try await starting.value
    } catch {
      if stop.isStopped {
        report.failed("it was stopped while it was starting")
        return onEvent(.stopped)
      }
      report.failed("\(error)")
      logger.error("cannot start", metadata: ["reason": "\(error)"])
      throw error
    }
    do {
      try await daemon.serve(isCreated: request.create != nil, report, onEvent)
    } catch {
      report.failed("\(error)")
      throw error
    }
    onEvent(.stopped)
  }

  private init(
    _ directory: StateDirectory, _ identity: MachineIdentity, _ request: UpRequest, _ logger: Logger,
    _ stop: StopSignal
  ) async throws {
    let session = try await MeshSession.open(directory, identity, isDaemon: true)
    let existing = try directory.loadNetwork()
    try request.checkAgainst(existing)
    let request = try request.completed(by: existing)
    var settings = try directory.loadSettings().updated(by: request)
    let embedsNode = existing?.embedsNode ?? (request.create != nil && request.endpoints.isEmpty)
    let replicas = try request.replicas(of: existing, embedsNode: embedsNode)
    namesNodes = !request.endpoints.isEmpty || !request.replicas.isEmpty

    let tenants = TenantList(owner: identity.did)
    let files = OpenFiles.raiseLimit()
    let limits = RelayLimits(openFiles: files)
    let relay =
      settings.relay.isOn ?? embedsNode ? try MeshRelay(in: directory, limits: limits, logger: logger) : nil
    let node =
      embedsNode
      ? try await EmbeddedNode.start(
        in: directory, tenants: .kept(tenants), listen: settings.listen, dids: settings.dids,
        // What its log lost the ledger publishes again, and members their own records.
        limits: Self.nodeLimits, accepting: .log, logger: logger
      ) {
        // The other half is the relay's.
        $0.fit(inFiles: files / 2, webSockets: Self.webSockets)
        $0.takeover = relay?.takeover
        // Members come again by themselves, and one that has vanished never says good-bye.
        $0.shutdownGrace = .seconds(1)
      }
      : nil
    var engine: Engine?
    do {
      if let node { relay?.answer(beside: node.listeners) } else { try await relay?.listen(on: settings.relay.listen) }
      let advertising = Advertising(settings, node: node?.listeners ?? [], relay: relay)
      let discoKey = try directory.key(StateDirectory.discoKeyFile, orMaking: SystemRandom())
      var configuration = settings.engine(identity, discoKey: discoKey, request)
      configuration.localRelay = relay?.local
      clock = ClockMark(in: directory, now: .now())
      configuration.earliestTimestamp = clock.latest
      configuration.mappedPorts = advertising.ports
      let made = try await Engine(configuration: configuration, logger: logger)
      engine = made
      if !settings.keep(portInUse: made.port) {
        logger.warning(
          "another program has the UDP port that is kept: until the next start it is another one",
          metadata: ["kept": "\(settings.port)", "port": "\(made.port)"])
      }
      let blocks = Self.meshBlocks(existing)
      let nodeURLs = node.map { _ in
        advertising.nodeURLs(excluding: blocks, former: existing?.ownURLs ?? [], replicas: replicas)
      }
      try request.checkReplicas(besides: advertising.nodeURLs(excluding: blocks))
      let network = try await session.enter(
        request, existing, nodeURLs: nodeURLs, replicas, advertising.relayPlan(excluding: blocks), logger)
      if relay == nil { try await session.withdrawRelay(from: network) }
      try directory.save(settings)
      tenants.replace(with: await session.tenants(of: network))
      let all: [any DWNEndpoint] = node.map { [$0.node] } ?? []
      self.control = try await session.controlPlane(
        network, endpoints: all + (try endpoints(network.foreignEndpoints)),
        nodePort: node?.listeners.first?.port, verifyRelay: { await MemberRelayCheck.passing($0) }, logger: logger)
      self.network = network
      self.engine = made
      self.advertising = advertising
    } catch {
      await engine?.stop()
      await relay?.stop()
      await node?.stop()
      session.close()
      throw error
    }
    self.stop = stop
    self.node = node
    self.relay = relay
    self.tenants = tenants
    self.session = session
    self.directory = directory
    self.identity = identity
    self.logger = logger
  }

  /// Followers of the network's records: a machine needs one.
  private static let webSockets = 10_000

  /// What members of a network with encryption v1 keep on its anchor's node is a definition or two.
  private static let nodeLimits: NodeLimits = {
    var limits = NodeLimits()
    limits.quota = TenantQuota(messages: 300, bytes: 4 << 20)
    limits.bounds.freeDisk = NodeBounds.usualFreeDisk
    return limits
  }()

  private static func meshBlocks(_ network: NetworkState?) -> [IPPrefix] {
    [network.flatMap { IPPrefix($0.meshCIDR) } ?? NetworkRecord.defaultCIDR, AddressPlan.ipv6Block]
  }

  // MARK: Running

  private func serve(
    isCreated: Bool, _ report: StartupReport,
    _ onEvent: @escaping @Sendable (StartupEvent) -> Void
  ) async throws {
    let socket = try await ControlSocketServer(path: directory.socketPath, logger: logger) { [weak self] request in
      await self?.answer(request) ?? .error(503, "the daemon is ending")
    }
    logger.info(
      "meshd is running",
      metadata: ["network": "\(network.name)", "did": "\(identity.did)", "interface": "\(engine.interfaceName)"])
    await advertise()
    let control = control
    let engine = engine
    let stop = stop
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await control.run() }
      group.addTask { await self.applyNetmaps() }
      group.addTask { await self.followEngine() }
      group.addTask { await self.followEndpoints() }
      group.addTask { await self.followRelay() }
      group.addTask { await self.noteTime() }
      group.addTask { [node, session] in
        await SpareMemory.giveBackAtRest {
          session.store.releaseMemory()
          node?.node.releaseMemory()
        }
      }
      group.addTask {
        await self.announceReadiness(isCreated: isCreated, report, onEvent)
        await self.takeLeaveLater()
      }
      await stop.wait()
      onEvent(.stopping)
      group.cancelAll()
      // Ends the streams that the tasks above read.
      await engine.stop()
    }
    await socket.shutdown()
    await relay?.stop()
    await node?.stop()
    session.close()
    logger.info("meshd has stopped")
    if let failure { throw AgentError.failed(failure) }
  }

  private func noteTime() async {
    repeat {
      do { try clock.write(to: directory) } catch {
        logger.warning("the time cannot be noted", metadata: ["reason": "\(error)"])
      }
      repeat {
        do { try await Task.sleep(for: ClockMark.interval) } catch { return }
      } while !clock.note(.now())
    } while true
  }

  private func applyNetmaps() async {
    for await netmap in control.netmaps {
      let members = RelayMembers(of: netmap, in: network.envelope)
      self.members = members
      relay?.admit(members)
      do {
        try await engine.apply(netmap)
        isApplied = true
        routingError = nil
      } catch {
        routingError = "\(error)"
        logger.error("the netmap cannot be applied", metadata: ["reason": "\(error)"])
      }
    }
  }

  /// Keeps what the anchor's record says about where its nodes are, so that the next start finds them.
  private func followEndpoints() async {
    for await urls in control.endpointURLs where urls != network.endpoints {
      network.endpoints = urls
      do { try directory.save(network) } catch {
        logger.warning("the endpoints cannot be kept", metadata: ["reason": "\(error)"])
      }
    }
  }

  /// Lets the records say where node and relay are reached now, where that has changed.
  private func advertise() async {
    let blocks = Self.meshBlocks(network)
    do {
      if node != nil {
        var advertised = network
        let urls = advertising.nodeURLs(excluding: blocks, former: network.ownURLs, replicas: network.replicas)
        try await session.advertise(urls, in: &advertised)
        network.endpoints = advertised.endpoints
      }
      if session.mayRegisterRelays(in: network) {
        if let plan = advertising.relayPlan(excluding: blocks) { try await session.announce(plan, in: network) }
      } else {
        await control.setRelayOffer(advertising.relayOffer(excluding: blocks))
      }
    } catch {
      logger.error("the records cannot say where this machine is reached", metadata: ["reason": "\(error)"])
    }
  }

  /// A gateway maps one port after the other, and addresses come in flocks: the records say it once.
  private func advertiseSoon() {
    guard !advertisesSoon else { return }
    advertisesSoon = true
    Task {
      try? await Task.sleep(for: .milliseconds(250))
      advertisesSoon = false
      if !stop.isStopped { await advertise() }
    }
  }

  /// Whoever comes to the relay and is not known may have been added a moment ago. What the anchor's own daemon knows is never older
  /// than its records.
  private func followRelay() async {
    guard let relay else { return }
    for await _ in relay.members.unknown where node == nil {
      await control.refresh(reason: "somebody unknown is at the relay")
    }
  }

  private func followEngine() async {
    for await event in engine.events {
      switch event {
      case .reach(let reach):
        await control.setReach(reach)
        await advertise()
      case .hostAddressesChanged: advertiseSoon()
      case .handshake(let key): logger.debug("handshake", metadata: ["peer": "\(key)"])
      case .endpointChanged(let key, let address):
        logger.log(
          level: moves.isNews(key, at: .now()) ? .info : .debug, "peer moved",
          metadata: ["peer": "\(key)", "endpoint": "\(address)"])
      case .portMapped(let port, let address):
        advertising.map(port, to: address)
        advertiseSoon()
      case .failed(let error):
        routingError = error.description
        failure = error.description
        logger.critical("the engine failed", metadata: ["reason": "\(error)"])
        stop.stop()
      }
    }
  }

  /// Tells whoever started the daemon what it waits for, until the first netmap is in force.
  private func announceReadiness(
    isCreated: Bool, _ report: StartupReport, _ onEvent: @escaping @Sendable (StartupEvent) -> Void
  ) async {
    var told: String?
    let began = Instant.now()
    var beganWaiting = began
    while !isApplied, !stop.isStopped {
      if let routingError {
        report.failed(routingError)
        failure = routingError
        stop.stop()
        return
      }
      let text = await control.status().pending.first ?? "the network's records"
      if told == nil || text != told, Instant.now() - beganWaiting >= .milliseconds(500) {
        told = text
        beganWaiting = .now()
        report.progress(text)
        onEvent(.waiting(text))
      }
      do { try await Task.sleep(for: StartupPace.pause(after: .now() - began)) } catch { return }
    }
    guard isApplied else { return }
    let warnings = await takeLeave(report, onEvent)
    let result = await startResult(isCreated: isCreated, warnings)
    report.ready(result)
    onEvent(.ready(result))
  }

  /// Tells the nodes that are left where the others are, if this start names others. What cannot be told now is said to whoever asked
  /// for it.
  private func takeLeave(
    _ report: StartupReport, _ onEvent: @escaping @Sendable (StartupEvent) -> Void
  ) async -> [String] {
    guard namesNodes, !network.left.isEmpty else { return [] }
    let progress = Task {
      try await Task.sleep(for: .seconds(2))
      let text = "the nodes that are left"
      report.progress(text)
      onEvent(.waiting(text))
    }
    await takeLeave()
    progress.cancel()
    let warnings = network.leaveWarnings
    for warning in warnings { logger.warning("\(warning)") }
    return warnings
  }

  /// The same for those that are away, as long as they may come back.
  private func takeLeaveLater() async {
    var wait = namesNodes ? Self.leaveInterval : .zero
    while !network.left.isEmpty {
      do { try await Task.sleep(for: wait) } catch { return }
      wait = Self.leaveInterval
      await takeLeave()
    }
  }

  private static let leaveInterval = Duration.seconds(600)

  private func takeLeave() async {
    let left = network.left
    // Whom they send away has to find the records elsewhere.
    guard !left.isEmpty, (try? await control.waitUntilPublished(within: .seconds(10))) == true else { return }
    let told = await session.takeLeave(of: left, in: network, logger: logger)
    network.left.removeAll { told.contains($0) }
    if network.hasLeftLongAgo(at: .now()) { network.left = [] }
    guard network.left != left else { return }
    do { try directory.save(network) } catch {
      logger.warning("what was told is told again at the next start", metadata: ["reason": "\(error)"])
    }
  }

  private func startResult(isCreated: Bool, _ startWarnings: [String]) async -> JSONValue {
    guard case .object(var object) = UpResult.json(fromStatus: await statusJSON().json) else { return .null }
    object["created"] = .bool(isCreated)
    var warnings = startWarnings + [await relayServer()?.addressProblem].compactMap { $0 }
    // What a member could do nothing about is not its to be warned of.
    if network.anchor == identity.did {
      warnings += await MeshOperations(session: session, network: network, control: control).warnings()
    }
    if !warnings.isEmpty { object["warnings"] = .array(warnings.map { .string($0) }) }
    return .object(object)
  }

  // MARK: Control socket

  private func answer(_ request: ControlRequest) async -> ControlResponse {
    switch (request.method, request.path) {
    case ("GET", "/api/v0/status"): return ControlResponse(200, await statusJSON().json)
    case ("GET", "/api/v0/members"):
      guard let members else { return .error(503, "the records are not there yet") }
      return ControlResponse(200, members.json)
    case ("POST", "/api/v0/shutdown"):
      guard request.header(ControlRequest.instanceHeader) == instanceID else {
        return .error(409, "daemon instance does not match")
      }
      logger.info("shutdown requested")
      let stop = stop
      Task {
        // The answer leaves first.
        try? await Task.sleep(for: .milliseconds(50))
        stop.stop()
      }
      return ControlResponse(200, ["status": "shutting down"])
    case ("POST", let path) where path.hasPrefix("/api/v0/commands/"):
      return await command(String(path.dropFirst("/api/v0/commands/".count)), request.body)
    default: return .error(404, "no such request")
    }
  }

  private func command(_ name: String, _ body: [UInt8]) async -> ControlResponse {
    do {
      let arguments = try JSONValue(parsing: body)
      if let command = try MeshCommand(name, arguments) {
        return ControlResponse(200, try await result(of: command))
      }
      if let command = try PathCommand(name, arguments) {
        return ControlResponse(200, try await command.run(pathQuestions()))
      }
      return .error(404, "this daemon does not know the command \"\(name)\": stop it and start the new version")
    } catch {
      return .error(422, "\(error)")
    }
  }

  private func result(of command: MeshCommand) async throws -> JSONValue {
    let result: Result<JSONValue, any Error>
    do {
      result = .success(try await command.run(MeshOperations(session: session, network: network, control: control)))
    } catch {
      result = .failure(error)
    }
    // Whatever came of it, the embedded node has the tenants of the ledger as it is after it.
    if command.changesTenants { tenants.replace(with: await session.tenants(of: network)) }
    return try result.get()
  }

  private func pathQuestions() async -> PathQuestions {
    PathQuestions(engine: engine, control: await control.status(), directory: directory)
  }

  private func statusJSON() async -> StatusJSON {
    var status = StatusJSON(now: .now(), wallTime: .now())
    status.did = identity.did
    status.network = network
    status.control = await control.status()
    status.running = StatusJSON.Running(
      processID: getpid(), instanceID: instanceID, uptime: .now() - startedAt, engine: await engine.status(),
      routingError: routingError, isApplied: isApplied, nodeAddresses: node?.listeners ?? [],
      relayServer: await relayServer())
    return status
  }

  private func relayServer() async -> RelayServerStatus? {
    guard let relay else { return nil }
    return RelayServerStatus(
      listeners: relay.listeners, stunPorts: relay.stunPorts,
      offer: advertising.relayOffer(excluding: Self.meshBlocks(network)),
      recordedAs: await control.relayRecords().relays.first { $0.certSHA256 == relay.certificate }?.id,
      isRecordedHere: session.mayRegisterRelays(in: network))
  }
}
