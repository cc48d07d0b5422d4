import DWN
import Mesh
import Testing
import Wire

@testable import Control

@Suite("Changes on their way to the store")
struct CommitQueueTests {
  /// Fails with the first change, when it is told to; what comes then is saved.
  private actor FailingStore: MeshStore {
    private(set) var saved = StoredMesh()
    private(set) var isHeld = false
    private var held: CheckedContinuation<Void, Never>?
    private var hasFailed = false

    func load() -> StoredMesh { saved }

    func commit(_ change: StoreChange) async throws {
      if !hasFailed {
        hasFailed = true
        await withCheckedContinuation {
          held = $0
          isHeld = true
        }
        throw MemoryStore.Full()
      }
      saved.apply(change)
    }

    func fail() { held?.resume() }
  }

  @Test("what could not be saved goes in before what came after it, and not over it")
  func order() async throws {
    let (store, network) = (FailingStore(), NetworkID(RecordID(CID(of: "network"))))
    let queue = CommitQueue(store)
    func change(_ head: String, _ cursor: UInt64, ended: String) -> StoreChange {
      var change = StoreChange()
      var verified = VerifiedChange()
      verified.accepted = StoredAcceptance(head: head, acceptedAt: WallTime(seconds: 1_790_000_000))
      verified.cursors = [
        SubscriptionPlace(endpoint: "node", topic: "all"): ProgressToken(
          streamID: "s", epoch: "1", position: FeedPosition(cursor))
      ]
      verified.ended = [RecordID(CID(of: .string(ended))): WallTime(seconds: 1_790_000_000)]
      change.verified[network] = verified
      return change
    }
    let (older, newer) = (change("older", 1, ended: "a"), change("newer", 2, ended: "b"))
    let first = Task { try await queue.commitOrKeep(older) }
    while await !store.isHeld { await Task.yield() }
    let second = Task { try await queue.commitOrKeep(newer) }
    // It stands behind the first by then.
    for _ in 0..<1000 { await Task.yield() }
    await store.fail()
    await #expect(throws: MemoryStore.Full.self) { try await first.value }
    try await second.value
    try await queue.commitOrKeep(StoreChange())
    let saved = try #require(await store.saved.networks[network])
    #expect(saved.accepted?.head == "newer")
    #expect(saved.cursors.values.map(\.position) == [FeedPosition(2)])
    #expect(saved.ended.count == 2)
  }
}
