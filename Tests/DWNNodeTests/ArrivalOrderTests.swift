import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// The same messages in any order come to the same visible state, if what was refused is offered again until nothing changes
/// (dwn-server 3.2, 4, 6.5).
///
/// Left out are the cases that the specification itself decides by arrival: one instant shared by a squash and its sibling,
/// an older sibling updated after the squash, and a plain delete of a record that has others below it.
@Suite(.timeLimit(.minutes(10)))
struct ArrivalOrderTests {
  struct Offer {
    let message: SignedMessage
    let data: [UInt8]?
  }

  static let structure = """
    {"box": {"item": {}, "latest": {"$squash": true}, "recent": {"$recordLimit": {"max": 2, "strategy": "purgeOldest"}}}}
    """

  @Test("whatever comes first, the same is there in the end", arguments: 0..<3)
  func anyOrder(round: Int) async throws {
    let seed = UInt64.random(in: .min ... .max)
    let random = SeededRandom(seed)
    let author = try TestTenancy()
    let offers = history(author, random)
    var states: [[String]] = []
    for order in 0..<3 {
      let tenancy = try TestTenancy()
      #expect(try await tenancy.install(Self.structure).status.code == 202)
      let sent = order == 0 ? offers : offers.shuffled(random)
      states.append(try await state(after: sent, in: tenancy))
    }
    #expect(states[0].count > 4, "seed \(seed) round \(round)")
    #expect(states[1] == states[0], "seed \(seed) round \(round)")
    #expect(states[2] == states[0], "seed \(seed) round \(round)")
  }

  /// Every message has an instant of its own, as the order of history has it.
  private func history(_ tenancy: TestTenancy, _ random: SeededRandom) -> [Offer] {
    let signer = tenancy.alice.signer
    var offers: [Offer] = []
    func write(_ draft: RecordDraft) -> RecordsWrite {
      let write = signer.recordsWrite(draft, at: tenancy.tick())
      offers.append(Offer(message: write.signed, data: draft.data))
      return write
    }
    func delete(_ record: RecordsWrite, prune: Bool) {
      offers.append(
        Offer(message: signer.recordsDelete(record.recordID, prune: prune, at: tenancy.tick()), data: nil))
    }
    func update(_ record: RecordsWrite) {
      _ = write(RecordDraft(updating: record, data: random.bytes(4)))
    }
    for number in 0..<3 {
      let box = write(tenancy.draft("box", data: "box \(number)"))
      for part in 0..<4 {
        let item = write(tenancy.draft("box/item", below: box, data: "item \(number) \(part)"))
        if random.uniform(below: 2) == 0 { update(item) }
        if random.uniform(below: 3) == 0 { delete(item, prune: false) }
        if random.uniform(below: 2) == 0 { update(item) }
        let latest = write(
          tenancy.draft(
            "box/latest", below: box, squash: random.uniform(below: 3) == 0, data: "latest \(number) \(part)"))
        if random.uniform(below: 2) == 0 { update(latest) }
        _ = write(tenancy.draft("box/recent", below: box, data: "recent \(number) \(part)"))
      }
      if random.uniform(below: 2) == 0 { update(box) }
      if number == 2 { delete(box, prune: true) }
    }
    return offers
  }

  /// Every live record's newest message and data, in an order that says nothing of arrival.
  private func state(after offers: [Offer], in tenancy: TestTenancy) async throws -> [String] {
    var waiting = offers
    while true {
      var refused: [Offer] = []
      for offer in waiting {
        let reply = try await tenancy.send(offer.message, data: offer.data)
        #expect([202, 400, 404, 409].contains(reply.status.code), "\(reply.status)")
        if !reply.status.isSuccess { refused.append(offer) }
      }
      if refused.count == waiting.count { break }
      waiting = refused
    }
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    let reply = try await tenancy.send(tenancy.alice.signer.recordsQuery(filter, at: tenancy.tick()))
    return reply.entries.map { entry in
      "\(CID(of: entry.message)) \(entry.data ?? []) \(entry.initialWrite.map { CID(of: $0).text } ?? "initial")"
    }.sorted()
  }
}

extension Array {
  fileprivate func shuffled(_ random: SeededRandom) -> [Element] {
    map { ($0, random.uniform(below: .max)) }.sorted { $0.1 < $1.1 }.map(\.0)
  }
}
