import Cryptography
import DWN
import Identity
import Netmap
import TestSupport
import Testing
import Wire

@testable import Control
@testable import Mesh

@Suite("A node that lies")
struct LyingNodeTests {
  /// A member's netmap must never hold anything that was not so, and never again what has ended.
  final class Witness {
    let world: World
    var addresses: [X25519PublicKey: [IPPrefix]] = [:]
    var endpoints: [X25519PublicKey: Set<SocketAddress>] = [:]
    var removed: X25519PublicKey?
    var hasSeenRemoval = false
    var hasSeenDenial = false

    init(_ world: World) async {
      self.world = world
      for (index, device) in world.devices.enumerated() {
        endpoints[device.key] = [SocketAddress(World.address(index))!]
      }
      for node in await world.anchor.keeper.ledger.nodes(of: world.network.id) {
        guard let key = node.did.wireGuardKey else { continue }
        addresses[key] = [IPPrefix(host: node.record.meshIP), IPPrefix(host: AddressPlan.ipv6(for: node.did))]
      }
    }

    func look(at device: Device) async {
      guard let netmap = await device.netmap else { return }
      #expect(netmap.node.addresses == addresses[device.key])
      for peer in netmap.peers {
        #expect(peer.addresses == addresses[peer.key])
        #expect(peer.allowedIPs == addresses[peer.key])
        #expect(Set(peer.endpoints).isSubset(of: endpoints[peer.key] ?? []))
        #expect(["anchor", "member-0", "member-1"].contains(peer.name))
      }
      #expect(netmap.relays == [])
      guard device === world.member else { return }
      if let removed {
        let isThere = netmap.peers.contains { $0.key == removed }
        if hasSeenRemoval { #expect(!isThere, "the removed machine is back") }
        if !isThere, netmap.peers.count == 1 { hasSeenRemoval = true }
      }
      if hasSeenDenial { #expect(netmap.filter == .denyAll, "the filter is open again") }
      if netmap.filter == .denyAll { hasSeenDenial = true }
    }
  }

  @Test(
    "whatever it edits, swaps, reorders, replays, hides and invents, no netmap gains anything", arguments: UInt64(1)...6
  )
  func adversary(seed: UInt64) async throws {
    let world = try await World.settled(members: 2, seed: seed)
    let witness = await Witness(world)
    let removed = world.members[1]
    let stranger = try await world.newMachine()
    let clock = world.clock
    var liar = RandomLiar(
      random: SeededRandom(seed &* 977),
      accomplices: [MessageSigner(stranger.identity), MessageSigner(removed.identity)],
      time: { clock.wallTime() })
    let anchorDID = world.anchor.did
    func lie(_ liar: RandomLiar) {
      // The anchor's own node is its own; the lies are for the others.
      world.node.tell { request, reply, history in
        request.isSigned(by: anchorDID) ? reply : liar.answer(request, reply, history)
      }
    }
    lie(liar)
    try await world.run(.seconds(30)) { await witness.look(at: $0) }

    let record = try #require(
      await world.anchor.keeper.ledger.nodes(of: world.network.id).first { $0.did == removed.did })
    let (network, wall, random) = (world.network.id, clock.wallTime(), world.random)
    let deny = try ACLPolicy(["version": 1, "rules": [["action": "drop", "src": ["*"], "dst": ["*"]]]])
    try await world.anchor.keeper.perform { ledger in
      var change = LedgerChange()
      try ledger.end(record.recordID, in: network, now: wall, to: &change)
      try ledger.write(
        deny, at: MeshProtocol.aclPolicy, squash: true, in: network, now: wall, random: random, to: &change)
      try ledger.writeDueHeads(now: wall, to: &change)
      return change
    }
    witness.removed = removed.key
    try await world.run(.seconds(60)) { await witness.look(at: $0) }
    liar.dishonesty = 1000
    lie(liar)
    world.member.stop()
    try await world.start(world.member, 0)
    await witness.look(at: world.member)
    try await world.run(.seconds(30)) { await witness.look(at: $0) }
    #expect(await world.member.status.refused.contains { $0.count > 0 }, "seed \(seed): nothing was refused")

    // Lies leave nothing behind: with the truth comes the true state.
    world.node.tell(nil)
    try await world.run(.seconds(120)) { await witness.look(at: $0) }
    #expect(await world.member.netmap?.peers.map(\.key) == [world.anchor.key], "seed \(seed)")
    #expect(await world.member.netmap?.filter == .denyAll, "seed \(seed)")
    #expect(await world.member.netmap?.peers.first?.endpoints == [SocketAddress(World.address(0))!], "seed \(seed)")
  }

  @Test(
    "a head whose set is not shown is not accepted, what was accepted stays, and status says what is wrong after 10 s")
  func hiddenRecord() async throws {
    let world = try await World.settled()
    let before = try #require(await world.member.netmap)
    let third = try await world.newMachine()
    try await world.anchor.add(third.did, to: world.network, label: "third")
    let hidden = third.did.text
    world.node.tell { _, reply, _ in reply.hiding { $0.path == "network/node" && $0.recipient == hidden } }
    try await world.run(.seconds(8))
    #expect(await world.member.netmap == before)
    try await world.run(.seconds(20))
    #expect(await world.member.netmap == before)
    let status = await world.member.status
    #expect(status.pending.contains { $0.contains("covers another set") })
    #expect(status.snapshot.state == .degraded)
    world.node.tell(nil)
    try await world.run(.seconds(12))
    #expect(await world.member.netmap?.peers.count == 2)
    #expect(await world.member.status.pending == [])
  }

  @Test("a node that hides the head freezes, and does no more")
  func hiddenHead() async throws {
    let world = try await World.settled()
    let before = try #require(await world.member.netmap)
    let third = try await world.newMachine()
    try await world.anchor.add(third.did, to: world.network, label: "third")
    world.node.tell { _, reply, _ in reply.hiding { $0.path == "network/head" } }
    try await world.run(.seconds(60))
    #expect(await world.member.netmap == before)
  }

  @Test("a record that is no longer shown is read by id, and its delete counts at once")
  func deleteByID() async throws {
    let world = try await World.settled(members: 2)
    let removed = world.members[1]
    let record = try #require(
      await world.anchor.keeper.ledger.nodes(of: world.network.id).first { $0.did == removed.did })
    // The delete arrives, the head that covers it does not.
    let (network, wall) = (world.network.id, world.clock.wallTime())
    world.node.refuse { $0.descriptor["protocolPath"]?.string == "network/head" ? Reply(.init(503, "later")) : nil }
    try await world.anchor.keeper.perform { ledger in
      var change = LedgerChange()
      try ledger.end(record.recordID, in: network, now: wall, to: &change)
      return change
    }
    try await world.run(.seconds(320))
    #expect(await world.member.netmap?.peers.map(\.key) == [world.anchor.key])
  }

  @Test("what a member signs beyond its role is refused, counted and reported")
  func memberBeyondRole() async throws {
    let world = try await World.settled(members: 2)
    let signer = MessageSigner(world.members[1].identity)
    let node = world.node.live(MeshProtocol.node).first { $0.latest.recipient == world.anchor.did }!
    let forged = signer.recordsWrite(
      RecordDraft(
        protocolURI: MeshProtocol.uri, path: MeshProtocol.endpoint, parent: node.latest.contextID,
        schema: MeshProtocol.schema(of: MeshProtocol.endpoint), recipient: world.anchor.did, squash: true,
        encryption: node.latest.encryption.map { .object($0) }, data: node.data), at: world.clock.wallTime())
    let entry = ReplyEntry(message: forged.message.value, data: node.data).json
    world.node.tell { request, reply, _ in
      guard request.descriptor["filter"]?["protocolPath"]?.string == "network/node/endpoint" else { return reply }
      var members = reply.members
      members["entries"] = .array((members["entries"]?.array ?? []) + [entry])
      return Reply(reply.status, members: members)
    }
    try await world.run(.seconds(15))
    let refused = try #require(await world.member.status.refused.first)
    #expect(refused.recordID == forged.recordID.text)
    #expect(refused.path == "network/node/endpoint")
    #expect(refused.author == world.members[1].did.text)
    #expect(refused.count >= 1)
    #expect(await world.member.status.refused.count == 1)
    #expect(
      await world.member.netmap?.peers.first { $0.key == world.anchor.key }?.endpoints == [
        SocketAddress(World.address(0))!
      ])
  }

  @Test("an anchor learns neither members nor policy from its node")
  func anchorLearnsNothing() async throws {
    let world = try await World.settled()
    let stranger = try await world.newMachine()
    let clock = world.clock
    let liar = RandomLiar(
      random: SeededRandom(5), accomplices: [MessageSigner(stranger.identity), MessageSigner(world.member.identity)],
      dishonesty: 1000, time: { clock.wallTime() })
    world.node.tell { liar.answer($0, $1, $2) }
    let before = try #require(await world.anchor.netmap)
    try await world.run(.seconds(400)) { device in
      guard device === world.anchor, let netmap = await device.netmap else { return }
      #expect(netmap.peers.map(\.key) == before.peers.map(\.key))
      #expect(netmap.peers.map(\.addresses) == before.peers.map(\.addresses))
      #expect(netmap.filter == before.filter)
    }
    #expect(await world.anchor.keeper.ledger.foreign == [])
  }
}
