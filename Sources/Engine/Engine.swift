import CLinux
import Cryptography
import DataPath
import Glibc
public import Logging
public import Netmap
import Traversal
import Wire
import WireGuard

/// Moves packets between this machine and its peers, as the last netmap says.
///
/// It has a TUN and UDP sockets from its making until `stop()` or until it is dropped, and leaves no interface, address or
/// route behind, however the process ends. Its actor runs on a thread of its own, which also waits for the data path, the
/// timers and the kernel's network events; packets never wait for it.
public actor Engine {
  /// What it learns by itself. One consumer; the newest are kept if it does not keep up. Ends with the engine.
  public nonisolated let events: AsyncStream<EngineEvent>
  /// The name of the interface, as it was made.
  public nonisolated let interfaceName: String
  /// The UDP port, as it was bound.
  public nonisolated let port: UInt16

  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private nonisolated let loop: ControlLoop
  nonisolated let announce: AsyncStream<EngineEvent>.Continuation
  nonisolated let logger: Logger
  let configuration: EngineConfiguration
  let random = SystemRandom()
  let device: Device
  /// `nil` once stopped.
  var io: EngineIO?
  var netmap: Netmap?
  var peers: [PeerID: PeerState] = [:]
  var routes: Set<IPPrefix> = []
  /// Routes that are wanted and could not be made, and why.
  var refusedRoutes: [IPPrefix: String] = [:]
  var addresses: Set<IPPrefix> = []
  var localEndpoints: [SocketAddress] = []
  /// What other tunnels of this host, and its networks, rule out.
  var hostBounds = HostBounds()
  /// `nil` without a disco key, and once stopped.
  var pathfinding: Pathfinding?
  /// Peers whose disco key came with the netmap that is being adopted.
  var newlyRouted: [X25519PublicKey] = []
  var advertisedKeys = AdvertisedKeys()
  /// All that a gateway maps, as it was told last.
  var gatewayMappings: [PortMapping] = []
  /// What a gateway maps to the engine's own port.
  var mappedEndpoints: [Reach.Endpoint] = []
  /// What a gateway maps to the configuration's ports.
  var mappedPorts: [PortMapping.Port: SocketAddress] = [:]
  var gatewayLink: GatewayLink?
  /// A timer that is so late was asleep (`reach.md` 5 d).
  private static let wakeUp: Duration = .seconds(2)
  /// With relays connected the timer is set for this time at the latest: else a machine that has nothing to do would not notice that it
  /// slept, and that its relays have given it up.
  private static let longestRest: Duration = .seconds(30)
  /// How long changes of the host's network are waited for after the first.
  private static let flock: Duration = .milliseconds(100)
  /// Where routes come and go all the time they are not looked at all the time.
  private static let lookInterval: Duration = .milliseconds(300)
  private var lastLook: Instant?
  private var restsUntil: Instant?
  /// What mattered of the host's network when it was last looked at.
  private var outline: HostNetwork.Outline?
  /// Where what listens here can be reached, on tunnels too, when it was last looked at.
  private var reachable: [IPAddress]?
  /// When the host's addresses are looked at again after a change.
  private var endpointsDueAt: Instant?
  private var hasAnnouncedEndpoints = false
  /// Somebody took it down.
  private var isInterfaceDown = false
  /// What the data path got last.
  var table = ForwardingTable.empty
  /// Peers of whom it is out of date, and whether it is in what concerns all of them.
  var stalePeers: Set<PeerID> = []
  var isPolicyStale = false
  /// What is sealed as soon as the data path has the table.
  var waitingToSeal: [(peer: PeerID, packet: [UInt8])] = []

  /// Opens the device and the sockets, and starts the threads. Nothing is sent before the first netmap.
  ///
  /// - Throws: `EngineError`.
  public init(
    configuration: EngineConfiguration, logger: Logger = Logger(label: "meshd.engine")
  ) async throws {
    try configuration.validate()
    guard PacketCipher.passesSelfTest else { throw EngineError.brokenCipher }
    let loop = try ControlLoop.start()
    do {
      self.init(configuration, loop, try await EngineIO.open(configuration, on: loop), logger)
    } catch {
      loop.end()
      throw error
    }
    try begin()
  }

  private init(
    _ configuration: EngineConfiguration, _ loop: ControlLoop, _ io: sending EngineIO, _ logger: Logger
  ) {
    self.configuration = configuration
    self.loop = loop
    self.logger = logger
    (events, announce) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1024))
    var handshakes = Device.Configuration()
    handshakes.earliestTimestamp = configuration.earliestTimestamp
    device = Device(privateKey: configuration.privateKey, random: random, configuration: handshakes)
    interfaceName = io.tunnel.name
    port = io.sockets.port
    self.io = io
  }

  deinit {
    announce.finish()
    loop.end()
  }

  private func begin() throws(EngineError) {
    guard let io else { return }
    try beginPathfinding(io)
    watch(io.dataPath.doorbell) { $0.collect() }
    watch(io.timer.descriptor) { $0.timerFired() }
    watch(io.changes.descriptor) { $0.hostChanged() }
    lookAtLocalEndpoints()
    settle()
    logger.info(
      "engine is up",
      metadata: ["interface": "\(interfaceName)", "port": "\(port)", "mtu": "\(configuration.mtu)"])
  }

  /// Ends the threads and closes everything: the interface vanishes, and its addresses and routes with it. Again: does nothing.
  public func stop() async {
    guard let io else { return }
    for descriptor in [io.dataPath.doorbell, io.timer.descriptor, io.changes.descriptor] { unwatch(descriptor) }
    self.io = nil
    peers = [:]
    await endPathfinding()
    await endPortMapping()
    io.close()
    announce.finish()
    logger.info("engine has stopped", metadata: ["interface": "\(interfaceName)"])
  }

  /// Makes this the network: peers, keys, routes, addresses, filter. Sessions of peers that stay go on undisturbed.
  ///
  /// - Throws: `EngineError`: `.stopped`, `.foreignNetmap`, `.addressInUse`, with nothing changed; `.system` when the kernel
  ///   refuses an address.
  public func apply(_ netmap: Netmap) async throws {
    try adopt(netmap)
  }

  public func status() async -> EngineStatus {
    let now = Instant.now()
    var drops: [String: UInt64] = [:]
    if let io {
      for reason in DropReason.allCases where io.dataPath.drops(reason) > 0 {
        drops["\(reason)"] = io.dataPath.drops(reason)
      }
    }
    for (reason, count) in pathfinding?.probeDrops ?? [:] { drops["\(reason)", default: 0] += count }
    return EngineStatus(
      interfaceName: interfaceName, port: port, mtu: configuration.mtu, localEndpoints: localEndpoints,
      offloads: io?.dataPath.offloads.names ?? [], dataThreads: io?.dataPath.threads == .onePerDirection ? 2 : 1,
      peers: peers.values.sorted { $0.key < $1.key }.map { peer in
        peer.status(
          device, relay: relayInUse(for: peer.key), latency: pathfinding?.finder.latency(to: peer.key), at: now)
      }, relays: relayStatus, drops: drops, isInterfaceUp: !isInterfaceDown,
      refusedRoutes: refusedRoutes)
  }

  // MARK: What the loop tells

  /// Calls the handler on the engine's thread whenever the descriptor is readable.
  func watch(_ descriptor: CInt, _ handler: @escaping @Sendable (isolated Engine) -> Void) {
    loop.watch(descriptor) { [weak self] in self?.assumeIsolated { handler($0) } }
  }

  func unwatch(_ descriptor: CInt) { loop.unwatch(descriptor) }

  private func collect() {
    guard let io else { return }
    let now = Instant.now()
    let wallTime = WallTime.now()
    io.dataPath.collect { message, backlog in
      switch message {
      case .handshake(_, let source) where isInsideMesh(source),
        .event(.sourceChanged(_, let source)) where isInsideMesh(source):
        // Answering there would send the tunnel through itself.
        break
      case .handshake(_, let source) where PseudoAddress.isPseudo(source.ip):
        // Nobody has such an address.
        break
      case .handshake(let bytes, let source):
        let actions = device.receive(bytes, from: source, backlog: backlog, now: now, wallTime: wallTime)
        noteHandshake(actions, from: source)
        perform(actions)
      case .event(let event):
        // Routers may have said something since it was last sent to.
        if case .dataSent(let id, _) = event { limitToRoute(id) }
        if !tellFinder(event) { perform(device.handle(event, now: now, wallTime: wallTime)) }
      case .disco(let bytes, let source):
        if let pathfinding { perform(pathfinding.finder.receive(bytes, .datagram(from: source), now: now)) }
      case .stun(let bytes, _):
        receiveSTUN(bytes)
      case .notice(let packet, let id):
        takeNotice(packet, from: id, now)
      case .relayed(let packet, let id):
        relay(packet, to: id)
      case .deviceLost(let number):
        let error = EngineError.system("reading from the interface \(interfaceName)", reason: reason(of: number))
        logger.error("the engine lost its interface", metadata: ["reason": "\(error)"])
        announce.yield(.failed(error))
      }
    }
    settle()
  }

  private func timerFired() {
    guard let io else { return }
    let late = io.timer.clear()
    let now = Instant.now()
    let wallTime = WallTime.now()
    if late > Self.wakeUp { networkChanged("woke up after \(late.seconds) s") }
    perform(
      device.advance(now: now, wallTime: wallTime) { [peers] in
        peers[$0]?.memory.observeTraffic() ?? Traffic()
      })
    if let due = restsUntil, due <= now { restsUntil = nil }
    if let due = endpointsDueAt, due <= now {
      endpointsDueAt = nil
      lookAtLocalEndpoints()
    }
    advancePaths(now)
    advancePortMapping(now)
    settle()
  }

  private func hostChanged() {
    // Changes come in flocks: one look after the last of them is enough, and none is put off for ever.
    guard let io, io.changes.drainEvents() else { return }
    if endpointsDueAt == nil {
      endpointsDueAt = max(Instant.now() + Self.flock, (lastLook ?? Instant(nanoseconds: 0)) + Self.lookInterval)
    }
    settle()
  }

  private func isInsideMesh(_ address: SocketAddress) -> Bool {
    netmap?.node.meshPrefixes.contains { $0.contains(address.ip.unmapped) } ?? false
  }

  /// Publishes what changed, sends what waited for that, and sets the timer.
  func settle() {
    flushTable()
    let hasRelay = pathfinding?.standing.connected.isEmpty == false
    restsUntil = hasRelay ? restsUntil ?? Instant.now() + Self.longestRest : nil
    let deadlines = [
      device.nextDeadline, endpointsDueAt, pathfinding?.nextDeadline, gatewayLink?.mapper.deadline, restsUntil,
    ]
    io?.timer.set(deadlines.compactMap { $0 }.min())
  }

  func lookAtLocalEndpoints() {
    guard let io else { return }
    lastLook = Instant.now()
    do {
      let host = try HostNetwork(io.netlink, own: Int(io.tunnel.index))
      let isUp = host.links[Int(io.tunnel.index)]?.isUp ?? false
      if isUp { isInterfaceDown ? restoreInterface(io) : restoreLost(host, io) }
      isInterfaceDown = !isUp
      for route in refusedRoutes.keys where host.ownRoutes.contains(route) {
        // It is there all the same, whoever made it.
        routes.insert(route)
        refusedRoutes[route] = nil
      }
      if !refusedRoutes.isEmpty { setRoutes(routes.union(refusedRoutes.keys), io) }
      limitToRoutes()
      noteReachable(host)
      heed(host.bounds(besides: Int(io.tunnel.index)))
      let found = LocalEndpoints.list(
        host, meshPrefixes: netmap?.node.meshPrefixes ?? [], port: port,
        hasIPv4: io.sockets.ipv4 != nil, hasIPv6: io.sockets.ipv6 != nil)
      if pathfinding != nil {
        localEndpoints = found
        followGateway(host)
        defer { outline = host.outline }
        if let outline, outline != host.outline { networkChanged("addresses or routes are others") }
        return
      }
      guard found != localEndpoints || !hasAnnouncedEndpoints else { return }
      if hasAnnouncedEndpoints { showNewAddress() }
      localEndpoints = found
      hasAnnouncedEndpoints = true
      announce.yield(.reach(Reach(hostAddresses: found)))
    } catch {
      logger.warning("cannot list this host's addresses", metadata: ["reason": "\(error)"])
    }
  }

  private func noteReachable(_ host: HostNetwork) {
    let found = host.reachable(excluding: netmap?.node.meshPrefixes ?? [])
    defer { reachable = found }
    if let reachable, reachable != found { announce.yield(.hostAddressesChanged) }
  }

  /// A peer that only answers would send to the vanished address until its own timers fire: a packet from the new one moves it.
  private func showNewAddress() {
    let now = Instant.now()
    perform(device.peerIDs.filter { device.status(of: $0, now: now)?.state == .established }.map { .sealKeepalive($0) })
  }
}
