import DWN
import Cryptography
import Identity
import Mesh
import Netmap
import Synchronization
import Testing
import Wire

@testable import Control

@Suite("How machines are reached, told through the mesh")
struct ReachLifeTests {
  private let discoKey = X25519PublicKey([UInt8](repeating: 9, count: 32))!

  private func reach(_ endpoints: [(String, Reach.Endpoint.Source)], home: UInt16? = 1) -> Reach {
    Reach(
      endpoints: endpoints.map { Reach.Endpoint(SocketAddress($0.0)!, $0.1) }, natMapping: .endpointIndependent,
      discoKey: discoKey, homeRelay: home)
  }

  private func offer(_ number: UInt8) -> RelayOffer {
    RelayOffer(
      ipv4: IPAddress("203.0.113.\(number)"), port: 8788, stunPorts: [8788],
      certSHA256: Bytes32([UInt8](repeating: number, count: 32))!)
  }

  @Test("what one machine finds out about itself is in the other's netmap")
  func told() async throws {
    let world = try await World.settled()
    await world.member.plane?.setReach(
      Reach(
        endpoints: [.init(SocketAddress("203.0.113.5:7")!, .pcp), .init(SocketAddress("192.168.1.2:7")!, .host)],
        natMapping: .endpointDependent, discoKey: discoKey, homeRelay: 3, standbyRelay: 1))
    try await world.run(.seconds(15))
    let peer = try #require(await world.anchor.netmap?.peers.first)
    #expect(peer.endpoints.map(\.description) == ["203.0.113.5:7", "192.168.1.2:7"])
    #expect(peer.discoKey == discoKey && peer.relayIDs == [3, 1])
    #expect(peer.natMapping == .endpointDependent && peer.hasMappedPort)
  }

  @Test("a machine that is added again is heard, though something below its former record was never taken")
  func addedAgain() async throws {
    let world = try await World.settled(isLive: true)
    let did = world.member.did
    world.node.refuse { $0.isSigned(by: did) ? Reply(.init(503, "later")) : nil }
    await world.member.plane?.setReach(
      Reach(endpoints: [.init(SocketAddress("203.0.113.5:7")!, .pcp)], discoKey: discoKey))
    try await world.run(.seconds(5))
    #expect(await world.member.status.pending != [])
    try await world.anchor.remove(did, from: world.network)
    try await world.run(.seconds(1))
    try await world.anchor.add(did, to: world.network, label: "again")
    try await world.run(.seconds(1))
    world.node.refuse(nil)
    try await world.run(.seconds(400))
    #expect(await world.member.status.pending == [])
    #expect(await world.anchor.netmap?.peers.map(\.discoKey) == [discoKey])
  }

  @Test("ports that others see are written once a minute while a relay is connected, a new address at once")
  func ports() async throws {
    let world = try await World.settled()
    let plane = try #require(world.member.plane)
    await plane.setReach(reach([("203.0.113.5:1000", .stun)]))
    try await world.run(.seconds(5))
    var revisions: Set<UInt64> = []
    var stamps: Set<WallTime> = []
    for port in 1...50 {
      await plane.setReach(reach([("203.0.113.5:\(2000 + port)", .stun)]))
      try await world.run(.seconds(3)) { _ in
        if let stamp = await plane.view?.own?.endpointStamp { stamps.insert(stamp) }
        if let revision = await world.anchor.netmap?.peers.first?.revision { revisions.insert(revision) }
      }
    }
    #expect((3...4).contains(stamps.count))
    #expect(revisions.count == 1)
    await plane.setReach(reach([("203.0.113.6:2000", .stun)]))
    try await world.run(.seconds(1))
    #expect(await plane.view?.own?.endpoint?.publicEndpoints.first?.address.description == "203.0.113.6:2000")
  }

  @Test("after a restart nothing is written while what is published is still so, nor before the network was checked")
  func restart() async throws {
    let world = try await World.settled()
    try await addRelay(world)
    let full = reach([("203.0.113.5:1000", .stun), ("192.168.1.2:7", .host)])
    await world.member.plane?.setReach(full)
    try await world.run(.seconds(5))
    world.member.stop()
    try await world.member.start(world.network, [world.node], hostname: "host-0", addresses: [])
    let plane = try #require(world.member.plane)
    let before = try #require(await plane.view?.own?.endpointStamp)
    await plane.setReach(
      Reach(endpoints: [.init(SocketAddress("192.168.1.2:7")!, .host)], discoKey: discoKey))
    try await world.run(.milliseconds(1900))
    #expect(await plane.view?.own?.endpointStamp == before)
    await plane.setReach(full)
    try await world.run(.seconds(60))
    #expect(await plane.view?.own?.endpointStamp == before)
    await plane.setReach(Reach(endpoints: [.init(SocketAddress("192.168.1.2:7")!, .host)], discoKey: discoKey))
    try await world.run(.seconds(3))
    #expect(await plane.view?.own?.endpoint?.publicEndpoints == [])
  }

  @Test(
    "where nothing answers, the first write comes two seconds after the start, not two after the engine's first word")
  func firstWrite() async throws {
    let world = try await World.settled()
    try await addRelay(world)
    await world.member.plane?.setReach(reach([("203.0.113.5:1000", .stun)]))
    try await world.run(.seconds(5))
    world.member.stop()
    try await world.member.start(world.network, [world.node], hostname: "host-0", addresses: [])
    let plane = try #require(world.member.plane)
    try await world.run(.seconds(2))
    await plane.setReach(
      Reach(endpoints: [.init(SocketAddress("192.168.1.2:7")!, .host)], discoKey: discoKey))
    try await world.run(.milliseconds(500))
    #expect(await plane.view?.own?.endpoint?.publicEndpoints == [])
  }

  @Test("a member's relay is told to all once the anchor could reach it, follows its offer, and goes a day after it")
  func memberRelay() async throws {
    let world = try await World.settled(members: 2)
    let tried = Mutex<[RelayOffer]>([])
    let works = Mutex(false)
    world.anchor.stop()
    try await world.anchor.start(
      world.network, [world.node], addresses: [World.address(0)],
      verifyRelay: { offer in
        tried.withLock { $0.append(offer) }
        return works.withLock { $0 } ? offer : nil
      })
    let plane = try #require(world.member.plane)
    await plane.setRelayOffer(offer(1))
    try await world.run(.seconds(15))
    #expect(await world.members[1].netmap?.relays == [])
    #expect((1...2).contains(tried.withLock { $0.count }))
    func notes() async -> [String] {
      await world.anchor.plane?.status().notes.filter { $0.contains("the relay that member-0 offers") } ?? []
    }
    let told = await notes()
    #expect(told.count == 1, "the anchor says what is wrong with it: \(told)")
    works.withLock { $0 = true }
    try await world.run(.seconds(60))
    let relay = try #require(await world.members[1].netmap?.relays.first)
    #expect(relay.id == 1 && relay.host == "203.0.113.1" && relay.port == 8788 && relay.region == "member-0")
    #expect(relay.certificateSHA256 == offer(1).certSHA256)
    #expect(await notes().isEmpty)
    let count = tried.withLock { $0.count }
    world.clock.advance(by: .seconds(600))
    try await world.run(.seconds(15))
    #expect(tried.withLock { $0.count } == count)
    await plane.setRelayOffer(offer(2))
    try await world.run(.seconds(60))
    #expect(await world.members[1].netmap?.relays.map(\.host) == ["203.0.113.2"])
    #expect(await world.members[1].netmap?.relays.map(\.id) == [1])
    await plane.setRelayOffer(nil)
    try await world.run(.seconds(15))
    world.clock.advance(by: .seconds(23 * 3600))
    try await world.run(.seconds(15))
    #expect(await world.members[1].netmap?.relays.count == 1)
    world.clock.advance(by: .seconds(3600))
    try await world.run(.seconds(15))
    #expect(await world.members[1].netmap?.relays == [])
  }

  private func addRelay(_ world: World) async throws {
    let (network, wall, random) = (world.network.id, world.clock.wallTime(), world.random)
    let plan = RelayPlan(host: RelayHost("r.example")!, port: 8787)
    _ = try await world.anchor.keeper.perform { ledger in
      let (relay, change) = try ledger.addRelay(plan, to: network, now: wall, random: random)
      return (relay, change)
    }
    try await world.run(.seconds(15))
  }
}
