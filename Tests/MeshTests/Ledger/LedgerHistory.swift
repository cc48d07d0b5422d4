import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// An anchor with its ledger, members that publish, and everything that any of them ever signed: grown step by step from a seed.
struct LedgerHistory {
  var random: SeededRandom
  var wall = WallTime(seconds: 1_790_000_000)
  let anchor: MachineIdentity
  var ledger: Ledger
  var stored = StoredMesh()
  var network: NetworkReference
  /// Everything signed, in order.
  var messages: [ReplyEntry] = []
  /// The anchor's own reading: accepts each head as it is signed.
  var anchorReader: MeshReader
  /// What each head covers.
  var sets: [Int64: LiveSet] = [:]
  /// DIDs that are live at each head.
  var members: [Int64: Set<DID>] = [:]
  var machines: [MachineIdentity] = []
  var memberLedgers: [DID: Ledger] = [:]
  var readers: [DID: MeshReader] = [:]
  /// What members stored of the network.
  var memberStores: [DID: StoredMesh] = [:]

  init(seed: UInt64, cidr: String = "10.200.0.0/16", members count: Int = 0) throws {
    random = SeededRandom(seed)
    anchor = MachineIdentity.generate(random: random)
    ledger = try Ledger(identity: anchor)
    let plan = NetworkPlan(
      record: NetworkRecord(
        name: "home", meshCIDR: try AddressPlan(cidr: cidr).block, anchorEndpoints: ["http://a:8787"]),
      label: "first")
    var fresh = ledger
    let (network, change) = try fresh.createNetwork(plan, now: wall, random: random)
    self.network = network
    anchorReader = MeshReader(network: network, identity: anchor)
    ledger = fresh
    take(change)
    for _ in 0..<count { _ = try addNode() }
  }

  var id: NetworkID { network.id }

  mutating func pass(_ seconds: Int64 = 2) { wall = wall + .seconds(seconds) }

  /// Commits a change and lets everybody who follows see it.
  mutating func take(_ change: LedgerChange) {
    stored.apply(change.store)
    let outcome = tell(change.entries)
    if let head = outcome.acceptedHead, let set = anchorReader.acceptedSet {
      sets[head.seq] = set
      members[head.seq] = Set(anchorReader.view(at: wall)?.nodes.map(\.did) ?? [])
    }
  }

  /// Lets everybody who follows see what was signed; returns what the anchor's reader made of it.
  private mutating func tell(_ entries: [ReplyEntry]) -> OfferOutcome {
    messages += entries
    let outcome = anchorReader.offer(entries, at: Instant(nanoseconds: 1), wall: wall)
    stored.apply(outcome.store)
    for did in readers.keys {
      guard let seen = readers[did]?.offer(entries, at: Instant(nanoseconds: 1), wall: wall) else { continue }
      memberStores[did, default: StoredMesh()].apply(seen.store)
    }
    return outcome
  }

  @discardableResult
  mutating func addNode(_ identity: MachineIdentity? = nil, label: String? = nil, expiresAt: WallTime? = nil) throws
    -> MachineIdentity
  {
    pass()
    let machine = identity ?? MachineIdentity.generate(random: random)
    let admission = NodeAdmission(did: machine.did, label: label, expiresAt: expiresAt)
    guard case .added(_, let change) = try ledger.addNode(admission, to: id, now: wall, random: random) else {
      return machine
    }
    machines.append(machine)
    memberLedgers[machine.did] = try Ledger(identity: machine)
    var reader = MeshReader(network: network, identity: machine)
    let seen = reader.offer(messages, extent: .complete, at: Instant(nanoseconds: 1), wall: wall)
    memberStores[machine.did, default: StoredMesh()].apply(seen.store)
    readers[machine.did] = reader
    take(change)
    return machine
  }

  /// Admits a machine that never comes; no time passes.
  @discardableResult
  mutating func admit() throws -> DID {
    let did = MachineIdentity.generate(random: random).did
    if case .added(_, let change) = try ledger.addNode(NodeAdmission(did: did), to: id, now: wall, random: random) {
      take(change)
    }
    return did
  }

  mutating func remove(_ did: DID) throws {
    pass()
    take(try ledger.removeNode(did, from: id, now: wall, random: random))
  }

  mutating func endNode(_ did: DID) throws {
    pass()
    let records = ledger.nodes(of: id).filter { $0.did == did }.map(\.recordID)
    take(try ledger.endWithdrawn(records, in: id, now: wall))
  }

  /// A member publishes an endpoint, if it can; with another cipher than its reader's if one is given.
  mutating func publishEndpoint(
    of machine: MachineIdentity, port: UInt16, cipher other: (any RecordCipher)? = nil
  ) throws {
    pass()
    guard let reader = readers[machine.did], let node = reader.view(at: wall)?.own,
      let cipher = other ?? reader.cipher
    else { return }
    let address = SocketAddress(IPAddress(v4: 192 << 24 | 2 << 8 | 1), port: port)
    let record = EndpointRecord(localEndpoints: [address], updatedAt: wall)
    guard
      let change = try memberLedgers[machine.did]?.publish(
        .endpoint(record), below: node, in: network, cipher: cipher, now: wall, random: random)
    else { return }
    _ = tell(change.entries)
  }

  /// One random thing happens.
  mutating func step() throws {
    pass()
    switch random.uniform(below: 10) {
    case 0, 1: try addNode(label: "node \(machines.count)")
    case 2 where machines.count > 2:
      try endNode(machines.randomElement(using: &random)!.did)
    case 3:
      let port = random.uniform(below: 60000)
      take(try ledger.updateNetwork(id, now: wall) { $0.anchorEndpoints = ["http://a:\(port + 1)"] })
    case 4: take(try ledger.setPolicy(.acceptAll, in: id, now: wall, random: random))
    case 5:
      pass(4000)
      take(try ledger.writeDueHeads(now: wall))
    default:
      guard let machine = machines.randomElement(using: &random) else { return }
      try publishEndpoint(of: machine, port: UInt16(1 + random.uniform(below: 60000)))
    }
  }

  /// What an honest node that has everything shows to a complete fetch: the newest of each place, without what was ended.
  func shownNow() -> [ReplyEntry] {
    let lastHead = ledger.outgoing.last { $0.write?.path == MeshProtocol.head }
    var entries = ledger.outgoing.compactMap { message -> ReplyEntry? in
      if message.write?.path == MeshProtocol.head, message != lastHead { return nil }
      guard let write = message.write else { return message.endedRecord == nil ? message.entry : nil }
      if ledger.hasEnded(write.contextID) { return nil }
      var entry = message.entry
      if !write.isInitial {
        entry.initialWrite =
          ledger.outgoing.first { $0.write?.recordID == write.recordID && $0.write?.isInitial == true }?
          .signed.message.value
      }
      return entry
    }
    entries += memberLedgers.values.flatMap { $0.outgoing.map(\.entry) }
    return entries
  }

  var headSeq: Int64 { ledger.head(of: id)?.seq ?? 0 }
}
