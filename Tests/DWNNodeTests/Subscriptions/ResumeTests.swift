import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A random history, and what is told of it to those who come back at every one of its positions.
@Suite(.timeLimit(.minutes(10)))
struct ResumeTests {
  private struct Entry {
    var position: Int64
    var cid: String
  }

  /// What stands for each record, by the model.
  private struct History {
    var latest: [RecordID: Entry] = [:]
    var writes: [RecordID: RecordsWrite] = [:]
    var deleted: Set<RecordID> = []

    mutating func erase(below context: ContextID, includingRecord: Bool) {
      for (record, write) in writes where context.contains(write.contextID) {
        guard includingRecord || write.contextID != context else { continue }
        latest[record] = nil
        writes[record] = nil
      }
    }
  }

  @Test(
    "resuming anywhere tells exactly the later entries that still exist, in order, and then their end", arguments: 0..<3
  )
  func everyPosition(round: Int) async throws {
    let seed = UInt64.random(in: .min ... .max)
    let tenancy = try TestTenancy()
    let reply = try await tenancy.install(#"{"box": {"item": {}, "slot": {"$squash": true}}}"#)
    #expect(reply.status.code == 202)
    let follower = try await tenancy.subscribe(tenancy.alice)
    var history = History()
    var head: Int64 = 0
    for _ in 0..<90 {
      guard let cid = try await step(&history, SeededRandom(seed &+ UInt64(head)), tenancy) else { continue }
      // What is stored is told, at once and in order.
      let event = try await follower.event()
      follower.source.acknowledge(event.cursor)
      #expect(event.messageCID.text == cid, "seed \(seed)")
      let position = try #require(event.cursor.position.number.map { Int64($0) })
      #expect(position > head, "seed \(seed)")
      head = position
      for (record, entry) in history.latest where entry.cid == cid { history.latest[record]?.position = position }
    }
    var cursor = try await tenancy.beginning
    for position in 0...head {
      cursor.position = FeedPosition(UInt64(position))
      let resumed = try await tenancy.subscribe(tenancy.alice, cursor: cursor)
      let told = try await resumed.untilEndOfStored().map(\.messageCID.text)
      resumed.source.close()
      let expected = history.latest.values.filter { $0.position > position }.sorted { $0.position < $1.position }
      #expect(told == expected.map(\.cid), "seed \(seed) position \(position)")
    }
  }

  /// One message, and its CID if the node took it.
  private func step(
    _ history: inout History, _ random: SeededRandom, _ tenancy: TestTenancy
  ) async throws -> String? {
    func number(_ bound: Int) -> Int { Int(random.uniform(below: UInt64(bound))) }
    let live = history.writes.values.filter { !history.deleted.contains($0.recordID) }
      .sorted { $0.recordID < $1.recordID }
    let boxes = live.filter { $0.path == "box" }
    let action = boxes.isEmpty ? 0 : number(12)
    switch action {
    case 0, 1: return try await write(tenancy.draft("box"), &history, tenancy)
    case 2, 3, 4:
      return try await write(tenancy.draft("box/item", below: boxes[number(boxes.count)]), &history, tenancy)
    case 5, 6:
      let draft = tenancy.draft("box/slot", below: boxes[number(boxes.count)], squash: number(2) == 0)
      return try await write(draft, &history, tenancy)
    case 7, 8, 9:
      let draft = RecordDraft(updating: live[number(live.count)], data: Array("\(number(1_000_000))".utf8))
      return try await write(draft, &history, tenancy)
    default:
      let target = live[number(live.count)]
      let prune = number(3) == 0
      let delete = tenancy.alice.signer.recordsDelete(target.recordID, prune: prune, at: tenancy.tick())
      #expect(try await tenancy.status(delete) == "202")
      if prune { history.erase(below: target.contextID, includingRecord: false) }
      history.deleted.insert(target.recordID)
      history.latest[target.recordID] = Entry(position: 0, cid: delete.message.cid.text)
      return delete.message.cid.text
    }
  }

  private func write(_ draft: RecordDraft, _ history: inout History, _ tenancy: TestTenancy) async throws -> String? {
    let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    let status = try await tenancy.status(write.signed, data: draft.data)
    guard status == "202" else {
      // Below a record that was deleted nothing is written.
      #expect(status == "400 ProtocolAuthorizationParentRecordNotFound")
      return nil
    }
    if draft.squash, write.isInitial {
      let siblings = history.writes.values.filter {
        $0.path == write.path && $0.contextID.parent == write.contextID.parent
      }
      for sibling in siblings { history.erase(below: sibling.contextID, includingRecord: true) }
    }
    history.writes[write.recordID] = write
    history.latest[write.recordID] = Entry(position: 0, cid: write.cid.text)
    return write.cid.text
  }
}
