import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// A network with encryption v1: an anchor with its ledger, machines with theirs, and all that any of them ever signed.
struct V1History {
  var random: SeededRandom
  var wall = WallTime(seconds: 1_790_000_000)
  let anchor: MachineIdentity
  var ledger: Ledger
  let network: NetworkReference
  /// Everything that was signed, in order.
  var messages: [ReplyEntry] = []
  var stored = StoredMesh()

  init(seed: UInt64) throws {
    random = SeededRandom(seed)
    anchor = MachineIdentity.generate(random: random)
    ledger = try Ledger(identity: anchor)
    let plan = NetworkPlan(
      record: NetworkRecord(name: "home", anchorEndpoints: ["http://a:8787"]), label: "first", envelope: .v1)
    let (network, change) = try ledger.createNetwork(plan, now: wall, random: random)
    self.network = network
    take(change)
  }

  var id: NetworkID { network.id }

  mutating func take(_ change: LedgerChange) {
    messages += change.entries
    stored.apply(change.store)
    wall = wall + .seconds(2)
  }

  /// What a machine installs on its own tenant.
  func definition(of machine: MachineIdentity) throws -> MeshDefinition {
    var ledger = try Ledger(identity: machine)
    let change = try ledger.install(.v1, now: wall)
    return try MeshDefinition(try #require(change.messages.first).signed)
  }

  /// A machine that is added and delivered its keys.
  mutating func join(label: String? = nil) throws -> MachineIdentity {
    let machine = MachineIdentity.generate(random: random)
    guard
      case .added(let node, let change) = try ledger.addNode(
        NodeAdmission(did: machine.did, label: label), to: id, now: wall, random: random)
    else { throw Unexpected() }
    #expect(!node.hasKeys)
    take(change)
    try deliver(to: machine)
    return machine
  }

  mutating func deliver(to machines: MachineIdentity...) throws {
    var definitions: [DID: MeshDefinition] = [:]
    for machine in machines { definitions[machine.did] = try definition(of: machine) }
    take(try ledger.deliverMissingKeys(in: id, definitions: definitions, now: wall, random: random))
  }

  /// A reader that sees what an honest node shows now: nothing that was ended.
  func reader(of identity: MachineIdentity, stored: StoredNetwork = StoredNetwork()) -> MeshReader {
    var reader = MeshReader(network: network, identity: identity, stored: stored)
    _ = reader.offer(shownNow(), extent: .complete, at: Instant(nanoseconds: 1), wall: wall)
    return reader
  }

  func shownNow() -> [ReplyEntry] {
    messages.filter { entry in
      guard entry.message["descriptor"]?["method"] != "Delete" else { return false }
      return entry.message["contextId"]?.string.flatMap { ContextID($0) }.map { !ledger.hasEnded($0) } ?? true
    }
  }

  /// A machine writes where it is, with what its reader gives it.
  mutating func publishEndpoint(of machine: MachineIdentity, port: UInt16) throws -> ReplyEntry {
    let reader = reader(of: machine)
    let node = try #require(reader.view(at: wall)?.own)
    let cipher = try #require(reader.cipher)
    var ledger = try Ledger(identity: machine)
    let address = SocketAddress(IPAddress(v4: 192 << 24 | 2 << 8 | 1), port: port)
    let change = try ledger.publish(
      .endpoint(EndpointRecord(localEndpoints: [address], updatedAt: wall)), below: node, in: network, cipher: cipher,
      now: wall, random: random)
    messages += change.entries
    wall = wall + .seconds(2)
    return try #require(change.entries.first)
  }

  struct Unexpected: Error {}
}
