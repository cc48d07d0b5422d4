import DWN
import Identity
import Logging
import Netmap
import Synchronization
import Testing
import Wire

@testable import Control
@testable import Mesh

@Suite("The anchor's daemon")
struct AnchorTests {
  @Test("a change made while the node is away survives a restart and is published when it is back")
  func outbox() async throws {
    let world = try await World.settled()
    let third = try await world.newMachine()
    world.node.isReachable = false
    try await world.anchor.add(third.did, to: world.network, label: "third")
    try await world.run(.seconds(5))
    #expect(await world.anchor.status.pending.contains { $0.contains("not yet published to node") })
    world.anchor.stop()
    try await world.anchor.start(world.network, [world.node])
    try await world.run(.seconds(5))
    #expect(world.node.live(MeshProtocol.node).count == 2)
    world.node.isReachable = true
    try await world.run(.seconds(90))
    #expect(world.node.live(MeshProtocol.node).count == 3)
    #expect(await world.anchor.status.pending == [])
    #expect(await world.member.netmap?.peers.count == 2)
  }

  @Test("what is published while a node is looked at is not taken for lacking there")
  func publishedMeanwhile() async throws {
    let world = try await World.settled()
    let keeper = world.anchor.keeper
    let before = await keeper.done(at: world.node.name)
    try await world.anchor.add(world.newMachine().did, to: world.network, label: "third")
    try await world.run(.seconds(5))
    #expect(await keeper.done(at: world.node.name).count > before.count)
    func lacking(since: Set<String>?) async throws -> Set<String> {
      let audit = try await keeper.audit(
        [], of: world.network.id, complete: [MeshProtocol.node], includesDefinitions: false, at: world.node.name,
        since: since)
      return Set(audit.lacking.map(\.element))
    }
    let found = try await lacking(since: before)
    #expect(!found.isEmpty && found.isSubset(of: before))
    try await world.run(.seconds(5))
    #expect(try await lacking(since: nil).count == found.count + 1)
  }

  @Test("the keys that a removal brings are not published twice for a look that began before")
  func keysMeanwhile() async throws {
    let world = try await World.settled(members: 3)
    let keeper = world.anchor.keeper
    let paths: Set<ProtocolPath> = [KeyDeliveryProtocol.contextKey]
    let before = await keeper.done(at: world.node.name)
    func look() async throws -> [ReplyEntry] {
      let queries = NodeQueries(
        endpoint: world.node, network: world.network, signer: MessageSigner(world.anchor.identity), role: nil,
        time: world.clock.wallTime())
      return try await queries.together([.allDeliveries])
    }
    let shown = try await look()
    try await world.anchor.remove(world.members[0].did, from: world.network)
    try await world.run(.seconds(5))
    let audit = try await keeper.audit(
      shown, of: world.network.id, complete: paths, includesDefinitions: false, at: world.node.name, since: before)
    #expect(audit.lacking.map(\.place) == [])
    let late = try await keeper.audit(
      shown, of: world.network.id, complete: paths, includesDefinitions: false, at: world.node.name)
    #expect(!late.lacking.isEmpty)
  }

  @Test("keys for many machines go to a node side by side, and the head that covers them after all of them")
  func sideBySide() async throws {
    let world = try await World.settled(members: 12)
    try await world.anchor.remove(world.members[0].did, from: world.network)
    let endpoint = CountingEndpoint(world.node)
    let publisher = Publisher(
      keeper: world.anchor.keeper, endpoint: endpoint, quorum: RefusalQuorum([endpoint.name]), network: world.network,
      clock: world.clock, logger: Logger(label: "test"))
    #expect(await publisher.publish() == .finished)
    let paths = endpoint.answered.withLock { $0 }
    #expect(paths.count { $0 == KeyDeliveryProtocol.contextKey.text } == 11)
    #expect(paths.last == MeshProtocol.head.text)
    #expect((2...8).contains(endpoint.most.withLock { $0 }))
  }

  @Test("what a node has no room for holds back no removal, and goes there once that has made room")
  func removalFirst() async throws {
    let world = try await World.settled(members: 2, isLive: true)
    let (first, second) = (world.members[0], world.members[1])
    let third = try await world.newMachine()
    world.node.refuse {
      $0.kind == .recordsWrite ? Reply(.init(507, "NodeStorageExceeded: this node holds as much as it may")) : nil
    }
    try await world.anchor.add(third.did, to: world.network, label: "third")
    try await world.run(.seconds(5))
    #expect(world.node.live(MeshProtocol.node).count == 3)
    try await world.anchor.remove(second.did, from: world.network)
    // It was never there, so there is nothing to delete before it is.
    try await world.anchor.remove(third.did, from: world.network)
    try await world.run(.seconds(60))
    #expect(world.node.live(MeshProtocol.node).count == 2)
    #expect(await first.netmap?.peers.map(\.key) == [world.anchor.key])
    #expect(await world.anchor.status.pending.contains { $0.contains("not yet published to node") })
    world.node.refuse(nil)
    try await world.run(.seconds(400))
    #expect(await world.anchor.status.pending == [])
    #expect(world.node.live(MeshProtocol.node).count == 2)
    #expect(await first.netmap?.peers.map(\.key) == [world.anchor.key])
  }

  @Test("a node that lost everything is filled again from the ledger")
  func refill() async throws {
    let world = try await World.settled(members: 2)
    world.node.forgetEverything()
    try await world.run(.seconds(400))
    #expect(world.node.live(MeshProtocol.network).count == 1)
    #expect(world.node.live(MeshProtocol.node).count == 3)
    #expect(world.node.live(MeshProtocol.head).count == 1)
    #expect(world.node.live(MeshProtocol.aclPolicy).count == 1)
    #expect(world.node.live(KeyDeliveryProtocol.contextKey).count == 2)
    #expect(world.node.live(MeshProtocol.endpoint).count == 3)
    #expect(await world.member.status.pending == [])
  }

  @Test("a head is signed every hour, and no oftener when nothing changes")
  func heads() async throws {
    let world = try await World.settled()
    let before = try #require(await world.member.status.head?.sequence)
    try await world.run(.seconds(2 * 3600 + 60))
    let after = try #require(await world.member.status.head?.sequence)
    #expect(after - before == 2)
    #expect(await world.member.status.notes == [])
  }

  @Test("silence of more than three hours is mentioned")
  func silence() async throws {
    let world = try await World.settled()
    world.anchor.stop()
    try await world.run(.seconds(3 * 3600 + 600))
    #expect(await world.member.status.notes.contains { $0.contains("not been heard of") })
  }

  @Test("what a node takes of an anchor is in order: everything a head covers comes before it")
  func order() async throws {
    let world = try await World.settled()
    let arrivals = world.node.arrivals
    let firstHead = try #require(arrivals.firstIndex(of: "write network/head"))
    for needed in ["write network", "write network/node", "write network/aclPolicy"] {
      #expect(try #require(arrivals.firstIndex(of: needed)) < firstHead)
    }
  }

  @Test("something signed with its key that its ledger does not know stops all writing, and is reported")
  func foreignWriter() async throws {
    let world = try await World.settled()
    let copy = try await Device(
      world.anchor.identity, clock: world.clock, random: world.random,
      store: MemoryStore(await world.anchor.store.load()))
    try await copy.start(world.network, [world.node])
    let stranger = try await world.newMachine()
    try await copy.add(stranger.did, to: world.network, label: "by the copy")
    try await world.simulation.run(.seconds(5), [copy])
    copy.stop()
    try await world.run(.seconds(400))
    #expect(await world.anchor.netmap?.peers.map(\.key) == [world.member.key])
    let error = await #expect(throws: LedgerError.self) { try await world.anchor.add(stranger.did, to: world.network) }
    guard case .foreignWriter = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    let notes = await world.anchor.status.notes
    #expect(notes.contains { $0.contains("second machine") }, "\(notes)")
  }

  @Test("on a full disk nothing is signed, nothing is lost, and it goes on when there is room")
  func fullDisk() async throws {
    let world = try await World.settled()
    let third = try await world.newMachine()
    await world.anchor.store.setFull(true)
    await #expect(throws: MemoryStore.Full.self) { try await world.anchor.add(third.did, to: world.network) }
    #expect(await world.anchor.keeper.ledger.nodes(of: world.network.id).count == 2)
    try await world.run(.seconds(5))
    await world.anchor.store.setFull(false)
    try await world.anchor.add(third.did, to: world.network)
    try await world.run(.seconds(20))
    #expect(world.node.live(MeshProtocol.node).count == 3)
  }

  @Test(
    "a message that a node refuses for good is taken out again, a head without it follows, and its command fails with the node's words"
  )
  func refusal() async throws {
    let world = try await World.settled()
    let third = try await world.newMachine()
    let refused = third.did.text
    world.node.refuse { message in
      guard message.descriptor["recipient"]?.string == refused else { return nil }
      return Reply(.init(400, "RecordsWriteSomething: no"))
    }
    let change = try await world.anchor.add(third.did, to: world.network, label: "third")
    try await world.run(.seconds(30))
    let plane = try #require(world.anchor.plane)
    let refusal = await #expect(throws: PublicationRefused.self) {
      try await plane.waitUntilPublished(change, within: .seconds(1))
    }
    #expect(
      refusal?.description == "node refuses network/node for good: 400 RecordsWriteSomething: no. It was taken back")
    #expect(try await plane.waitUntilPublished(within: .seconds(1)))
    #expect(await world.anchor.netmap?.peers.map(\.key) == [world.member.key])
    #expect(await world.member.status.head?.sequence == world.anchor.keeper.ledger.head(of: world.network.id)?.seq)
    #expect(await world.member.status.pending == [])
  }

  @Test("decisions are taken one after the other, however many commands come at once")
  func serialised() async throws {
    let world = try await World.settled()
    var machines: [Device] = []
    for _ in 0..<8 { machines.append(try await world.newMachine()) }
    let (keeper, network, wall, random) = (world.anchor.keeper, world.network.id, world.clock.wallTime(), world.random)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for did in machines.map(\.did) {
        group.addTask {
          try await keeper.perform { ledger in
            guard
              case .added(_, let change) = try ledger.addNode(
                NodeAdmission(did: did), to: network, now: wall, random: random)
            else { return LedgerChange() }
            return change
          }
        }
      }
      try await group.waitForAll()
    }
    let nodes = await keeper.ledger.nodes(of: network)
    #expect(nodes.count == 10)
    #expect(Set(nodes.map(\.record.meshIP)).count == 10)
    let stored = await world.anchor.store.load()
    #expect(try Ledger(identity: world.anchor.identity, stored: stored).nodes(of: network) == nodes)
  }
}

/// Notes in which order messages were answered, and how many were on their way at once.
private final class CountingEndpoint: DWNEndpoint {
  private let node: FakeNode
  private let underWay = Mutex(0)
  let most = Mutex(0)
  let answered = Mutex<[String?]>([])

  init(_ node: FakeNode) { self.node = node }

  var name: String { node.name }

  func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply {
    let now = underWay.withLock { count in
      count += 1
      return count
    }
    most.withLock { $0 = max($0, now) }
    for _ in 0..<20 { await Task.yield() }
    underWay.withLock { $0 -= 1 }
    let reply = try await node.process(tenant: tenant, message: message, data: data)
    answered.withLock { $0.append(message["descriptor"]?["protocolPath"]?.string) }
    return reply
  }
}
