import DWN
import Identity
import Netmap
import TestSupport
import Testing
import Wire

@testable import Control
@testable import Mesh

@Suite("A node that lies without being asked")
struct LyingSubscriptionTests {
  private static func token(_ position: UInt64, epoch: String = "1") -> ProgressToken {
    ProgressToken(streamID: "stream", epoch: epoch, position: FeedPosition(position))
  }

  private static func event(_ entry: ReplyEntry, at cursor: ProgressToken) -> SubscriptionFrame {
    .event(SubscriptionEvent(cursor: cursor, entry: entry, messageCID: CID(of: entry.message), protocolURI: nil))
  }

  private func setPolicy(_ json: JSONObject, in world: World) async throws {
    let policy = try ACLPolicy(json)
    let (network, wall, random) = (world.network.id, world.clock.wallTime(), world.random)
    try await world.anchor.keeper.perform { try $0.setPolicy(policy, in: network, now: wall, random: random) }
  }

  private static let deny: JSONObject = ["version": 1, "rules": [["action": "drop", "src": ["*"], "dst": ["*"]]]]

  @Test(
    "whatever it pushes, edited, moved, replayed, invented, in whatever order, no netmap gains anything",
    arguments: UInt64(1)...4)
  func adversary(seed: UInt64) async throws {
    let world = try await World.settled(members: 2, seed: seed, isLive: true)
    let witness = await LyingNodeTests.Witness(world)
    let random = SeededRandom(seed &* 7919)
    let stranger = try await world.newMachine()
    let clock = world.clock
    let liar = RandomLiar(
      random: random, accomplices: [MessageSigner(stranger.identity)], dishonesty: 1000, time: { clock.wallTime() })
    let before = try #require(await world.member.netmap)
    let request = MessageSigner(stranger.identity).recordsQuery(
      RecordsFilter(protocolURI: MeshProtocol.uri), at: clock.wallTime()
    ).message
    for step in 0..<40 {
      let subscriptions = world.node.subscriptions
      for _ in 0..<6 where !subscriptions.isEmpty {
        let target = subscriptions[Int(random.uniform(below: UInt64(subscriptions.count)))]
        let lies = liar.answer(request, Reply(.init(200, "OK"), members: ["entries": []]), world.node.history).entries
        var position = 1_000_000 + UInt64(step) * 1000
        for lie in lies {
          position += random.uniform(below: 4)
          target.put(Self.event(lie, at: Self.token(position)))
        }
        switch random.uniform(below: 8) {
        case 0: target.put(.endOfStored(Self.token(3)))
        case 1: target.put(.endOfStored(Self.token(9_000_000, epoch: "2")))
        case 2: target.put(.failed(nil, code: "ProgressGap", detail: "so it is"))
        case 3: target.fail(.timedOut(name: "node"))
        default: break
        }
      }
      try await world.run(.milliseconds(500)) { await witness.look(at: $0) }
    }
    // Lies leave nothing behind: what was true is true, and what becomes true arrives.
    try await world.run(.seconds(90)) { await witness.look(at: $0) }
    #expect(await world.member.netmap?.peers == before.peers, "seed \(seed)")
    try await setPolicy(Self.deny, in: world)
    try await world.run(.seconds(70)) { await witness.look(at: $0) }
    for device in world.devices { #expect(await device.netmap?.filter == .denyAll, "seed \(seed)") }
  }

  @Test("a node that repeats an event is asked for everything; one that is merely late is not called a liar")
  func repeated() async throws {
    let world = try await World.settled(isLive: true)
    let head = LiveTopic.path(MeshProtocol.head)
    let old = try #require(world.node.history.entries.first { $0.message.path == MeshProtocol.head.text })
    let target = try #require(world.node.subscriptions.last { $0.path == head.name })
    target.put(Self.event(old, at: Self.token(500)))
    try await world.run(.milliseconds(10))
    #expect(target.isOpen)
    #expect(await world.member.status.refused == [])
    target.put(Self.event(old, at: Self.token(500)))
    try await world.run(.milliseconds(10))
    #expect(!target.isOpen)
    let reads = world.node.count(.recordsRead)
    try await world.run(.seconds(5))
    #expect(world.node.count(.recordsRead) == reads + 1)
    #expect(await world.member.status.snapshot.isFollowing)
  }

  @Test("a node that withholds what it should tell is found out by the next look, a minute later at most")
  func withheld() async throws {
    let world = try await World.settled(isLive: true)
    try await world.run(.seconds(90))
    world.node.mute(true)
    try await setPolicy(Self.deny, in: world)
    try await world.run(.seconds(10))
    #expect(await world.member.netmap?.filter == .acceptAll)
    try await world.run(.seconds(60))
    #expect(await world.member.netmap?.filter == .denyAll)
  }

  @Test("a flood is read no faster than a machine may be asked to verify, and what floods is left for a while")
  func flood() async throws {
    let world = try await World.settled(isLive: true)
    let before = try #require(await world.member.netmap)
    let stranger = try await world.newMachine()
    let target = try #require(world.node.subscriptions.last { $0.path == MeshProtocol.relay.text })
    let lie = ReplyEntry(
      message: MessageSigner(stranger.identity).recordsDelete(
        world.network.id.recordID, prune: true, at: world.clock.wallTime()
      ).message.value)
    for position in 1...5000 { target.put(Self.event(lie, at: Self.token(1000 + UInt64(position)))) }
    try await world.run(.milliseconds(10))
    #expect(target.acknowledged.count <= LiveLines.burst)
    #expect(!target.isOpen)
    #expect(await world.member.netmap == before)
    #expect(await world.member.status.refused.count == 1)
  }
}
