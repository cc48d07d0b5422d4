import DWN
import DWNClient
import Identity
import Netmap
import Testing
import Wire

@testable import Control
@testable import Mesh

@Suite("Changes that are told")
struct LiveUpdatesTests {
  private let deny = ["version": 1, "rules": [["action": "drop", "src": ["*"], "dst": ["*"]]]] as JSONObject

  private func setPolicy(_ json: JSONObject, in world: World) async throws {
    let policy = try ACLPolicy(json)
    let (network, wall, random) = (world.network.id, world.clock.wallTime(), world.random)
    try await world.anchor.keeper.perform { try $0.setPolicy(policy, in: network, now: wall, random: random) }
  }

  /// Runs until nobody's first minute is left, and returns how often the node was asked in what follows.
  private func questions(_ world: World, in duration: Duration) async throws -> Int {
    let before = world.node.questions
    try await world.run(duration)
    return world.node.questions - before
  }

  @Test(
    "once everything is told, a node is asked once a minute, for safety; without that, every ten seconds",
    arguments: [Envelope.jwe, .v1])
  func quiet(envelope: Envelope) async throws {
    let live = try await World.settled(members: 2, envelope: envelope, isLive: true)
    let asking = try await World.settled(members: 2, envelope: envelope)
    for world in [live, asking] { try await world.run(.seconds(100)) }
    #expect(await live.member.status.snapshot.isFollowing)
    #expect(await !asking.member.status.snapshot.isFollowing)
    let told = try await questions(live, in: .seconds(300))
    let asked = try await questions(asking, in: .seconds(300))
    #expect(told * 2 < asked, "\(told) and \(asked)")
    #expect(await live.member.status.refused == [])
    #expect(live.node.subscriptions.count == 2 * LiveTopic.all(isAnchor: false, envelope: envelope).count + 4)
  }

  @Test("a changed policy is in force everywhere within a second, and nobody asked for anything")
  func policy() async throws {
    let world = try await World.settled(members: 5, isLive: true)
    try await world.run(.seconds(90))
    let before = world.node.questions
    try await setPolicy(deny, in: world)
    try await world.run(.seconds(1))
    for device in world.devices { #expect(await device.netmap?.filter == .denyAll) }
    #expect(world.node.questions == before)
    for member in world.members { #expect(await member.status.refused == []) }
  }

  @Test("a machine that is added finds its key, and is a peer of all others, without anybody asking for everything")
  func added() async throws {
    let world = try await World.settled(members: 3, isLive: true)
    try await world.run(.seconds(90))
    let third = try await world.newMachine()
    try await third.start(world.network, [world.node], addresses: [World.address(7)])
    let devices = world.devices + [third]
    try await world.simulation.run(.seconds(20), devices)
    let before = world.node.questions
    try await world.anchor.add(third.did, to: world.network, label: "third")
    try await world.simulation.run(.seconds(3), devices)
    for device in world.devices {
      let peer = await device.netmap?.peers.first { $0.key == third.key }
      #expect(peer?.endpoints == [SocketAddress(World.address(7))!])
    }
    #expect(await third.netmap?.peers.count == 4)
    // What is asked is the new machine's own look at everything.
    #expect(world.node.questions - before < 40)
  }

  @Test("a removal is told as one delete, which ends what stood below it too")
  func removal() async throws {
    let world = try await World.settled(members: 3, isLive: true)
    try await world.run(.seconds(90))
    let removed = world.members[2]
    let record = try #require(
      await world.anchor.keeper.ledger.nodes(of: world.network.id).first { $0.did == removed.did })
    let (network, wall, before) = (world.network.id, world.clock.wallTime(), world.node.questions)
    try await world.anchor.keeper.perform { ledger in
      var change = LedgerChange()
      try ledger.end(record.recordID, in: network, now: wall, to: &change)
      try ledger.writeDueHeads(now: wall, to: &change)
      return change
    }
    try await world.simulation.run(.seconds(1), Array(world.devices.dropLast()))
    for device in world.devices.dropLast() {
      #expect(await device.netmap?.peers.contains { $0.key == removed.key } == false)
      #expect(await device.status.refused == [])
    }
    #expect(world.node.questions == before)
  }

  @Test("of a changed definition nobody is told: a head that does not match asks for it, and for nothing else")
  func definition() async throws {
    let world = try await World.settled(members: 2, isLive: true)
    try await world.run(.seconds(90))
    let (wall, questions) = (world.clock.wallTime(), world.node.questions)
    let definitions = world.node.count(.protocolsQuery)
    let anchor = world.anchor.identity
    try await world.anchor.keeper.perform { ledger in
      var change = LedgerChange()
      var json = MeshDefinition.mesh(of: anchor).json.object ?? JSONObject()
      var types = json["types"]?.object ?? JSONObject()
      types["another"] = ["schema": "https://example.org/another", "dataFormats": ["application/json"]]
      json["types"] = .object(types)
      try ledger.configure(MeshDefinition(.object(json), anchor: anchor.did), now: wall, to: &change)
      try ledger.writeDueHeads(now: wall, to: &change)
      return change
    }
    try await world.run(.seconds(3))
    for member in world.members {
      #expect(await member.status.head?.sequence == world.anchor.status.head?.sequence)
    }
    #expect(world.node.count(.protocolsQuery) - definitions == 2)
    #expect(world.node.questions - questions == 2)
  }

  @Test("after a broken connection it is asked as before, until subscriptions stand again where they broke off")
  func broken() async throws {
    let world = try await World.settled(members: 2, isLive: true)
    try await world.run(.seconds(90))
    world.node.disconnect()
    // Nobody is connected when it happens.
    try await world.simulation.run(.milliseconds(1), world.members)
    try await setPolicy(deny, in: world)
    try await world.simulation.run(.milliseconds(100), [world.anchor])
    #expect(await !world.member.status.snapshot.isFollowing)
    try await world.run(.seconds(2))
    for member in world.members {
      #expect(await member.netmap?.filter == .denyAll)
      #expect(await member.status.snapshot.isFollowing)
      #expect(await member.status.refused == [])
    }
  }

  @Test("a node whose feed begins anew refuses old cursors: then everything is asked for, once")
  func gap() async throws {
    let world = try await World.settled(members: 2, isLive: true)
    try await world.run(.seconds(90))
    try await setPolicy(deny, in: world)
    try await world.run(.seconds(2))
    world.node.beginEpoch("2")
    world.node.disconnect()
    let before = world.node.count(.recordsRead)
    try await world.run(.seconds(30))
    #expect(await world.member.status.snapshot.isFollowing)
    // A look at everything reads the network record, one time each.
    #expect(world.node.count(.recordsRead) - before == 3)
  }

  @Test("a daemon that starts again goes on from the cursors on its disk, at each endpoint by itself")
  func cursors() async throws {
    let world = try await World.settled(members: 1, isLive: true)
    try await setPolicy(deny, in: world)
    try await world.run(.seconds(30))
    let stored = await world.member.store.load().networks[world.network.id]
    let kept = try #require(stored?.cursors)
    #expect(Set(kept.keys.map(\.endpoint)) == ["node"])
    #expect(kept.keys.contains(SubscriptionPlace(endpoint: "node", topic: "network/head")))
    let plane = try #require(world.member.plane)
    #expect(await plane.live[0].lines[.path(MeshProtocol.head)]?.remembered != nil)
    world.member.stop()
    try await world.start(world.member, 0)
    let again = try #require(world.member.plane)
    for (place, cursor) in kept {
      let topic = try #require(LiveTopic.all(isAnchor: false).first { $0.name == place.topic })
      #expect(await again.live[0].lines[topic]?.remembered == cursor)
    }
  }

  @Test("where a node tells nothing, it is asked at the usual pace, and now and then whether it tells by now")
  func unavailable() async throws {
    let world = try await World(members: 1, isLive: true)
    world.node.refuse { $0.kind == .recordsSubscribe ? Reply(.init(501, "RecordsSubscribeUnimplemented")) : nil }
    try await world.run(.seconds(320))
    #expect(await world.member.netmap?.peers.count == 1)
    #expect(world.node.count(.recordsSubscribe) < 60)
    let asked = try await questions(world, in: .seconds(100))
    #expect(asked > 60)
    world.node.refuse(nil)
    try await world.run(.seconds(320))
    #expect(await world.member.status.snapshot.isFollowing)
  }

  @Test("a member follows the endpoint that it reads from, and no other")
  func oneOfSeveral() async throws {
    var world = try await World(members: 1, isLive: true)
    world.isLive = true
    let second = FakeNode(name: "second", tenant: world.anchor.did)
    world.anchor.stop()
    try await world.anchor.start(world.network, [world.node, second])
    world.member.stop()
    try await world.member.start(world.network, [world.node, second], addresses: [World.address(1)])
    try await world.run(.seconds(60))
    let topics = LiveTopic.all(isAnchor: false).count
    #expect(world.node.subscriptions.count == topics + 4)
    #expect(second.subscriptions.count == 4)
    world.node.isReachable = false
    world.node.disconnect()
    try await world.run(.seconds(60))
    #expect(second.subscriptions.count == topics + 4)
    let before = second.questions
    try await setPolicy(deny, in: world)
    try await world.run(.seconds(1))
    #expect(await world.member.netmap?.filter == .denyAll)
    #expect(second.questions == before)
  }
}
