import CLinux
import Cryptography
import DERP
import Glibc
import Logging
import Netmap
import Traversal
import Wire

/// Checks of the network, and what follows from them: the home relay, and where this machine says that it can be reached.
extension Engine {
  // MARK: When

  /// Begins a check, or remembers that another one is wanted as soon as the running one has ended.
  func beginNetcheck(isFull: Bool) {
    guard let pathfinding else { return }
    guard pathfinding.check.running == nil else {
      pathfinding.check.isWantedAgain = isFull || pathfinding.check.isWantedAgain == true
      return
    }
    let now = Instant.now()
    let isFull =
      isFull || pathfinding.check.last == nil
      || pathfinding.check.lastFullAt.map { now - $0 >= NetworkCheck.fullInterval } ?? true
    if isFull { pathfinding.check.lastFullAt = now }
    pathfinding.check.nextAt = nil
    lookUp(pathfinding.check.names.use(namesOfServers, isFull: isFull, at: now))
    var check = Netcheck(
      probeRegions(), hasIPv4: hostHas(.v4), hasIPv6: hostHas(.v6), previous: isFull ? nil : pathfinding.check.last,
      home: pathfinding.check.homeRelay, at: now)
    let actions = check.advance(at: now, random)
    pathfinding.check.running = check
    perform(actions)
  }

  func hostHas(_ family: IPAddress.Family) -> Bool { localEndpoints.contains { $0.ip.family == family } }

  /// As long as something is sent the NAT's holes and the peers' knowledge of them are kept fresh; else nothing wakes up for that, and
  /// ever more seldom for a second relay to wait at where there is none.
  func keepChecking(_ now: Instant) {
    guard let pathfinding, pathfinding.check.running == nil, isCheckWanted else { return }
    let range = NetworkCheck.interval
    let spread = UInt64((range.upperBound - range.lowerBound).nanoseconds)
    pathfinding.check.plan(
      isActive: pathfinding.finder.isActive, spread: .nanoseconds(Int64(random.uniform(below: spread))), at: now)
  }

  private var isCheckWanted: Bool {
    guard let pathfinding else { return false }
    if isShortOfRelays { return true }
    return pathfinding.finder.isActive
      && (hasWitnesses || pathfinding.check.names.areUnknown || placesToWait(at: .now()).count > 1)
  }

  /// There are relays for a home and a standby, and this machine is not found at two.
  private var isShortOfRelays: Bool {
    guard let pathfinding, (netmap?.relays ?? []).count(where: \.relaysTraffic) > 1 else { return false }
    let places = [pathfinding.check.homeRelay, pathfinding.check.standbyRelay].compactMap { $0 }
    return places.count(where: pathfinding.standing.holds) < 2
  }

  func advanceNetcheck(_ now: Instant) {
    guard let pathfinding else { return }
    if let due = pathfinding.check.announceBy, due <= now { updateReach(now) }
    if let due = pathfinding.check.owedUntil, due <= now { payCalls(now, .overdue) }
    for waiter in pathfinding.check.takeWaiters(dueAt: now) { waiter.resume() }
    if let due = pathfinding.standing.nextDeadline, due <= now {
      pathfinding.standing.advance(at: now)
      updateReach(now)
      keepChecking(now)
    }
    if var check = pathfinding.check.running, let due = check.deadline, due <= now {
      let actions = check.advance(at: now, random)
      pathfinding.check.running = check
      perform(actions)
    }
    if pathfinding.check.running == nil, let due = pathfinding.check.nextAt, due <= now {
      pathfinding.check.nextAt = nil
      if isCheckWanted { beginNetcheck(isFull: false) }
    }
  }

  // MARK: What is asked

  /// Whether anybody besides peers can say where this machine is seen.
  var hasWitnesses: Bool { probeRegions().contains(where: \.hasAddresses) }

  func hasWitnesses(over family: IPAddress.Family) -> Bool {
    probeRegions().contains { $0.nodes.contains { !(family == .v4 ? $0.ipv4 : $0.ipv6).isEmpty } }
  }

  /// The relay of this process is none: what it sees is this machine's own.
  func isLocal(_ relay: Relay) -> Bool {
    guard let local = configuration.localRelay else { return false }
    return relay.certificateSHA256 == local.certificate
  }

  private func probeRegions() -> [ProbeRegion] {
    let relays = netmap?.relays ?? []
    return relays.filter { !isLocal($0) }.map { relay in
      let addresses = IPAddress.Family.allCases.flatMap { family -> [IPAddress] in
        switch relay.way(over: family) {
        case .address(let address): [address]
        case .name: resolved(relay.host, family).filter(relay.admits)
        case .off: []
        }
      }
      var region = region(relay.id, relay.region, addresses, relay.stunPorts.filter { $0 > 0 })
      region.speaksHTTPS = relay.relaysTraffic
      region.isDoubted = pathfinding?.standing.isDoubted(relay.id) == true
      return region
    } + configuredServers.map(\.region)
  }

  /// The servers that only this machine asks, with ids that no relay has.
  var configuredServers: [(server: STUNHost, region: ProbeRegion)] {
    var taken = Set((netmap?.relays ?? []).map(\.id))
    return configuration.stunServers.compactMap { server in
      guard let id = (1...UInt16.max).last(where: { taken.insert($0).inserted }) else { return nil }
      let addresses = IPAddress(server.host).map { [$0] } ?? resolved(server.host, .v4) + resolved(server.host, .v6)
      return (server, region(id, server.host, addresses, [server.port]))
    }
  }

  private func region(_ id: UInt16, _ name: String, _ addresses: [IPAddress], _ ports: [UInt16]) -> ProbeRegion {
    func sockets(_ family: IPAddress.Family) -> [SocketAddress] {
      guard let ip = addresses.first(where: { $0.family == family }) else { return [] }
      return ports.prefix(2).map { SocketAddress(ip, port: $0) }
    }
    return ProbeRegion(
      id: id, nodes: [.init(name: name, ipv4: sockets(.v4), ipv6: sockets(.v6))], speaksHTTPS: false)
  }

  private func resolved(_ host: String, _ family: IPAddress.Family) -> [IPAddress] {
    pathfinding?.check.names.addresses(of: host).filter { $0.family == family } ?? []
  }

  /// Names that have to be asked for before their servers can be.
  private var namesOfServers: [String] {
    let relays = (netmap?.relays ?? []).filter { !isLocal($0) && $0.stunPorts.contains { $0 > 0 } }
    let named = relays.filter { relay in IPAddress.Family.allCases.contains { relay.way(over: $0) == .name } }
    return named.map(\.host) + configuration.stunServers.map(\.host).filter { IPAddress($0) == nil }
  }

  private func lookUp(_ names: [String]) {
    for name in names {
      let didStart = onDetachedThread { [weak self] in
        let found = HostLookup.addresses(of: name)
        Task { await self?.resolved(name, to: found) }
      }
      if !didStart { resolved(name, to: []) }
    }
  }

  /// What changed is worth another check.
  private func resolved(_ name: String, to addresses: [IPAddress]) {
    guard let pathfinding else { return }
    let isNews = pathfinding.check.names.take(addresses, for: name, at: .now())
    lookUp(pathfinding.check.names.next(at: .now()))
    guard isNews else { return }
    beginNetcheck(isFull: true)
    settle()
  }

  // MARK: What comes

  func perform(_ actions: [Netcheck.Action]) {
    for action in actions {
      switch action {
      case .send(let request, let address): io?.sockets.send(request, to: address)
      case .sendFromElsewhere(let request, let address): UDPSockets.sendOnce(request, to: address)
      case .measureOverHTTPS(let ids): measureOverHTTPS(ids)
      case .finished(let report): finishNetcheck(report)
      }
    }
  }

  /// A datagram that looks like STUN.
  func receiveSTUN(_ datagram: [UInt8]) {
    let now = Instant.now()
    guard let pathfinding, var check = pathfinding.check.running,
      let actions = check.receive(datagram, at: now, random)
    else { return }
    pathfinding.check.running = check
    let found = check.addressesSoFar
    if !found.isEmpty, pathfinding.check.owedUntil != nil {
      // Peers wait for this; the rest of the check may take its time.
      pathfinding.check.seen.note(found, at: now)
      payCalls(now)
    }
    perform(actions)
  }

  private func measureOverHTTPS(_ ids: [UInt16]) {
    let relays = Dictionary((netmap?.relays ?? []).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    for id in ids {
      guard let relay = relays[id], relay.relaysTraffic else {
        measured(id, nil)
        continue
      }
      Task { [weak self] in
        do {
          await self?.measured(id, try await RelayLatency.measure(relay))
        } catch {
          await self?.measured(id, nil, trouble: (error as? DERPError)?.description)
        }
      }
    }
  }

  private func measured(_ id: UInt16, _ latency: Duration?, trouble: String? = nil) {
    guard let pathfinding, var check = pathfinding.check.running else { return }
    let actions = check.measured(id, latency)
    pathfinding.check.running = check
    if pathfinding.standing.asked(id, answers: latency != nil, trouble, at: .now()) {
      pathfinding.relayOrders.yield(.isBack(id))
    }
    perform(actions)
    settle()
  }

  private func finishNetcheck(_ report: NetcheckReport) {
    guard let pathfinding else { return }
    let now = Instant.now()
    let isFoundOut = pathfinding.check.take(report, at: now)
    if let seen = report.globalIPv4 { sighted(at: seen) }
    chooseHome(report, now)
    payCalls(now, isFoundOut ? .foundOut : .overdue)
    updateReach(now)
    logger.debug(
      "the network is checked",
      metadata: [
        "ipv4": "\(report.globalIPv4?.description ?? "none")", "ipv6": "\(report.globalIPv6?.description ?? "none")",
        "mapping": "\(report.mapping?.rawValue ?? "unknown")", "home": "\(pathfinding.check.homeRelay ?? 0)",
      ])
    if let isFull = pathfinding.check.isWantedAgain {
      pathfinding.check.isWantedAgain = nil
      beginNetcheck(isFull: isFull)
      return
    }
    for waiter in pathfinding.check.takeWaiters() { waiter.resume() }
    keepChecking(now)
  }

  /// A pong says where its peer sees this machine: what came to a socket for guesses says nothing of the engine's own port.
  func noteObserved(_ address: SocketAddress, by key: X25519PublicKey) {
    let now = Instant.now()
    guard let pathfinding, pathfinding.answering == nil, !localEndpoints.contains(address),
      pathfinding.check.note(address, by: key, at: now)
    else { return }
    sighted(at: address)
    updateReach(now)
  }

  // MARK: Relays

  private func chooseHome(_ report: NetcheckReport, _ now: Instant) {
    guard let pathfinding else { return }
    let relays = netmap?.relays ?? []
    let places = placesToWait(at: now)
    var report = report
    report.latencies = report.latencies.filter { places.contains($0.key) }
    var circumstances = HomeRelay.Circumstances()
    for id in pathfinding.standing.connected { circumstances.heard[id] = now }
    if let local = relays.first(where: { isLocal($0) && $0.relaysTraffic }) {
      report.latencies[local.id] = NetcheckReport.Latency(https: .zero)
      circumstances.forced = local.id
    }
    pathfinding.check.home.take(report, at: now, circumstances)
    setHome(pathfinding.check.home.home, standby: pathfinding.check.home.standby)
  }

  /// Without a measurement the former home stays, else it is the first relay: whoever looks for this machine tries that one too.
  func setHome(_ measured: UInt16?, standby: UInt16?) {
    guard let pathfinding else { return }
    let usable = placesToWait(at: .now())
    let former = pathfinding.check.homeRelay.flatMap { usable.contains($0) ? $0 : nil }
    let local = netmap?.relays.first { isLocal($0) && $0.relaysTraffic }?.id
    let home = measured.flatMap { usable.contains($0) ? $0 : nil } ?? former ?? local ?? usable.min()
    let standby = standby.flatMap { usable.contains($0) && $0 != home ? $0 : nil }
    guard home != pathfinding.check.homeRelay || standby != pathfinding.check.standbyRelay else { return }
    (pathfinding.check.homeRelay, pathfinding.check.standbyRelay) = (home, standby)
    pathfinding.relayOrders.yield(.home(home, standby: standby))
  }

  // MARK: Where this machine is

  /// Asked for by the finder: peers wait to be told.
  func refreshOwnEndpoints() {
    guard let pathfinding else { return }
    let now = Instant.now()
    guard hasWitnesses else { return payCalls(now) }
    pathfinding.check.owedUntil = pathfinding.check.owedUntil ?? now + NetworkCheck.callPatience
    if let running = pathfinding.check.running {
      guard !running.addressesSoFar.isEmpty else { return }
      // What it saw then may be over. What the next one sees is told as news.
      if now - running.startedAt > .seconds(1) {
        pathfinding.check.isWantedAgain = pathfinding.check.isWantedAgain ?? false
      }
      pathfinding.check.seen.note(running.addressesSoFar, at: now)
      payCalls(now)
    } else {
      beginNetcheck(isFull: false)
    }
  }

  /// Tells the finder where this machine is, as far as that is known.
  func payCalls(_ now: Instant, _ source: OwnEndpointsSource = .foundOut) {
    guard let pathfinding else { return }
    pathfinding.check.owedUntil = nil
    perform(pathfinding.finder.setOwnEndpoints(reach(now).addresses, source, now: now))
  }

  /// Tells what is new about how this machine is reached. The first time it waits for the first check, or two seconds.
  func updateReach(_ now: Instant) {
    guard let pathfinding else { return }
    if let due = pathfinding.check.announceBy {
      guard pathfinding.check.last != nil || due <= now else { return }
      pathfinding.check.announceBy = nil
    }
    let reach = reach(now)
    pathfinding.finder.setOwnMapping(reach.natMapping, hasMappedPort: !mappedEndpoints.isEmpty)
    guard reach != pathfinding.check.told else { return }
    let isElsewhere = reach.endpoints != pathfinding.check.told?.endpoints
    pathfinding.check.told = reach
    announce.yield(.reach(reach))
    if isElsewhere { perform(pathfinding.finder.setOwnEndpoints(reach.addresses, .noted, now: now)) }
  }

  private func reach(_ now: Instant) -> Reach {
    guard let check = pathfinding?.check else { return Reach(hostAddresses: localEndpoints) }
    let endpoints = OwnEndpoints.list(
      mapped: mappedEndpoints, seen: check.addresses(at: now), host: localEndpoints,
      hygiene: hygiene)
    // Whoever reads that this machine waits at a relay shall find it there.
    let places = [check.homeRelay, check.standbyRelay].compactMap { $0 }.filter {
      pathfinding?.standing.holds($0) == true
    }
    return Reach(
      endpoints: endpoints, natMapping: check.natMapping, discoKey: pathfinding?.discoKey.publicKey,
      homeRelay: places.first, standbyRelay: places.dropFirst().first)
  }
}
