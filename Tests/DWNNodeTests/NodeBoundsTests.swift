import DWN
import Foundation
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a node holds in all. Who runs it says so, and its own tenants go on when the bounds are reached.
@Suite(.timeLimit(.minutes(10)))
struct NodeBoundsTests {
  private let tenancy: TestTenancy
  private let free = Counter(1 << 30)

  private final class Counter: Sendable {
    private let value: Mutex<Int?>
    init(_ value: Int?) { self.value = Mutex(value) }
    func set(_ value: Int?) { self.value.withLock { $0 = value } }
    var now: Int? { value.withLock { $0 } }
  }

  init() throws { tenancy = try TestTenancy() }

  private func node(_ tenants: Tenancy, _ bounds: NodeBounds, step: Duration = .seconds(1)) throws -> DWNNode {
    var limits = NodeLimits()
    limits.bounds = bounds
    let path = tenancy.folder.appendingPathComponent("bounded").appendingPathComponent("node.sqlite").path
    // As a second of this clock goes by with every message, what is stored is summed up anew.
    let uptime = Mutex(Instant.now())
    return DWNNode(
      store: try SQLiteMessageStore(path: path, limits: limits), tenants: tenants, limits: limits,
      directory: OfflineResolver(),
      uptime: {
        uptime.withLock {
          $0 = $0 + step
          return $0
        }
      }, freeDisk: { [free] in free.now })
  }

  private func install(_ node: DWNNode, _ person: Person) async throws -> String {
    let definition = try tenancy.definition(
      #"{"box": {"$actions": [{"who": "anyone", "can": ["create", "update", "delete"]}]}}"#)
    let message = person.signer.protocolsConfigure(definition, at: tenancy.tick())
    return status(try await node.process(tenant: person.did, message: message.message.value, data: nil))
  }

  private func write(
    _ node: DWNNode, _ author: Person, to tenant: Person, size: Int = 2
  ) async throws -> (status: String, write: RecordsWrite) {
    let draft = tenancy.draft("box", data: "\"" + String(repeating: "x", count: size) + "\"")
    let write = author.signer.recordsWrite(draft, at: tenancy.tick())
    let reply = try await node.process(tenant: tenant.did, message: write.message.value, data: draft.data)
    return (status(reply), write)
  }

  private func status(_ reply: Reply) -> String {
    reply.status.isSuccess
      ? "\(reply.status.code)" : "\(reply.status.code) \(reply.status.detail.prefix { $0 != ":" })"
  }

  @Test("on a disk that is nearly full, guests and tenants who are not named wait with 507, and those who are go on")
  func floor() async throws {
    let (alice, bob) = (tenancy.alice, tenancy.bob)
    let list = TenantList(owner: alice.did)
    list.replace(with: [bob.did])
    let node = try node(.kept(list), NodeBounds(freeDisk: 1 << 20))
    #expect(try await install(node, alice) == "202")
    #expect(try await install(node, bob) == "202")
    let earlier = try await write(node, bob, to: alice)
    #expect(earlier.status == "202")

    free.set(2 << 20)
    #expect(await node.refusalOfRoom(for: 1 << 20, of: bob.did, at: alice.did) == nil)
    #expect(await node.refusalOfRoom(for: 2 << 20, of: bob.did, at: alice.did)?.status == 507)
    #expect(await node.refusalOfRoom(for: 2 << 20, of: alice.did, at: alice.did) == nil)
    free.set(1 << 20)
    #expect(try await write(node, bob, to: alice).status == "507 NodeDiskReserved")
    #expect(try await write(node, bob, to: bob).status == "507 NodeDiskReserved")
    #expect(try await write(node, alice, to: bob).status == "507 NodeDiskReserved")
    #expect(try await write(node, alice, to: alice).status == "202")
    // What frees room is always welcome.
    let delete = bob.signer.recordsDelete(earlier.write.recordID, prune: false, at: tenancy.tick())
    let ended = try await node.process(tenant: alice.did, message: delete.message.value, data: nil)
    #expect(ended.status.code == 202, "\(ended.status)")

    free.set(nil)
    #expect(try await write(node, bob, to: alice).status == "202", "nobody knows how much is free")
    free.set(1 << 30)
    #expect(try await write(node, bob, to: bob).status == "202")
    await node.close()
  }

  @Test("all tenants together have what the node was given, and a tenant who is named more")
  func total() async throws {
    let (alice, bob, carol) = (tenancy.alice, tenancy.bob, tenancy.carol)
    let list = TenantList(owner: alice.did)
    list.replace(with: [bob.did, carol.did])
    let node = try node(.kept(list), NodeBounds(total: 100_000))
    for person in [alice, bob, carol] { #expect(try await install(node, person) == "202") }
    #expect(try await write(node, bob, to: bob, size: 45_000).status == "202")
    #expect(try await write(node, carol, to: carol, size: 45_000).status == "202")
    #expect(try await write(node, bob, to: bob, size: 45_000).status == "507 NodeStorageExceeded")
    #expect(try await write(node, carol, to: alice, size: 45_000).status == "507 NodeStorageExceeded")
    #expect(try await write(node, alice, to: alice, size: 45_000).status == "202")
    await node.close()
  }

  @Test("an open node takes so many tenants, and those whom it has go on")
  func newcomers() async throws {
    let node = try node(.open, NodeBounds(tenants: 2))
    #expect(try await install(node, tenancy.alice) == "202")
    #expect(try await install(node, tenancy.bob) == "202")
    #expect(try await install(node, tenancy.carol) == "507 NodeTenantsExceeded")
    #expect(try await write(node, tenancy.bob, to: tenancy.bob).status == "202")
    await node.close()
  }

  @Test("who is refused takes no tenant's place, also before it is counted anew")
  func refused() async throws {
    let node = try node(.open, NodeBounds(tenants: 1), step: .zero)
    for _ in 0..<3 {
      #expect(try await write(node, tenancy.bob, to: tenancy.alice).status.hasPrefix("400"))
    }
    #expect(try await install(node, tenancy.alice) == "202")
    #expect(try await install(node, tenancy.bob) == "507 NodeTenantsExceeded")
    await node.close()
  }

  @Test("so many may register, and who has done so may do it again")
  func registrations() async throws {
    let node = try node(
      .registered(RegistrationRequirements(work: 0), named: [tenancy.alice.did]), NodeBounds(tenants: 1))
    func register(_ person: Person) async throws {
      let challenge = try #require(node.gate.challenge(now: .now()))
      let json: JSONValue = [
        "registrationData": ["did": .string(person.did.text)],
        "proofOfWork": [
          "challengeNonce": .string(challenge.nonce),
          "responseNonce": .string(Hex.encode(SystemRandom().bytes(32))),
        ],
      ]
      try await node.gate.register(json, at: .now(), now: .now())
    }
    try await register(tenancy.bob)
    let refusal = await #expect(throws: RegistrationRefusal.self) { try await register(tenancy.carol) }
    #expect(refusal?.code == "RegistrationManagerTenantLimitReached")
    try await register(tenancy.bob)
    #expect(try await node.gate.refusal(of: tenancy.carol.did) != nil)
    await node.close()
  }

  @Test("a newcomer whose write is made twice before it is committed is one newcomer")
  func twice() async throws {
    let path = tenancy.folder.appendingPathComponent("twice").appendingPathComponent("node.sqlite").path
    let store = try SQLiteMessageStore(path: path)
    let room = NodeRoom(NodeBounds(tenants: 1), freeDisk: { nil })
    try await room.check(0, in: store, now: .now())
    let (bob, carol) = (tenancy.bob.did, tenancy.carol.did)
    try await store.write(bob) { transaction in
      for _ in 0..<2 { _ = try room.counting(bob, transaction) { .accepted } }
    }
    await #expect(throws: DWNError.self) {
      try await store.write(carol) { transaction in _ = try room.counting(carol, transaction) { .accepted } }
    }
    await store.close()
  }

  @Test("who looks at the node from outside sees its bounds, and how much of the disk is free")
  func statistics() async throws {
    var limits = NodeLimits()
    limits.bounds = NodeBounds(total: 1 << 30, tenants: 7, freeDisk: 5)
    let path = tenancy.folder.appendingPathComponent("seen").appendingPathComponent("node.sqlite").path
    try await DWNNode(databasePath: path, tenants: [tenancy.alice.did], limits: limits).close()
    let archive = try NodeArchive(databasePath: path)
    defer { archive.close() }
    let statistics = try archive.statistics()
    #expect(statistics.bounds == limits.bounds)
    #expect(statistics.freeDisk ?? 0 > 0)
  }
}
