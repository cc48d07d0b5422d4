import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// A machine is taken out of a network with heads (`trust.md` section 7).
@Suite("Removal from a network with heads")
struct NodeRemovalTests {
  private func path(_ entry: ReplyEntry) -> String {
    let descriptor = entry.message["descriptor"]
    return descriptor?["protocolPath"]?.string ?? descriptor?["method"]?.string ?? "?"
  }

  @Test("is deletes with a head that says so at once, then the keys of a new epoch for the others, and its head")
  func order() throws {
    var history = try LedgerHistory(seed: 61, members: 3)
    let goes = history.machines[1]
    let before = try #require(history.ledger.head(of: history.id))
    history.pass()
    let removal = try history.ledger.removeNode(
      goes.did, from: history.id, now: history.wall, random: history.random)
    #expect(
      removal.entries.map(path) == [
        "Delete", "Delete", "network/head", "contextKey", "contextKey", "network/head",
      ])
    let deliveries = removal.entries.filter { path($0) == "contextKey" }
    let recipients = deliveries.compactMap { $0.message["descriptor"]?["recipient"]?.string }
    #expect(Set(recipients) == [history.machines[0].did.text, history.machines[2].did.text])
    let after = try #require(history.ledger.head(of: history.id))
    #expect(after.seq == before.seq + 2 && after.epoch > before.epoch)
    #expect(throws: LedgerError.notAMember(goes.did)) {
      try history.ledger.removeNode(goes.did, from: history.id, now: history.wall, random: history.random)
    }
  }

  @Test("is seen by everybody; who stays reads on, and who is gone opens nothing of the new epoch")
  func readers() throws {
    var history = try LedgerHistory(seed: 62, members: 2)
    let (stays, goes) = (history.machines[0], history.machines[1])
    let keysBefore = try #require(history.readers[goes.did]?.cipher)
    history.pass()
    let removal = try history.ledger.removeNode(
      goes.did, from: history.id, now: history.wall, random: history.random)
    history.take(removal)
    #expect(history.readers[goes.did]?.membership(at: history.wall) == .removed)
    let view = try #require(history.readers[stays.did]?.view(at: history.wall))
    #expect(view.head?.seq == history.headSeq)
    #expect(Set(view.nodes.map(\.did)) == [history.anchor.did, stays.did])
    for entry in removal.entries where path(entry) == "contextKey" {
      let write = try RecordsWrite(SignedMessage(checking: Message(entry.message), resolver: OfflineResolver()))
      let data = try #require(entry.data)
      #expect(throws: (any Error).self) { try KeyDelivery.open(write, data: data, for: history.network, as: goes) }
      _ = try KeyDelivery.open(write, data: data, for: history.network, as: stays)
    }
    try history.publishEndpoint(of: stays, port: 4711)
    let shown = try #require(history.messages.last)
    let write = try RecordsWrite(SignedMessage(checking: Message(shown.message), resolver: OfflineResolver()))
    let sealed = try #require(shown.data)
    #expect(throws: (any Error).self) { try keysBefore.open(write, data: sealed) }
    #expect(try history.anchorReader.cipher?.open(write, data: sealed).isEmpty == false)
  }

  @Test("gives no key to a guest whose time is over, and never meets the anchor or a stranger")
  func others() throws {
    var history = try LedgerHistory(seed: 63, members: 1)
    let goes = history.machines[0]
    try history.addNode(expiresAt: history.wall + .seconds(60))
    history.pass(100)
    for did in [history.anchor.did, MachineIdentity.generate(random: history.random).did] {
      #expect(throws: LedgerError.notAMember(did)) {
        try history.ledger.removeNode(did, from: history.id, now: history.wall, random: history.random)
      }
    }
    let removal = try history.ledger.removeNode(
      goes.did, from: history.id, now: history.wall, random: history.random)
    #expect(!removal.entries.map(path).contains("contextKey"))
    #expect(removal.entries.map(path).suffix(1) == ["network/head"])
  }

  @Test("is what follows when somebody's time is over: for all of them together, and not twice within an hour")
  func expiry() throws {
    var history = try LedgerHistory(seed: 64, members: 1)
    let soon = history.wall + .seconds(60)
    let guests = [try history.addNode(expiresAt: soon), try history.addNode(expiresAt: soon)]
    let later = try history.addNode(expiresAt: history.wall + .seconds(600))
    func removal() throws -> LedgerChange {
      try history.ledger.removeExpired(from: history.id, now: history.wall, random: history.random)
    }
    #expect(try removal().isEmpty)
    history.pass(100)
    let first = try removal()
    #expect(
      first.entries.map(path) == ["Delete", "Delete", "Delete", "Delete", "network/head"]
        + ["contextKey", "contextKey", "network/head"])
    history.take(first)
    #expect(Set(history.ledger.nodes(of: history.id).map(\.did)).isDisjoint(with: guests.map(\.did)))
    for guest in guests { #expect(history.readers[guest.did]?.membership(at: history.wall) == .removed) }
    history.pass(3000)
    #expect(try removal().isEmpty)
    history.pass(600)
    let second = try removal()
    #expect(second.entries.map(path) == ["Delete", "Delete", "network/head", "contextKey", "network/head"])
    history.take(second)
    #expect(history.readers[later.did]?.membership(at: history.wall) == .removed)
    history.pass(4000)
    #expect(try removal().isEmpty)
  }
}
