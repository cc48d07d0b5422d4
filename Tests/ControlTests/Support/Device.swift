import Cryptography
import DWN
import DWNClient
import Identity
import Logging
import Mesh
import Netmap
import TestSupport
import Wire

@testable import Control

/// A machine of a simulated mesh: an identity, a store, and the control plane over it, which can be stopped and started.
final class Device {
  let identity: MachineIdentity
  let store: MemoryStore
  let clock: VirtualClock
  let random: SeededRandom
  private(set) var keeper: LedgerKeeper
  private(set) var plane: DWNControlPlane?

  var did: DID { identity.did }
  var key: X25519PublicKey { identity.wireGuardKey.publicKey }

  init(_ identity: MachineIdentity, clock: VirtualClock, random: SeededRandom, store: MemoryStore = MemoryStore())
    async throws
  {
    self.identity = identity
    self.clock = clock
    self.random = random
    self.store = store
    keeper = try LedgerKeeper(identity: identity, store: store, stored: await store.load())
  }

  /// Starts the control plane from what is stored, as after a restart of the machine.
  func start(
    _ network: NetworkReference, _ endpoints: [any DWNEndpoint], hostname: String = "host",
    addresses: [String] = ["192.168.1.2:41641"], dial: (@Sendable (EndpointURL) -> any DWNEndpoint)? = nil,
    verifyRelay: (@Sendable (RelayOffer) async -> RelayOffer?)? = nil
  ) async throws {
    let stored = await store.load()
    keeper = try LedgerKeeper(identity: identity, store: store, stored: stored)
    var configuration = DWNControlPlane.Configuration(
      network: network, identity: identity, endpoints: endpoints,
      nodeInfo: NodeInfoRecord(hostname: hostname, os: "linux"))
    configuration.dial = dial
    configuration.verifyRelay = verifyRelay
    let plane = await DWNControlPlane(
      configuration, stored: stored.networks[network.id] ?? StoredNetwork(), keeper: keeper, clock: clock,
      random: random,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    await plane.setReach(Reach(hostAddresses: addresses.map { SocketAddress($0)! }))
    self.plane = plane
  }

  func stop() { plane = nil }

  var netmap: Netmap? {
    get async { await plane?.lastNetmap }
  }

  var status: ControlStatus {
    get async { await plane!.status() }
  }

  func createNetwork(_ name: String = "home", envelope: Envelope = .jwe) async throws -> NetworkReference {
    let (wall, random) = (clock.wallTime(), random)
    return try await keeper.perform { ledger in
      let (network, change) = try ledger.createNetwork(
        NetworkPlan(record: NetworkRecord(name: name), label: "anchor", envelope: envelope), now: wall, random: random)
      return (network, change)
    }
  }

  @discardableResult
  func remove(_ did: DID, from network: NetworkReference) async throws -> LedgerChange {
    let (wall, random) = (clock.wallTime(), random)
    return try await keeper.perform { try $0.removeNode(did, from: network.id, now: wall, random: random) }
  }

  func setPolicy(_ policy: ACLPolicy, of network: NetworkReference) async throws {
    let (wall, random) = (clock.wallTime(), random)
    try await keeper.perform { try $0.setPolicy(policy, in: network.id, now: wall, random: random) }
  }

  @discardableResult
  func add(_ did: DID, to network: NetworkReference, label: String? = nil, expiresAt: WallTime? = nil) async throws
    -> LedgerChange
  {
    let (wall, random) = (clock.wallTime(), random)
    return try await keeper.perform { ledger in
      let admission = NodeAdmission(did: did, label: label, expiresAt: expiresAt)
      switch try ledger.addNode(admission, to: network.id, now: wall, random: random) {
      case .added(_, let change): return change
      case .alreadyMember: return LedgerChange()
      }
    }
  }
}

/// Performs the jobs of all devices in the order of their deadlines on one virtual clock.
struct Simulation {
  let clock: VirtualClock
  /// Whether subscriptions are opened; if not, everything is asked for.
  var isLive = false

  /// Returns the number of jobs that were performed.
  @discardableResult
  func run(
    _ duration: Duration, _ devices: [Device], afterEachJob: ((Device) async throws -> Void)? = nil
  ) async throws -> Int {
    let end = clock.now() + duration
    _ = try await deliver(to: devices)
    for step in 0..<100_000 {
      var next: (deadline: Instant, device: Device, job: DWNControlPlane.Job)?
      for device in devices {
        guard let plane = device.plane else { continue }
        for job in await plane.orderedJobs(isLive: isLive) {
          guard let deadline = await plane.deadline(of: job), deadline < (next?.deadline ?? (end + .nanoseconds(1)))
          else { continue }
          next = (deadline, device, job)
        }
      }
      guard let next else {
        clock.advance(to: end)
        return step
      }
      clock.advance(to: next.deadline)
      if case .follow(let index, let topic) = next.job {
        _ = await next.device.plane?.subscribe(index, topic)
      } else {
        await next.device.plane?.perform(next.job)
      }
      try await afterEachJob?(next.device)
      for device in try await deliver(to: devices) { try await afterEachJob?(device) }
    }
    throw Endless()
  }

  /// Hands everybody what nodes have told, until nothing is left. Returns to whom something was told.
  private func deliver(to devices: [Device]) async throws -> [Device] {
    var told: [Device] = []
    for _ in 0..<10_000 {
      var isSilent = true
      for device in devices {
        guard let plane = device.plane else { continue }
        let open = await plane.sources
        if open.isEmpty { continue }
        for job in await plane.orderedJobs(isLive: true) {
          guard case .follow(let index, let topic) = job, let source = open[job] as? FakeSubscription else { continue }
          while let frame = source.poll() {
            isSilent = false
            told.append(device)
            if await plane.receive(frame, of: topic, from: index, source) { continue }
            source.close()
            break
          }
          if let failure = source.failure { await plane.lost(topic, at: index, failure) }
        }
      }
      if isSilent { return told }
    }
    throw Endless()
  }

  struct Endless: Error, CustomStringConvertible { let description = "the simulation makes no progress in time" }
}

extension DWNControlPlane {
  /// Publishing first, then reading: a fixed order, so that a run can be repeated.
  func orderedJobs(isLive: Bool) -> [Job] {
    let indices = endpoints.indices
    let topics = isLive ? LiveTopic.all(isAnchor: isAnchor, envelope: network.envelope) : []
    return [.upkeep, .relays] + indices.map { .publish($0) } + indices.map { .fetch($0) }
      + indices.flatMap { index in topics.map { .follow(index, $0) } }
  }
}
