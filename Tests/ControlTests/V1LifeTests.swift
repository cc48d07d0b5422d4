import DWN
import Identity
import Mesh
import Netmap
import Testing
import Wire

@testable import Control

@Suite("A mesh with encryption v1 over a node")
struct V1LifeTests {
  @Test(
    "after create, add and join both machines have each other in their netmaps, with addresses, endpoints and policy")
  func createAddJoin() async throws {
    let world = try await World.settled(envelope: .v1)
    let (anchor, member) = (world.anchor, world.member)
    let ours = try #require(await anchor.netmap)
    let theirs = try #require(await member.netmap)
    #expect(ours.peers.map(\.key) == [member.key])
    #expect(theirs.peers.map(\.key) == [anchor.key])
    #expect(theirs.peers[0].addresses == ours.node.addresses)
    #expect(ours.peers[0].endpoints == [SocketAddress(World.address(1))!])
    #expect(theirs.peers[0].endpoints == [SocketAddress(World.address(0))!])
    #expect(ours.filter == .acceptAll && theirs.filter == .acceptAll)
    #expect(ours.node.name == "anchor" && theirs.node.name == "member-0")
    for device in world.devices {
      let status = await device.status
      #expect(status.pending == [])
      #expect(status.refused == [])
      #expect(status.membership == .member)
      #expect(status.head == nil)
      #expect(status.network.envelope == .v1)
      #expect(status.notes.count == 1 && status.notes[0].contains("replayable"))
    }
    #expect(world.node.live(EncryptionControl.audience).count == 2)
    #expect(world.node.live(EncryptionControl.delivery).map(\.latest.recipient) == [member.did])
    #expect(world.node.live(MeshProtocol.head).isEmpty)
  }

  @Test("a machine that is no tenant of the node gets no key, and both sides say why; once it is, it is in")
  func noTenant() async throws {
    let world = try await World(envelope: .v1)
    world.node.takesGuests = false
    try await world.run(.seconds(40))
    #expect(await world.member.netmap == nil)
    let status = await world.member.status
    #expect(status.membership == .waitingForKey)
    #expect(status.pending.contains { $0.contains("NotATenant") })
    #expect(await world.anchor.status.pending.contains { $0.contains(world.member.did.text) })
    #expect(world.node.live(MeshProtocol.endpoint).map(\.latest.author) == [world.anchor.did])
    world.node.takesGuests = true
    try await world.run(.seconds(90))
    #expect(await world.member.netmap?.peers.count == 1)
    #expect(await world.anchor.netmap?.peers.first?.endpoints.count == 1)
  }

  @Test(
    "a replica that does not serve members as tenants has their records all the same, and is named for what it lacks")
  func foreignReplica() async throws {
    let world = try await World.settled(envelope: .v1)
    let replica = FakeNode(name: "replica", tenant: world.anchor.did)
    replica.takesGuests = false
    for (index, device) in world.devices.enumerated() {
      device.stop()
      try await device.start(world.network, [world.node, replica], addresses: [World.address(index)])
    }
    try await world.run(.seconds(60))
    for path in [MeshProtocol.nodeInfo, MeshProtocol.endpoint] {
      #expect(Set(replica.live(path).map(\.latest.author)) == Set(world.devices.map(\.did)))
    }
    let status = await world.member.status
    #expect(status.pending == [])
    #expect(status.endpoints[0].trouble == nil)
    #expect(status.endpoints[1].trouble?.reason.contains("NotATenant") == true)
    #expect(status.endpoints[1].lacking == 1)
  }

  @Test("a node that lost everything is given what members installed, too: who is added again gets a key")
  func emptiedNode() async throws {
    let world = try await World.settled(envelope: .v1)
    world.node.forgetEverything()
    try await world.run(.seconds(400))
    try await world.anchor.remove(world.member.did, from: world.network)
    try await world.run(.seconds(60))
    #expect(await world.member.netmap?.peers.isEmpty == true)
    try await world.anchor.add(world.member.did, to: world.network)
    try await world.run(.seconds(90))
    #expect(await world.member.netmap?.peers.map(\.key) == [world.anchor.key])
  }

  @Test("what is told is in force at once: another policy, an address, a machine that goes")
  func told() async throws {
    let world = try await World.settled(members: 2, envelope: .v1, isLive: true)
    try await world.run(.seconds(90))
    #expect(await world.member.status.snapshot.isFollowing)
    let denying = try ACLPolicy(
      parsing: Array(#"{"version":2,"rules":[{"action":"drop","src":["*"],"dst":["*"]}]}"#.utf8))
    let before = world.node.questions
    try await world.anchor.setPolicy(denying, of: world.network)
    try await world.run(.seconds(1))
    for device in world.devices { #expect(await device.netmap?.filter == .denyAll) }
    // One look of the anchor's, who is not told that others wait for keys.
    #expect(world.node.questions <= before + MeshProtocol.ownRecords.count)

    let goes = world.members[1]
    try await world.anchor.remove(goes.did, from: world.network)
    try await world.run(.seconds(2))
    for device in world.devices.dropLast() {
      #expect(await device.netmap?.peers.contains { $0.key == goes.key } == false)
    }
  }

  @Test("an anchor that is told everything still looks for those who wait for their keys", arguments: [65, 80, 95])
  func joinedWhileFollowing(after time: Int) async throws {
    let world = try await World.settled(envelope: .v1, isLive: true)
    try await world.run(.seconds(time))
    let third = try await world.newMachine()
    // It installs its definition once it starts, after it was added.
    try await world.anchor.add(third.did, to: world.network, label: "third")
    try await world.run(.seconds(5))
    try await third.start(world.network, [world.node], addresses: [World.address(7)])
    try await world.simulation.run(.seconds(10), world.devices + [third])
    #expect(await third.netmap?.peers.count == 2)
    for device in world.devices { #expect(await device.netmap?.peers.contains { $0.key == third.key } == true) }
  }

  @Test("another policy takes effect everywhere")
  func policy() async throws {
    let world = try await World.settled(envelope: .v1)
    let denying = try ACLPolicy(
      parsing: Array(#"{"version":2,"rules":[{"action":"drop","src":["*"],"dst":["*"]}]}"#.utf8))
    try await world.anchor.setPolicy(denying, of: world.network)
    try await world.run(.seconds(20))
    #expect(await world.anchor.netmap?.filter == .denyAll)
    #expect(await world.member.netmap?.filter == .denyAll)
  }

  @Test("a removed machine has no peers, nobody has it, and the others have new keys and still each other")
  func removal() async throws {
    let world = try await World.settled(members: 3, envelope: .v1)
    let goes = world.members[2]
    let audiences = Set(world.node.live(EncryptionControl.audience).map(\.latest.recordID))
    try await world.anchor.remove(goes.did, from: world.network)
    try await world.run(.seconds(90))
    #expect(await goes.netmap?.peers.isEmpty == true)
    #expect(await goes.status.membership == .removed)
    let staying = [world.anchor] + world.members.prefix(2)
    for device in staying {
      #expect(await device.netmap?.peers.count == 2)
      #expect(await device.netmap?.peers.contains { $0.key == goes.key } == false)
      #expect(await device.netmap?.peers.allSatisfy { $0.endpoints.count == 1 } == true)
      #expect(await device.status.pending == [])
    }
    let replaced = world.node.live(EncryptionControl.audience)
    #expect(replaced.count == 2 && audiences.isDisjoint(with: replaced.map(\.latest.recordID)))
    let keys = Set(replaced.compactMap { $0.latest.tags?["keyId"]?.string })
    // Everything that is read is encrypted to the new keys by now.
    for path in [MeshProtocol.node, MeshProtocol.nodeInfo, MeshProtocol.endpoint, MeshProtocol.aclPolicy] {
      for record in world.node.live(path) where record.latest.author != goes.did {
        let envelope = try V1Envelope(.object(try #require(record.latest.encryption)))
        #expect(keys.isSubset(of: Set(envelope.entries.map(\.keyID))), "\(path)")
      }
    }
    // Who comes after that sees everybody.
    let late = try await world.newMachine()
    try await world.anchor.add(late.did, to: world.network, label: "late")
    try await late.start(world.network, [world.node], addresses: [World.address(7)])
    try await world.simulation.run(.seconds(40), staying + [late])
    #expect(await late.netmap?.peers.count == 3)
    #expect(await late.netmap?.peers.allSatisfy { $0.endpoints.count == 1 } == true)
  }

  @Test("a node that was emptied is filled again, with keys before what is encrypted to them")
  func emptied() async throws {
    let world = try await World.settled(members: 2, envelope: .v1)
    world.node.forgetEverything()
    try await world.run(.seconds(420))
    #expect(world.node.live(EncryptionControl.audience).count == 2)
    #expect(world.node.live(EncryptionControl.delivery).count == 2)
    #expect(world.node.live(MeshProtocol.endpoint).count == 3)
    let late = try await world.newMachine()
    try await world.anchor.add(late.did, to: world.network)
    try await late.start(world.network, [world.node])
    try await world.simulation.run(.seconds(40), world.devices + [late])
    #expect(await late.netmap?.peers.count == 3)
  }

  @Test("endpoints are written anew every four minutes, so that programs with a limit of five take nobody for offline")
  func refresh() async throws {
    let world = try await World.settled(envelope: .v1)
    var oldest: Duration = .zero
    for _ in 0..<60 {
      try await world.run(.seconds(15))
      let wall = world.clock.wallTime()
      for device in world.devices {
        for peer in await device.status.peers {
          oldest = max(oldest, wall - (try #require(peer.lastSeen)))
        }
      }
    }
    #expect(oldest < .seconds(300))
    #expect(world.node.arrivals.count { $0 == "write network/node/endpoint" } < 2 * 6)
  }

  @Test("with encryption v1 a daemon that starts while no node answers has the netmap it had")
  func away() async throws {
    let world = try await World.settled(members: 2, envelope: .v1)
    let before = try #require(await world.member.netmap)
    let anchorBefore = try #require(await world.anchor.netmap)
    world.node.isReachable = false
    world.member.stop()
    try await world.start(world.member, 0)
    #expect(await world.member.netmap == before)
    world.anchor.stop()
    try await world.anchor.start(world.network, [world.node])
    #expect(await world.anchor.netmap == anchorBefore)
  }

  @Test("a removed machine that a node shows again stays removed for those who saw its removal")
  func replay() async throws {
    let world = try await World.settled(members: 2, envelope: .v1)
    let goes = world.members[1]
    try await world.anchor.remove(goes.did, from: world.network)
    try await world.run(.seconds(60))
    #expect(await world.member.netmap?.peers.count == 1)
    world.node.tell { request, reply, history in
      guard request.kind == .recordsQuery, reply.status.isSuccess else { return reply }
      let wanted = request.descriptor["filter"]?["protocolPath"]
      let shown = history.entries.filter { $0.message["descriptor"]?["protocolPath"] == wanted }
      return Reply(.init(200, "OK"), members: ["entries": .array(shown.map(\.json))])
    }
    try await world.run(.seconds(60))
    #expect(await world.member.netmap?.peers.count == 1)
    #expect(await world.member.status.refused.contains { $0.reason.contains("delete was seen") })
  }

  @Test("keys that are delivered are told")
  func keysTold() async throws {
    let world = try await World.settled(members: 2, envelope: .v1, isLive: true)
    try await world.run(.seconds(90))
    let member = world.member
    func delivered() -> Set<String> {
      Set(
        world.node.live(EncryptionControl.delivery).filter { $0.latest.recipient == member.did }
          .compactMap { $0.latest.tags?["keyId"]?.string })
    }
    let before = delivered()
    try await world.anchor.remove(world.members[1].did, from: world.network)
    for _ in 0..<200 where delivered() == before { try await world.run(.milliseconds(100)) }
    let key = try #require(delivered().subtracting(before).first)
    try await world.run(.milliseconds(200))
    let cipher = try #require(await member.plane?.reader.cipher as? V1RecordCipher)
    #expect(cipher.keyring.key(key, of: MeshProtocol.node) != nil)
  }

  @Test("many machines that were added and never ran keep nobody from getting its keys")
  func manyAbsent() async throws {
    let world = try await World.settled(envelope: .v1)
    for _ in 0..<70 {
      try await world.anchor.add(MachineIdentity.generate(random: world.random).did, to: world.network)
    }
    let late = try await world.newMachine()
    try await world.anchor.add(late.did, to: world.network, label: "late")
    try await late.start(world.network, [world.node], addresses: [World.address(7)])
    try await world.simulation.run(.seconds(40), [world.anchor, late])
    #expect(await late.status.membership == .member)
  }
}
