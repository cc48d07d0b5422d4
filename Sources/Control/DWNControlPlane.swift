public import DWN
public import DWNClient
public import Identity
public import Logging
public import Mesh
public import Netmap
import Synchronization
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
    /// them. A member follows the first that answers, the anchor follows all.
    public var endpoints: [any DWNEndpoint]
    /// What this machine tells the others of itself.
    public var nodeInfo: NodeInfoRecord
    /// Makes an endpoint of a URL that the network's record names. `nil`: the endpoints above are all there are.
    public var dial: (@Sendable (EndpointURL) -> any DWNEndpoint)?
    /// The port at which this machine's own node listens, if it has one. The anchor admits every machine of the mesh to it.
    public var nodePort: UInt16?
    /// The part of a relay that a member offers that works: a handshake pinned to its certificate, with a global address of it, came to
    /// its end. It answers in bounded time. The anchor then tells the mesh of that part. Without this function it tells of no relay.
    public var verifyRelay: (@Sendable (RelayOffer) async -> RelayOffer?)?

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
    /// Being told by one endpoint.
    case follow(Int, LiveTopic)
    /// What follows from the passing of time: expiries, own records, and what the anchor has to renew.
    case upkeep
    /// The anchor's: trying the relays of members.
    case relays

    /// The one that it is about.
    var endpoint: Int? {
      switch self {
      case .fetch(let index), .publish(let index), .follow(let index, _): index
      case .upkeep, .relays: nil
      }
    }
  }

  public nonisolated let netmaps: AsyncStream<Netmap>
  /// The URLs of the endpoints in use, best first, whenever they become others: to be kept for the next start. For one reader.
  public nonisolated let endpointURLs: AsyncStream<[String]>

  nonisolated let configuration: Configuration
  nonisolated let keeper: LedgerKeeper
  nonisolated let clock: any ControlClock
  nonisolated let random: any RandomSource
  nonisolated let logger: Logger
  private nonisolated let netmapSink: AsyncStream<Netmap>.Continuation
  nonisolated let endpointSink: AsyncStream<[String]>.Continuation
  private nonisolated let wakeups = Mutex<[Job: Wakeup]>([:])
  private nonisolated let newJobs: AsyncStream<Job>
  private nonisolated let jobSink: AsyncStream<Job>.Continuation

  /// A place here is that of an endpoint in everything that is kept by index. It goes to another one only when nothing of the former is
  /// under way.
  private(set) var endpoints: [any DWNEndpoint] = []
  /// What is being done right now.
  private(set) var underWay: Set<Job> = []
  /// The newest of `endpointURLs`.
  var told: [String] = []

  // Reading
  var reader: MeshReader
  var plans: [PollPlan] = []
  var choice: EndpointChoice
  /// Endpoints that the network's record has named since the start.
  var namedOnce: Set<String> = []
  /// The endpoint that is tried last.
  var meshEndpoint: MeshEndpoint?
  var live: [LiveLines] = []
  /// The subscriptions that are open.
  var sources: [Job: any SubscriptionSource] = [:]
  /// Rises with everything that is taken: what was asked for before that may have been overtaken.
  var taken: UInt64 = 0
  /// By which right records are read, by the names of endpoints: that of a node, or of a member.
  var roles: [String: ProtocolPath] = [:]
  private(set) var view: MeshView?
  /// The newest of `netmaps`.
  private(set) var lastNetmap: Netmap?
  /// Since when the engine knows relays, and so whom to ask where this machine is.
  private(set) var relaysSince: Instant?

  // Writing
  var lines: [PublicationLine] = []
  var publication: PublicationSchedule
  /// When own records that are not current are written anew; `nil`: they are.
  var renewal: Instant?
  var reach: Reach?
  /// The relay that this machine runs for the mesh.
  var relayOffer: RelayOffer?

  // What is told
  /// Of the endpoints by index that did not answer when they were last asked.
  var readTroubles: [Int: EndpointTrouble] = [:]
  /// Whether each endpoint answers.
  var silences: [EndpointSilence] = []
  var snapshot = ControlStatus.Snapshot()
  var saveError: String?
  var upkeepError: String?
  var upkeepRetry: Instant?
  /// When upkeep was last done; `nil`: it is due.
  var upkeepAt: Instant?
  var memberRelays = MemberRelays()
  /// By the index of an endpoint: the machines whose definitions it is asked for.
  var definitionTurns: [Int: AskingTurn] = [:]

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
    (endpointURLs, endpointSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    (newJobs, jobSink) = AsyncStream.makeStream()
    reader = MeshReader(network: configuration.network, identity: configuration.identity, stored: stored)
    choice = EndpointChoice(count: 0)
    publication = PublicationSchedule(now: clock.now())
    begin(.upkeep)
    if tendsRelays { begin(.relays) }
    for endpoint in configuration.endpoints { add(endpoint, at: endpoints.count, cursors: stored.cursors) }
    translate()
    // Without heads to say so, the ledger says that what the anchor wrote is all there is.
    await take(
      await keeper.ledger.entries(of: network.id), isAnchor && !network.envelope.hasHeads ? .complete : .partial)
    await keeper.listen { [weak self] change in await self?.took(change) }
  }

  // MARK: - Work

  /// Works until the task is cancelled. To be called once.
  public func run() async {
    await withDiscardingTaskGroup { group in
      for await job in newJobs {
        group.addTask { await self.repeatedly(job) }
      }
    }
    netmapSink.finish()
    endpointSink.finish()
  }

  private func begin(_ job: Job) {
    wakeups.withLock { $0[job] = Wakeup() }
    jobSink.yield(job)
  }

  /// Takes up work with one more endpoint, behind the others or in the place of one that is asked no more: of that nothing is left.
  func add(_ endpoint: any DWNEndpoint, at index: Int, cursors: [SubscriptionPlace: ProgressToken] = [:]) {
    let now = clock.now()
    let isFirst = isAnchor || endpoints.isEmpty
    let topics = LiveTopic.all(isAnchor: isAnchor, envelope: network.envelope)
    var remembered: [LiveTopic: ProgressToken] = [:]
    for topic in topics {
      remembered[topic] = cursors[SubscriptionPlace(endpoint: endpoint.name, topic: topic.name)]
    }
    let places = index..<min(index + 1, endpoints.count)
    let jobs: [Job] = [.fetch(index), .publish(index)] + topics.map { .follow(index, $0) }
    endpoints.replaceSubrange(places, with: [endpoint])
    plans.replaceSubrange(places, with: [PollPlan(startedAt: now, isStandby: !isFirst)])
    lines.replaceSubrange(places, with: [PublicationLine()])
    silences.replaceSubrange(places, with: [EndpointSilence()])
    live.replaceSubrange(
      places,
      with: [
        LiveLines(
          topics, first: .first(isAnchor: isAnchor, envelope: network.envelope), remembered: remembered,
          isWanted: isFirst, at: now)
      ])
    if places.isEmpty {
      choice.add()
      for job in jobs { begin(job) }
    } else {
      choice.replace(index)
      readTroubles[index] = nil
      definitionTurns[index] = nil
      for job in jobs { wake(job) }
    }
  }

  private nonisolated func repeatedly(_ job: Job) async {
    while !Task.isCancelled {
      let deadline = await deadline(of: job)
      if let deadline, deadline <= clock.now() {
        await perform(job)
      } else {
        await wakeups.withLock { $0[job] }?.wait(until: deadline, on: clock)
      }
    }
  }

  /// When a job has to be performed; `nil`: not before it is woken.
  func deadline(of job: Job) async -> Instant? {
    switch job {
    case .fetch(let index): choice.isIdle(index) ? nil : plans[index].deadline
    case .publish(let index): choice.isIdle(index) ? nil : lines[index].deadline
    case .follow(let index, let topic): live[index].deadline(of: topic)
    case .upkeep: await upkeepDeadline()
    case .relays: await relayDeadline()
    }
  }

  func perform(_ job: Job) async {
    underWay.insert(job)
    defer { underWay.remove(job) }
    switch job {
    case .fetch(let index): await fetch(index)
    case .publish(let index): await publish(to: index)
    case .follow(let index, let topic): await follow(index, topic)
    case .upkeep: await upkeep()
    case .relays: await tendRelays()
    }
  }

  /// Ends a job's wait, so that its deadline is looked at again.
  nonisolated func wake(_ job: Job) { wakeups.withLock { $0[job] }?.signal() }

  // MARK: - What others tell

  public func setReach(_ reach: Reach) {
    guard reach != self.reach else { return }
    if let former = self.reach, hasMoved(from: former, to: reach) {
      for endpoint in endpoints { endpoint.hostAddressesChanged() }
    }
    self.reach = reach
    publication.changed(at: clock.now())
    wake(.upkeep)
  }

  /// The relay that this machine runs for the mesh, to be told to the anchor, which tries it and tells the others; `nil`: none.
  public func setRelayOffer(_ offer: RelayOffer?) {
    guard offer != relayOffer else { return }
    relayOffer = offer
    publication.changed(at: clock.now())
    wake(.upkeep)
  }

  /// Whether connections that were made before may lead nowhere: the host has other addresses, or is seen under others.
  private func hasMoved(from former: Reach, to reach: Reach) -> Bool {
    func addresses(_ reach: Reach, _ source: Reach.Endpoint.Source) -> Set<IPAddress> {
      Set(reach.endpoints.filter { $0.source == source }.map(\.address.ip))
    }
    if addresses(former, .host) != addresses(reach, .host) { return true }
    let (seenBefore, seen) = (addresses(former, .stun), addresses(reach, .stun))
    return !seenBefore.isEmpty && !seen.isEmpty && seenBefore.isDisjoint(with: seen)
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
    reviseEndpoints()
    wake(.relays)
    if let netmap = NetmapTranslator.netmap(of: view, nodePort: configuration.nodePort) {
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
    if relaysSince == nil, !netmap.relays.isEmpty { relaysSince = clock.now() }
    snapshot.generation += 1
    netmapSink.yield(netmap)
  }
}
