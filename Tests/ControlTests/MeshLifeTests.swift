import DWN
import Identity
import Netmap
import Testing
import Wire

@testable import Control
@testable import Mesh

@Suite("A mesh over a node")
struct MeshLifeTests {
  @Test("after create, add and join both machines have each other in their netmaps, with addresses and endpoints")
  func createAddJoin() async throws {
    let world = try await World.settled()
    let (anchor, member) = (world.anchor, world.member)
    let ours = try #require(await anchor.netmap)
    let theirs = try #require(await member.netmap)
    #expect(ours.networkName == "home")
    #expect(ours.peers.map(\.key) == [member.key])
    #expect(theirs.peers.map(\.key) == [anchor.key])
    #expect(theirs.peers[0].addresses == ours.node.addresses)
    #expect(ours.peers[0].addresses == theirs.node.addresses)
    #expect(ours.peers[0].allowedIPs == theirs.node.addresses)
    #expect(ours.peers[0].endpoints == [SocketAddress(World.address(1))!])
    #expect(theirs.peers[0].endpoints == [SocketAddress(World.address(0))!])
    #expect(ours.filter == .acceptAll && theirs.filter == .acceptAll)
    #expect(ours.node.name == "anchor" && theirs.node.name == "member-0")
    let status = await member.status
    #expect(status.pending == [])
    #expect(status.refused == [])
    #expect(status.notes == [])
    #expect(status.membership == .member)
    #expect(status.head?.epoch == 0)
    #expect(status.snapshot.state == .healthy)
    #expect(await anchor.status.pending == [])
  }

  @Test("a machine that is added while others run is seen by all of them")
  func later() async throws {
    let world = try await World.settled()
    let third = try await world.newMachine()
    try await world.anchor.add(third.did, to: world.network, label: "third")
    try await third.start(world.network, [world.node], addresses: [World.address(2)])
    try await Simulation(clock: world.clock).run(.seconds(25), world.devices + [third])
    for device in world.devices {
      let peer = await device.netmap?.peers.first { $0.key == third.key }
      #expect(peer?.endpoints == [SocketAddress(World.address(2))!])
    }
    #expect(await third.netmap?.peers.count == 2)
  }

  @Test("a machine that joins during 'peer add' has its netmap soon after the head comes, not a poll later")
  func quickJoin() async throws {
    let world = try await World(members: 1)
    let start = world.clock.now()
    var joined: Duration?
    try await world.run(.seconds(10)) { device in
      if joined == nil, device === world.member, await device.netmap != nil { joined = world.clock.now() - start }
    }
    #expect(try #require(joined) < .milliseconds(2100))
  }

  @Test("a daemon that starts while no node answers has the netmap it had")
  func anchorAway() async throws {
    let world = try await World.settled(members: 2)
    let before = try #require(await world.member.netmap)
    let anchorBefore = try #require(await world.anchor.netmap)
    world.node.isReachable = false
    world.member.stop()
    try await world.start(world.member, 0)
    #expect(await world.member.netmap == before)
    world.anchor.stop()
    try await world.anchor.start(world.network, [world.node])
    #expect(await world.anchor.netmap == anchorBefore)
    try await world.run(.seconds(60))
    let status = await world.member.status
    #expect(status.snapshot.state == .degraded)
    #expect(status.snapshot.lastError == "node cannot be reached: it is switched off")
    #expect(status.peers.count == 2)
  }

  @Test("a member without a key waits and says so, and publishes nothing")
  func noKey() async throws {
    let world = try await World()
    let anchor = world.anchor.did
    world.node.tell { request, reply, _ in
      request.isSigned(by: anchor) ? reply : reply.hiding { $0.path == "contextKey" }
    }
    try await world.run(.seconds(20))
    #expect(await world.member.netmap == nil)
    let status = await world.member.status
    #expect(status.membership == .waitingForKey)
    #expect(status.pending.first?.contains("key") == true)
    #expect(world.node.live(MeshProtocol.endpoint).map(\.latest.author) == [world.anchor.did])
    world.node.tell(nil)
    try await world.run(.seconds(15))
    #expect(await world.member.netmap?.peers.count == 1)
    #expect(world.node.live(MeshProtocol.endpoint).count == 2)
  }

  @Test("a machine that was not added waits and says who can add it")
  func notAdded() async throws {
    let world = try await World.settled()
    let stranger = try await world.newMachine()
    try await stranger.start(world.network, [world.node])
    try await world.simulation.run(.seconds(20), [stranger])
    #expect(await stranger.netmap == nil)
    #expect(await stranger.status.pending.first?.contains("peer add") == true)
  }

  @Test("a node record that expires takes its machine out everywhere, without a fetch")
  func expiry() async throws {
    let world = try await World.settled()
    let third = try await world.newMachine()
    let expiry = world.clock.wallTime() + .seconds(60)
    try await world.anchor.add(third.did, to: world.network, label: "third", expiresAt: expiry)
    try await third.start(world.network, [world.node])
    let devices = world.devices + [third]
    try await world.simulation.run(.seconds(30), devices)
    #expect(await world.member.netmap?.peers.count == 2)
    #expect(await third.netmap?.peers.count == 2)
    world.node.isReachable = false
    try await world.simulation.run(.seconds(32), devices)
    #expect(await world.member.netmap?.peers.map(\.key) == [world.anchor.key])
    #expect(await world.anchor.netmap?.peers.map(\.key) == [world.member.key])
    #expect(await third.netmap?.peers == [])
    #expect(await third.netmap?.filter == .denyAll)
    #expect(await third.status.membership == .expired)
    // The keys are taken from it too, as soon as the anchor can say so.
    world.node.isReachable = true
    try await world.simulation.run(.seconds(150), devices)
    #expect(await third.status.membership == .removed)
    #expect(await world.anchor.keeper.ledger.head(of: world.network.id)?.epoch != .first)
    #expect(await world.member.netmap?.peers.map(\.key) == [world.anchor.key])
  }

  @Test("what machines wrote of themselves is written anew when many epochs have begun since, by each in its own time")
  func renewal() async throws {
    let world = try await World.settled(members: 2)
    func old() throws -> Int {
      try [MeshProtocol.nodeInfo, MeshProtocol.endpoint].flatMap { world.node.live($0) }.count {
        try JWEEnvelope(.object(#require($0.latest.encryption))).networkEntry?.scheme.epoch == .first
      }
    }
    for _ in 0..<8 {
      let guest = MachineIdentity.generate(random: world.random)
      try await world.anchor.add(guest.did, to: world.network)
      try await world.anchor.remove(guest.did, from: world.network)
    }
    let before = try old()
    #expect(before == 6)
    var seen: Set<Int> = []
    for _ in 0..<26 {
      try await world.run(.seconds(5))
      seen.insert(try old())
    }
    #expect(try old() == 0)
    #expect(seen.count > 2, "all at once")
    for device in world.devices {
      #expect(await device.netmap?.peers.allSatisfy { $0.endpoints.count == 1 } == true)
      #expect(await device.status.refused == [])
    }
  }

  @Test("who has no address to tell writes the rest anew in its own time, the second time too")
  func renewalWithoutAddress() async throws {
    let world = try await World.settled(members: 5)
    for (index, member) in world.members.enumerated() {
      member.stop()
      try await member.start(world.network, [world.node], hostname: "host-\(index)", addresses: [])
    }
    for round in 1...2 {
      for _ in 0..<8 {
        let guest = MachineIdentity.generate(random: world.random)
        try await world.anchor.add(guest.did, to: world.network)
        try await world.anchor.remove(guest.did, from: world.network)
      }
      let former = world.node.live(MeshProtocol.nodeInfo).map { $0.latest.message.cid }
      func left() -> Int {
        world.node.live(MeshProtocol.nodeInfo).count { former.contains($0.latest.message.cid) }
      }
      // By now all have seen it, and have looked at the clock.
      try await world.run(.seconds(41))
      #expect(left() > 0, "at the next look, in round \(round)")
      try await world.run(.seconds(89))
      #expect(left() == 0)
    }
    #expect(world.node.live(MeshProtocol.endpoint).count == 6)
  }

  @Test("a removal takes effect for all, and for the removed; nobody brings it back by showing what was")
  func removal() async throws {
    let world = try await World.settled(members: 2)
    let removed = world.members[1]
    let record = try #require(
      await world.anchor.keeper.ledger.nodes(of: world.network.id).first { $0.did == removed.did })
    let (network, wall) = (world.network.id, world.clock.wallTime())
    try await world.anchor.keeper.perform { ledger in
      var change = LedgerChange()
      try ledger.end(record.recordID, in: network, now: wall, to: &change)
      try ledger.writeDueHeads(now: wall, to: &change)
      return change
    }
    try await world.run(.seconds(25))
    #expect(await world.anchor.netmap?.peers.map(\.key) == [world.member.key])
    #expect(await world.member.netmap?.peers.map(\.key) == [world.anchor.key])
    #expect(await removed.netmap?.peers == [])
    #expect(await removed.status.membership == .removed)
    let old = world.node.history.entries.filter { $0.message.path != "network/head" }
    world.node.tell { request, reply, _ in
      guard request.kind == .recordsQuery else { return reply }
      var members = reply.members
      members["entries"] = .array((reply.members["entries"]?.array ?? []) + old.map(\.json))
      return Reply(reply.status, members: members)
    }
    world.member.stop()
    try await world.start(world.member, 0)
    try await world.run(.seconds(320))
    #expect(await world.member.netmap?.peers.map(\.key) == [world.anchor.key])
    #expect(await world.anchor.netmap?.peers.map(\.key) == [world.member.key])
    #expect(await world.member.status.refused.isEmpty == false)
  }

  @Test("a policy that this version does not evaluate denies everything, and status says so")
  func policy() async throws {
    let world = try await World.settled()
    let policy = try ACLPolicy([
      "version": 1, "rules": [["action": "accept", "src": ["*"], "dst": ["*"], "proto": "tcp"]],
    ])
    let (network, wall, random) = (world.network.id, world.clock.wallTime(), world.random)
    try await world.anchor.keeper.perform { try $0.setPolicy(policy, in: network, now: wall, random: random) }
    try await world.run(.seconds(20))
    for device in world.devices {
      #expect(await device.netmap?.filter == .denyAll)
      #expect(await device.status.notes.contains { $0.contains("does not evaluate") })
    }
  }

  @Test("changed addresses are published once they are quiet, and reach the others with another revision")
  func roaming() async throws {
    let world = try await World.settled()
    let before = try #require(await world.anchor.netmap?.peers.first)
    await world.member.plane?.setReach(Reach(hostAddresses: [SocketAddress("10.0.0.9:1")!]))
    await world.member.plane?.setReach(Reach(hostAddresses: [SocketAddress("10.0.0.9:2")!]))
    try await world.run(.seconds(15))
    let after = try #require(await world.anchor.netmap?.peers.first)
    #expect(after.endpoints == [SocketAddress("10.0.0.9:2")!])
    #expect(after.revision != before.revision)
    #expect(world.node.arrivals.count { $0 == "write network/node/endpoint" } == 3)
  }

  @Test("a node that lost a machine's own records is given them again")
  func ownRecordsLost() async throws {
    let world = try await World.settled()
    let member = world.member.did
    world.node.drop { $0.author == member }
    #expect(world.node.live(MeshProtocol.endpoint).count == 1)
    try await world.run(.seconds(320))
    #expect(world.node.live(MeshProtocol.endpoint).count == 2)
    #expect(world.node.live(MeshProtocol.nodeInfo).count == 2)
  }

  @Test("when the first endpoint does not answer the next one is polled")
  func secondEndpoint() async throws {
    let world = try await World.settled()
    let dead = FakeNode(name: "dead", tenant: world.anchor.did)
    dead.isReachable = false
    let third = try await world.newMachine()
    try await world.anchor.add(third.did, to: world.network, label: "third")
    try await third.start(world.network, [dead, world.node])
    try await world.simulation.run(.seconds(20), [world.anchor, third])
    #expect(await third.netmap?.peers.count == 2)
    let asked = world.node.count(.recordsQuery)
    try await world.simulation.run(.seconds(20), [third])
    #expect(world.node.count(.recordsQuery) > asked)
  }
}
