import DWN
import Identity
import Mesh
import TestSupport
import Wire

@testable import Control

/// A mesh of one anchor and some members over one node, all on one virtual clock.
struct World {
  let clock = VirtualClock()
  let random: SeededRandom
  let node: FakeNode
  let anchor: Device
  private(set) var members: [Device] = []
  let network: NetworkReference
  var isLive = false

  var simulation: Simulation { Simulation(clock: clock, isLive: isLive) }
  var devices: [Device] { [anchor] + members }
  var member: Device { members[0] }

  /// A network that was just created, with members that were added and are running; not a moment has passed.
  init(
    members count: Int = 1, seed: UInt64 = 7, envelope: Envelope = .jwe, isLive: Bool = false
  ) async throws {
    self.isLive = isLive
    random = SeededRandom(seed)
    anchor = try await Device(.generate(random: random), clock: clock, random: random)
    node = FakeNode(name: "node", tenant: anchor.did)
    network = try await anchor.createNetwork(envelope: envelope)
    try await anchor.start(network, [node], addresses: [Self.address(0)])
    for index in 0..<count {
      let member = try await newMachine()
      try await anchor.add(member.did, to: network, label: "member-\(index)")
      try await start(member, index)
      members.append(member)
    }
  }

  /// The same after everybody had the time to see everybody.
  static func settled(
    members: Int = 1, seed: UInt64 = 7, envelope: Envelope = .jwe, isLive: Bool = false
  ) async throws -> World {
    let world = try await World(members: members, seed: seed, envelope: envelope, isLive: isLive)
    try await world.run(.seconds(15))
    return world
  }

  static func address(_ index: Int) -> String { "192.168.1.\(index + 1):41641" }

  func newMachine() async throws -> Device {
    try await Device(.generate(random: random), clock: clock, random: random)
  }

  func start(_ member: Device, _ index: Int) async throws {
    try await member.start(network, [node], hostname: "host-\(index)", addresses: [Self.address(index + 1)])
  }

  func run(_ duration: Duration, afterEachJob: ((Device) async throws -> Void)? = nil) async throws {
    try await simulation.run(duration, devices, afterEachJob: afterEachJob)
  }
}

extension Reply {
  /// Without the entries for which `isHidden` holds.
  func hiding(_ isHidden: (JSONValue) -> Bool) -> Reply {
    guard let entries = members["entries"]?.array else {
      guard let write = members["entry"]?["recordsWrite"], isHidden(write) else { return self }
      return Reply(.init(404, "Not Found"))
    }
    var members = members
    members["entries"] = .array(entries.filter { !isHidden($0) })
    return Reply(status, members: members, data: data)
  }
}

extension JSONValue {
  var path: String? { self["descriptor"]?["protocolPath"]?.string }
  var recipient: String? { self["descriptor"]?["recipient"]?.string }
}

extension Message {
  func isSigned(by did: DID) -> Bool {
    (try? SignedMessage(checking: self, resolver: OfflineResolver()))?.author == did
  }
}
