import DWN
import Logging
import Mesh
import Netmap
import Wire

/// What follows from the passing of time, whatever nodes do: expiries, this machine's own records, and the anchor's heads and
/// deliveries.
extension DWNControlPlane {
  /// Longest wait between two looks at the civil clock, which may be set at any time.
  private static let clockCheck: Duration = .seconds(30)
  /// How long to wait after something could not be done.
  private static let retryInterval: Duration = .seconds(5)

  func upkeep() async {
    let wall = clock.wallTime()
    if let expiry = view?.nextExpiry, expiry <= wall { translate() }
    do {
      if isAnchor { try await renew(at: wall) } else { try await installDefinition(at: wall) }
      try await publishOwnRecords()
      upkeepRetry = nil
      upkeepError = nil
    } catch {
      upkeepRetry = clock.now() + Self.retryInterval
      if upkeepError != "\(error)" { logger.error("cannot write", metadata: ["error": "\(error)"]) }
      upkeepError = "\(error)"
    }
    upkeepAt = clock.now()
    if !network.envelope.hasHeads, !isAnchor, !plans[choice.preferred].isFollowed {
      // Nothing else tells of what is no longer there.
      plans[choice.preferred].hinted(.complete, at: clock.now())
      wake(.fetch(choice.preferred))
    }
  }

  /// When `upkeep` has something to do.
  func upkeepDeadline() async -> Instant {
    let now = clock.now()
    guard let upkeepAt else { return now }
    if let upkeepRetry { return upkeepRetry }
    let wall = clock.wallTime()
    var deadline = upkeepAt + Self.clockCheck
    func include(_ time: WallTime?) {
      guard let time else { return }
      deadline = min(deadline, now + max(.zero, time - wall))
    }
    include(view?.nextExpiry)
    if isAnchor { include(await keeper.ledger.headDue) }
    // Once it was time, the schedule below says when.
    if let renewal, renewal > upkeepAt, canPublish { deadline = min(deadline, renewal) }
    if let due = publication.deadline(at: now), canPublish { deadline = min(deadline, max(due, firstWrite ?? due)) }
    return deadline
  }

  /// In a network with encryption v1 a member installs the mesh protocol on its own tenant: keys are encrypted to it as it says there.
  private func installDefinition(at wall: WallTime) async throws {
    guard network.envelope == .v1 else { return }
    try await keeper.perform { try $0.install(.v1, now: wall) }
  }

  /// Heads that are due, keys that somebody lacks or whose time is over, and keys that were replaced.
  private func renew(at wall: WallTime) async throws {
    let (network, random) = (network.id, random)
    try await keeper.perform { try $0.removeExpired(from: network, now: wall, random: random) }
    try await keeper.perform { try $0.deliverMissingKeys(in: network, now: wall, random: random) }
    try await keeper.perform { try $0.retireAudiences(in: network, now: wall, random: random) }
    try await keeper.perform { try $0.writeDueHeads(now: wall) }
  }

  // MARK: - This machine's own records

  /// Whether own records can be written: this machine is a live node, and holds the key that they need.
  private var canPublish: Bool { view?.own != nil && reader.cipher != nil }

  /// Writes nodeInfo and endpoint where what is there says something else than what is so.
  private func publishOwnRecords() async throws {
    guard let own = view?.own, let cipher = reader.cipher else { return }
    planRenewal(below: own)
    if own.info != configuration.nodeInfo || mustRenew(MeshProtocol.nodeInfo(under: own.path), below: own) {
      try await publish(.nodeInfo(configuration.nodeInfo), below: own, cipher)
    }
    guard let said = ownEndpoint, !said.isEmpty else {
      // The endpoint cannot be renewed: what begins later has a time of its own again.
      if let renewal, renewal <= clock.now() { self.renewal = nil }
      return publication.settled()
    }
    guard let urgency = urgency(of: said, below: own) else { return publication.settled() }
    let now = clock.now()
    // A node record without an endpoint record is waited for by others; a change may be one of several.
    publication.differs(urgency, at: now)
    if let firstWrite, firstWrite > now { return }
    guard publication.take(at: now) else { return }
    try await publish(.endpoint(said.record(updatedAt: clock.wallTime())), below: own, cipher)
  }

  /// What the endpoint record has to say. `nil` while that is not known.
  private var ownEndpoint: OwnEndpoint? {
    guard let reach, let record = view?.record else { return nil }
    return OwnEndpoint(
      reach, relay: relayOffer, meshPrefixes: NetmapTranslator.meshPrefixes(of: record), envelope: network.envelope)
  }

  /// How soon the endpoint record has to be written; `nil`: what is there says what is so.
  private func urgency(of said: OwnEndpoint, below own: MeshView.Node) -> PublicationSchedule.Urgency? {
    guard let there = own.endpoint, !isStale(there), !mustRenew(MeshProtocol.endpoint(under: own.path), below: own)
    else { return .soon }
    switch said.difference(from: OwnEndpoint(there)) {
    case .none: return nil
    case .stunPorts: return reach?.homeRelay == nil ? .soon : .calm
    case .more: return .soon
    }
  }

  /// The first write of a run waits until the network was checked, so that it does not take back what the run before had found out;
  /// no longer than this. `nil`: there is nothing to wait for.
  private var firstWrite: Instant? {
    guard let reach, let relaysSince, reach.discoKey != nil, reach.natMapping == nil, reach.homeRelay == nil,
      lastNetmap?.relays.isEmpty == false
    else { return nil }
    return relaysSince + Self.checkPatience
  }

  private static let checkPatience: Duration = .seconds(2)

  /// Programs that speak encryption v1 take a machine for offline five minutes after it wrote where it is.
  private func isStale(_ endpoint: EndpointRecord) -> Bool {
    network.envelope == .v1 && clock.wallTime() - endpoint.updatedAt >= Self.endpointRefresh
  }

  private static let endpointRefresh: Duration = .seconds(240)

  /// Own records of an epoch that is long over are written anew after a random time: a new epoch begins for all machines at once. With
  /// encryption v1 somebody cannot read them already.
  private func planRenewal(below own: MeshView.Node) {
    let paths = [MeshProtocol.nodeInfo(under: own.path), MeshProtocol.endpoint(under: own.path)]
    guard !paths.allSatisfy({ isCurrent($0, below: own) }) else {
      renewal = nil
      return
    }
    renewal = renewal ?? clock.now() + (network.envelope.hasHeads ? Self.renewalSpread * jitter : .zero)
  }

  private static let renewalSpread: Duration = .seconds(60)

  /// Whether an own record is one of those, and it is time.
  private func mustRenew(_ path: ProtocolPath?, below own: MeshView.Node) -> Bool {
    guard let renewal, renewal <= clock.now() else { return false }
    return !isCurrent(path, below: own)
  }

  private func isCurrent(_ path: ProtocolPath?, below own: MeshView.Node) -> Bool {
    path.map { reader.isCurrent($0, below: own.contextID) } ?? true
  }

  private func publish(
    _ record: OwnRecord, below own: MeshView.Node, _ cipher: any RecordCipher, above shown: WallTime? = nil
  ) async throws {
    let (network, wall, random) = (network, clock.wallTime(), random)
    try await keeper.perform {
      try $0.publish(record, below: own, in: network, cipher: cipher, above: shown, now: wall, random: random)
    }
  }

  /// A node shows a record of this machine that its ledger does not know: it is written anew, stamped above that.
  func writeAnew(_ message: AuthoredMessage, above shown: WallTime) async {
    guard let own = view?.own, let cipher = reader.cipher, let path = message.write?.path else { return }
    do {
      if path == MeshProtocol.nodeInfo(under: own.path) {
        try await publish(.nodeInfo(configuration.nodeInfo), below: own, cipher, above: shown)
      } else if path == MeshProtocol.endpoint(under: own.path), let endpoint = own.endpoint {
        try await publish(.endpoint(endpoint), below: own, cipher, above: shown)
      }
    } catch {
      logger.error("cannot write own record anew", metadata: ["path": "\(path)", "error": "\(error)"])
    }
  }

  /// Own records that an endpoint took: a fetch that begins now has to show them. One that it refused is offered again with each such
  /// fetch: it may have been its fault.
  func ownRecords(doneAt index: Int) async -> [AuthoredMessage] {
    guard let own = view?.own else { return [] }
    let name = endpoints[index].name
    var result: [AuthoredMessage] = []
    for path in [MeshProtocol.nodeInfo(under: own.path), MeshProtocol.endpoint(under: own.path)].compactMap({ $0 }) {
      guard let message = await keeper.ledger.newest(at: path, below: own.contextID),
        await keeper.state(of: message, at: name) != .pending
      else { continue }
      result.append(message)
    }
    return result
  }

  /// Publishes again what a fetch should have shown and did not.
  func republish(_ expected: [AuthoredMessage], unlessIn shown: [ReplyEntry], at index: Int) async {
    let lacking = expected.filter { message in !shown.contains { $0.message == message.signed.message.value } }
    guard !lacking.isEmpty else { return }
    await keeper.reopen(lacking, at: endpoints[index].name)
    resume(publishingTo: index)
  }
}
