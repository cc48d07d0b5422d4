import DWN
import Foundation
import GRDB
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Questions that take long keep nobody else from an answer.
@Suite(.timeLimit(.minutes(10)))
struct SlowQuestionTests {
  private let alice = SampleMessages.alice
  private let bob = SampleMessages.bob

  /// Somebody who reads until told to stop.
  private final class Reading: Sendable {
    private let state = Mutex((isBegun: false, mayEnd: false, gaveUp: false))
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(_ tenant: DID, _ turns: ReaderTurns, for asker: Asker = .anyone) {
      let task = Task {
        do {
          try await turns.read(tenant, for: asker) {
            state.withLock { $0.isBegun = true }
            while !state.withLock({ $0.mayEnd }) { try await Task.sleep(for: .milliseconds(2)) }
          }
        } catch {
          state.withLock { $0.gaveUp = error is CancellationError }
        }
      }
      self.task.withLock { $0 = task }
    }

    var isBegun: Bool { state.withLock { $0.isBegun } }
    var gaveUp: Bool { state.withLock { $0.gaveUp } }
    func end() { state.withLock { $0.mayEnd = true } }
    func cancel() { task.withLock { $0 }?.cancel() }
  }

  private final class Order: Sendable {
    let tenants = Mutex<[DID]>([])
  }

  /// Ends with the time limit too, as waiting for one of the tasks above would not.
  private func until(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(2)) }
  }

  @Test("a tenant has its share of the readers, another one the rest, and who waits has a turn")
  func share() async throws {
    let turns = ReaderTurns(readers: 4, share: 2)
    let first = (0..<4).map { _ in Reading(alice, turns) }
    try await until { first.count(where: \.isBegun) == 2 && turns.waiting == 2 }
    let other = Reading(bob, turns)
    try await until { other.isBegun }
    #expect(first.count(where: \.isBegun) == 2)
    first.first { $0.isBegun }?.end()
    try await until { first.count(where: \.isBegun) == 3 && turns.waiting == 1 }
    for reading in first + [other] { reading.end() }
    try await until { first.allSatisfy(\.isBegun) && turns.waiting == 0 }
  }

  @Test("tenants that wait have their turns one after the other, however many wait at one of them")
  func turns() async throws {
    let turns = ReaderTurns(readers: 1, share: 1)
    let held = Reading(SampleMessages.carol, turns)
    try await until { held.isBegun }
    let order = Order()
    for (number, tenant) in [alice, alice, alice, alice, bob, bob].enumerated() {
      Task { try await turns.read(tenant) { order.tenants.withLock { $0.append(tenant) } } }
      try await until { turns.waiting == number + 1 }
    }
    held.end()
    try await until { order.tenants.withLock { $0.count } == 6 }
    #expect(order.tenants.withLock { $0 } == [alice, bob, alice, bob, alice, alice])
  }

  @Test("what others wait for goes before a tenant's questions, and beside as many as are looked for")
  func first() async throws {
    let turns = ReaderTurns(readers: 3, share: 1)
    let held = Reading(alice, turns)
    try await until { held.isBegun }
    let waiting = Reading(alice, turns)
    try await until { turns.waiting == 1 }
    // There are readers left, only not for another question.
    #expect(try await turns.read(alice, for: .node) { !waiting.isBegun })
    held.end()
    try await until { waiting.isBegun }
    waiting.end()

    let single = ReaderTurns(readers: 1, share: 1)
    let only = Reading(alice, single)
    try await until { only.isBegun }
    let order = Order()
    let waiters: [(DID, Asker)] = [(bob, .anyone), (SampleMessages.carol, .node), (alice, .tenant)]
    for (count, (mark, asker)) in waiters.enumerated() {
      Task { try await single.read(alice, for: asker) { order.tenants.withLock { $0.append(mark) } } }
      try await until { single.waiting == count + 1 }
    }
    only.end()
    try await until { order.tenants.withLock { $0.count } == 3 }
    #expect(order.tenants.withLock { $0 } == [SampleMessages.carol, bob, alice])
  }

  @Test("what the tenant itself asks has a reader beside those of all others, and leaves one to other tenants")
  func ofTenant() async throws {
    let turns = ReaderTurns(readers: 4, share: 2)
    let strangers = (0..<3).map { _ in Reading(alice, turns) }
    try await until { strangers.count(where: \.isBegun) == 2 && turns.waiting == 1 }
    let own = (0..<2).map { _ in Reading(alice, turns, for: .tenant) }
    try await until { own.count(where: \.isBegun) == 1 && turns.waiting == 2 }
    let other = Reading(bob, turns)
    try await until { other.isBegun }
    // Who has waited longest goes on where others end; where the tenant's own reader is free, the tenant does.
    strangers.first { $0.isBegun }?.end()
    try await until { strangers.allSatisfy(\.isBegun) && turns.waiting == 1 }
    own.first { $0.isBegun }?.end()
    try await until { own.allSatisfy(\.isBegun) && turns.waiting == 0 }
    for reading in strangers + own + [other] { reading.end() }
  }

  @Test("who gives up while waiting leaves the line, and those behind come nearer")
  func leaving() async throws {
    let turns = ReaderTurns(readers: 1, share: 1)
    let held = Reading(alice, turns)
    try await until { held.isBegun }
    let leaving = Reading(alice, turns)
    try await until { turns.waiting == 1 }
    let staying = Reading(alice, turns)
    try await until { turns.waiting == 2 }
    leaving.cancel()
    try await until { leaving.gaveUp }
    #expect(turns.waiting == 1)
    held.end()
    try await until { staying.isBegun }
    staying.end()
    #expect(!leaving.isBegun)
  }

  @Test("what takes too long is cancelled and refused in words; what is quick, or fails by itself, is as it was")
  func deadlines() async throws {
    let deadlines = Deadlines(.milliseconds(50))
    for _ in 0..<2 {
      let refusal = await #expect(throws: DWNError.self) {
        try await deadlines.within { try await Task.sleep(for: .seconds(600)) }
      }
      #expect(refusal?.status == 503 && refusal?.code == "QueryTimeLimitExceeded")
    }
    // No machine is so busy that these take as long.
    let patient = Deadlines(.seconds(300))
    #expect(try await patient.within { 5 } == 5)
    await #expect(throws: NodeError.self) { try await patient.within { throw NodeError.diskFull(path: "x") } }
    let asker = Task { try await patient.within { try await Task.sleep(for: .seconds(600)) } }
    asker.cancel()
    await #expect(throws: CancellationError.self) { try await asker.value }
  }

  @Test("a statement of SQLite ends in the middle when who asked gives up")
  func interruption() async throws {
    let home = try StoreHome(.sqlite)
    defer { home.remove() }
    let store = try home.open()
    let isAsking = Mutex(false)
    let task = Task {
      try await store.read(SampleMessages.alice) { reader in
        guard let messages = reader as? SQLiteMessages else { return 0 }
        // Some minutes of them.
        let numbers = try Int.fetchCursor(
          messages.database,
          sql: """
            WITH RECURSIVE number(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < 100000000)
            SELECT value FROM number
            """)
        // A statement that has not begun is not interrupted.
        var last = try numbers.next()
        isAsking.withLock { $0 = true }
        while let next = try numbers.next() { last = next }
        return last ?? 0
      }
    }
    try await until { isAsking.withLock { $0 } }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(try await store.read(SampleMessages.alice) { try $0.head() } == 0)
    await store.close()
  }

  @Test("who gives up between two statements is heard by the next one, however long that takes, and by nobody after")
  func interruptionBetween() throws {
    let queue = try DatabaseQueue()
    let count = """
      WITH RECURSIVE number(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < 100000)
      SELECT count(*) FROM number
      """
    try queue.inDatabase { (database) throws -> Void in
      let error = #expect(throws: DatabaseError.self) {
        try database.hearingInterrupts {
          _ = try Int.fetchOne(database, sql: "SELECT 1")
          queue.interrupt()
          return try Int.fetchOne(database, sql: count)
        }
      }
      #expect(error?.resultCode == .SQLITE_INTERRUPT)
      #expect(try Int.fetchOne(database, sql: count) == 100_000)
      #expect(try database.hearingInterrupts { try Int.fetchOne(database, sql: count) } == 100_000)
    }
  }

  @Test("a query that the store does not answer in time is answered 503")
  func query() async throws {
    let tenancy = try TestTenancy()
    let folder = tenancy.folder.appendingPathComponent("slow")
    var limits = NodeLimits()
    limits.longestQuestion = .milliseconds(50)
    let store = StuckStore(try SQLiteMessageStore(path: folder.appendingPathComponent("node.sqlite").path))
    let node = DWNNode(store: store, tenants: [tenancy.alice.did], limits: limits, directory: OfflineResolver())
    let query = tenancy.alice.signer.recordsQuery(
      RecordsFilter(protocolURI: TestTenancy.protocolURI), at: tenancy.tick())
    let reply = try await node.process(tenant: tenancy.alice.did, message: query.message.value, data: nil)
    #expect(reply.status.code == 503 && reply.status.detail.hasPrefix("QueryTimeLimitExceeded:"), "\(reply.status)")
    store.isStuck.withLock { $0 = false }
    let patient = DWNNode(
      store: store, tenants: [tenancy.alice.did], limits: NodeLimits(), directory: OfflineResolver())
    let later = try await patient.process(tenant: tenancy.alice.did, message: query.message.value, data: nil)
    #expect(later.status.code == 200)
    await patient.close()
  }
}

/// A store whose readers wait until somebody ends them.
private final class StuckStore: MessageStore {
  private let store: SQLiteMessageStore
  let isStuck = Mutex(true)

  init(_ store: SQLiteMessageStore) { self.store = store }

  var epoch: String { store.epoch }
  var dataFolder: DataFolder { store.dataFolder }

  func write<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageTransaction) throws -> Result
  ) async throws -> Result { try await store.write(tenant, body) }

  func read<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result {
    if isStuck.withLock({ $0 }) { try await Task.sleep(for: .seconds(600)) }
    return try await store.read(tenant, body)
  }

  func observe(_ observer: @escaping @Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void) {
    store.observe(observer)
  }

  func summaries() async throws -> [TenantSummary] { try await store.summaries() }
  func totals() async throws -> StoreTotals { try await store.totals() }
  func registrations() async throws -> [TenantRegistration] { try await store.registrations() }
  func register(_ registration: TenantRegistration) async throws { try await store.register(registration) }
  func releaseMemory() {}
  func close() async { await store.close() }
}
