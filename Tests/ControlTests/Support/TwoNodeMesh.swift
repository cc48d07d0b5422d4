import Identity
import Mesh
import TestSupport

/// A mesh of an anchor and one member over two nodes, all on one virtual clock.
struct TwoNodeMesh {
  let clock = VirtualClock()
  let random: SeededRandom
  let anchor: Device
  let member: Device
  let first: FakeNode
  let second: FakeNode
  let network: NetworkReference

  /// A network that was just created, after both had the time to see each other.
  init(nodes: (first: String, second: String), seed: UInt64) async throws {
    random = SeededRandom(seed)
    anchor = try await Device(.generate(random: random), clock: clock, random: random)
    member = try await Device(.generate(random: random), clock: clock, random: random)
    first = FakeNode(name: nodes.first, tenant: anchor.did)
    second = FakeNode(name: nodes.second, tenant: anchor.did)
    network = try await anchor.createNetwork()
    try await anchor.start(network, [first, second], addresses: [World.address(0)])
    try await anchor.add(member.did, to: network, label: "member")
    try await member.start(network, [first, second], addresses: [World.address(1)])
    try await Simulation(clock: clock).run(.seconds(15), [anchor, member])
  }
}

/// A suite about such a mesh: what it has is the suite's own.
protocol TwoNodeSuite {
  var mesh: TwoNodeMesh { get }
}

extension TwoNodeSuite {
  func newMachine() async throws -> Device {
    try await Device(.generate(random: random), clock: clock, random: random)
  }

  /// Lets the time pass for these devices, or for the anchor and the member.
  func run(_ duration: Duration, _ devices: [Device]? = nil) async throws {
    try await Simulation(clock: clock).run(duration, devices ?? [anchor, member])
  }

  var clock: VirtualClock { mesh.clock }
  var random: SeededRandom { mesh.random }
  var anchor: Device { mesh.anchor }
  var member: Device { mesh.member }
  var network: NetworkReference { mesh.network }
}
