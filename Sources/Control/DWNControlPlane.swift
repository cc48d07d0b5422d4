public import DWN
public import Identity
public import Logging
public import Mesh
public import Netmap
public import Wire

/// The control plane of a mesh whose records lie on nodes of the DWN kind: it watches them, believes what `MeshReader` accepts,
/// tells the engine by netmaps, and publishes what this machine has to say.
///
/// A netmap is there as soon as the control plane is made, from the verified store, also when no node answers. Nothing that a node
/// shows adds to one; nodes withhold and freeze, at worst.
public actor DWNControlPlane: ControlPlane {
  /// What stays the same while a control plane works.
  public struct Configuration: Sendable {
    public var network: NetworkReference
    public var identity: MachineIdentity
    /// Nodes that have the anchor's tenant, best first; the embedded one before all others. Everything is published to all of
    /// them. A member polls the first that answers, the anchor polls all.
    public var endpoints: [any DWNEndpoint]
    /// What this machine tells the others of itself.
    public var nodeInfo: NodeInfoRecord

    public init(
      network: NetworkReference, identity: MachineIdentity, endpoints: [any DWNEndpoint], nodeInfo: NodeInfoRecord
    ) {
      self.network = network
      self.identity = identity
      self.endpoints = endpoints
      self.nodeInfo = nodeInfo
    }
  }

  /// What a control plane does side by side. Each has one deadline at a time, and can be woken before it.
  enum Job: Hashable, Sendable {
    /// Reading from one endpoint.
    case fetch(Int)
    /// Publishing to one endpoint.
    case publish(Int)
    /// What follows from the passing of time: expiries, own records, and what the anchor has to renew.
    case upkeep
  }

  public nonisolated let netmaps: AsyncStream<Netmap>

  nonisolated let configuration: Configuration
  nonisolated let keeper: LedgerKeeper
  nonisolated let clock: any ControlClock
  nonisolated let random: any RandomSource
  nonisolated let logger: Logger
  private nonisolated let netmapSink: AsyncStream<Netmap>.Continuation
  private nonisolated let wakeups: [Job: Wakeup]

  // Reading
  var reader: MeshReader
  var plans: [PollPlan]
  var choice: EndpointChoice
  /// By which right records are read: that of a node, or of a member.
  var role: ProtocolPath = MeshProtocol.node
  private(set) var view: MeshView?
  /// The newest of `netmaps`.
  private(set) var lastNetmap: Netmap?

  // Writing
  var lines: [PublicationLine]
  var publication: PublicationSchedule
  var localAddresses: [SocketAddress]?

  // What is told
  var snapshot = ControlStatus.Snapshot()
  var saveError: String?
  var upkeepError: String?
  var upkeepRetry: Instant?
  /// When upkeep was last done; `nil`: it is due.
  var upkeepAt: Instant?

  nonisolated var network: NetworkReference { configuration.network }
  nonisolated var isAnchor: Bool { configuration.identity.did == network.anchor }

  /// Begins with what was stored: the first netmap comes from there. `keeper` holds the ledger over the same store.
  public init(
    _ configuration: Configuration, stored: StoredNetwork, keeper: LedgerKeeper,
    clock: any ControlClock = SystemClock(),
    random: any RandomSource = SystemRandom(), logger: Logger
  ) async {
    self.configuration = configuration
    self.keeper = keeper
    self.clock = clock
    self.random = random
    self.logger = logger
    (netmaps, netmapSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    let now = clock.now()
    let count = configuration.endpoints.count
    let isAnchor = configuration.identity.did == configuration.network.anchor
    reader = MeshReader(network: configuration.network, identity: configuration.identity, stored: stored)
    plans = (0..<count).map { PollPlan(startedAt: now, isStandby: !isAnchor && $0 > 0) }
    choice = EndpointChoice(count: count)
    lines = Array(repeating: PublicationLine(), count: count)
    publication = PublicationSchedule(now: now)
    let jobs = (0..<count).flatMap { [Job.fetch($0), .publish($0)] } + [.upkeep]
    wakeups = Dictionary(uniqueKeysWithValues: jobs.map { ($0, Wakeup()) })
    translate()
    // Without heads to say so, the ledger says that what the anchor wrote is all there is.
    await take(
      await keeper.ledger.entries(of: network.id), isAnchor && !network.envelope.hasHeads ? .complete : .partial)
    await keeper.listen { [weak self] change in await self?.took(change) }
  }

  // MARK: - Work

  /// Works until the task is cancelled. To be called once.
  public func run() async {
    await withTaskGroup(of: Void.self) { group in
      for job in jobs {
        group.addTask { await self.repeatedly(job) }
      }
      for index in configuration.endpoints.indices {
        group.addTask { await self.followHints(from: index) }
      }
      await group.waitForAll()
    }
    netmapSink.finish()
  }

  nonisolated var jobs: [Job] { Array(wakeups.keys) }

  private nonisolated func repeatedly(_ job: Job) async {
    while !Task.isCancelled {
      let deadline = await deadline(of: job)
      if let deadline, deadline <= clock.now() {
        await perform(job)
      } else {
        await wakeups[job]?.wait(until: deadline, on: clock)
      }
    }
  }

  private nonisolated func followHints(from index: Int) async {
    for await hint in configuration.endpoints[index].changes(tenant: network.anchor) {
      await follow(hint, from: index)
    }
  }

  /// When a job has to be performed; `nil`: not before it is woken.
  func deadline(of job: Job) async -> Instant? {
    switch job {
    case .fetch(let index): plans[index].deadline
    case .publish(let index): lines[index].deadline
    case .upkeep: await upkeepDeadline()
    }
  }

  func perform(_ job: Job) async {
    switch job {
    case .fetch(let index): await fetch(index)
    case .publish(let index): await publish(to: index)
    case .upkeep: await upkeep()
    }
  }

  /// Ends a job's wait, so that its deadline is looked at again.
  nonisolated func wake(_ job: Job) { wakeups[job]?.signal() }

  // MARK: - What others tell

  public func setLocalEndpoints(_ addresses: [SocketAddress]) {
    guard addresses != localAddresses else { return }
    if let before = localAddresses, Set(before.map(\.ip)) != Set(addresses.map(\.ip)) {
      for endpoint in configuration.endpoints { endpoint.hostAddressesChanged() }
    }
    localAddresses = addresses
    publication.changed(at: clock.now())
    wake(.upkeep)
  }

  public func refresh(reason: String) {
    logger.debug("asking at once", metadata: ["reason": "\(reason)"])
    let now = clock.now()
    for index in plans.indices {
      plans[index].hinted(.complete, at: now)
      wake(.fetch(index))
      resume(publishingTo: index)
    }
  }

  private func follow(_ hint: ChangeHint, from index: Int) {
    guard hint.protocolURI == MeshProtocol.uri || hint.protocolURI == KeyDeliveryProtocol.uri else { return }
    // What nodes write of themselves, and keys, come with a poll; all else is worth a look at everything, except for the anchor,
    // who wrote it.
    let isPartial = isAnchor || hint.path.map { MeshProtocol.nodePaths.contains($0.parent ?? $0) } ?? false
    plans[index].hinted(isPartial ? .recent : .complete, at: clock.now())
    wake(.fetch(index))
  }

  /// The ledger has something new: it counts here at once, and goes out at once.
  private func took(_ change: LedgerChange) async {
    let ours = change.messages.filter { $0.network == nil || $0.network == network.id }
    guard !ours.isEmpty else { return }
    // What is signed for this machine's own tenant is none of the network's records.
    await take(ours.filter { $0.tenant == network.anchor }.map(\.entry), .partial)
    if isAnchor, reader.mismatch != nil {
      // Something was taken out of the ledger: what is left is all there is.
      await take(await keeper.ledger.entries(of: network.id), .complete)
    }
    for index in lines.indices { resume(publishingTo: index) }
    wake(.upkeep)
  }

  // MARK: - Netmap

  /// Makes the view and the netmap anew, and tells the engine if the netmap is another one.
  func translate() {
    view = reader.view(at: clock.wallTime())
    guard let view else { return }
    if let netmap = NetmapTranslator.netmap(of: view) {
      emit(netmap)
    } else if var last = lastNetmap {
      // This machine is no live node any more: nobody is its peer, and nothing may enter.
      last.peers = []
      last.relays = []
      last.filter = .denyAll
      emit(last)
    }
  }

  private func emit(_ netmap: Netmap) {
    guard netmap != lastNetmap else { return }
    lastNetmap = netmap
    snapshot.generation += 1
    netmapSink.yield(netmap)
  }
}
