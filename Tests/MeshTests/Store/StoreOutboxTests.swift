import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Outbox")
struct StoreOutboxTests {
  @Test("messages are sent in the order of signing, and what is acknowledged is not sent again, also after a restart")
  func order() throws {
    var history = try LedgerHistory(seed: 1, members: 2)
    var outbox = Outbox()
    let due = outbox.due(in: history.ledger, to: "a")
    #expect(due.map(\.order) == due.map(\.order).sorted())
    for message in due.prefix(3) { history.stored.apply(outbox.note(.done, of: message, at: "a")) }
    let again = Outbox(stored: history.stored.publications)
    #expect(again.due(in: history.ledger, to: "a") == Array(due.dropFirst(3)))
    #expect(again.due(in: history.ledger, to: "b") == due)
  }

  @Test(
    "to nodes of a network that others made go its own records, and definitions only where keys are encrypted as they say"
  )
  func ofOthers() throws {
    let history = try LedgerHistory(seed: 4)
    let anchor = MachineIdentity.generate(random: SeededRandom(5)).did
    func due(_ network: NetworkReference) -> [AuthoredMessage] {
      Outbox().due(in: history.ledger, to: "a", of: network)
    }
    let definitions = history.ledger.outgoing.filter { $0.network == nil }
    let records = history.ledger.outgoing.compactMap { $0.write?.recordID }
    let other = NetworkID(try #require(records.last))
    #expect(!definitions.isEmpty && history.id != other)
    #expect(
      due(NetworkReference(id: history.id, anchor: history.ledger.identity.did))
        == Outbox().due(in: history.ledger, to: "a"))
    #expect(due(NetworkReference(id: other, anchor: anchor)).isEmpty)
    #expect(due(NetworkReference(id: other, anchor: anchor, envelope: .v1)) == definitions)
  }

  @Test("of heads with nothing between them only the last is sent")
  func heads() throws {
    var history = try LedgerHistory(seed: 2)
    let first = Outbox().due(in: history.ledger, to: "a").count
    for _ in 0..<5 {
      history.pass(3600)
      history.take(try history.ledger.writeDueHeads(now: history.wall))
    }
    let due = Outbox().due(in: history.ledger, to: "a")
    #expect(due.count == first)
    #expect(due.last?.stamp == history.wall)
    // Those it replaces are not sent afterwards either.
    var outbox = Outbox()
    for message in due { _ = outbox.note(.done, of: message, at: "a") }
    #expect(outbox.due(in: history.ledger, to: "a").isEmpty)
  }

  @Test("a head is not sent to a node that refused something it covers")
  func blocked() throws {
    let history = try LedgerHistory(seed: 3, members: 1)
    var outbox = Outbox()
    let due = outbox.due(in: history.ledger, to: "a")
    let node = try #require(due.last { $0.write?.path == MeshProtocol.node })
    _ = outbox.note(.refused(status: 400, detail: "no"), of: node, at: "a")
    #expect(
      !outbox.due(in: history.ledger, to: "a").contains { $0.write?.path == MeshProtocol.head && $0.order > node.order }
    )
    #expect(outbox.due(in: history.ledger, to: "b").contains { $0.write?.path == MeshProtocol.head })
    #expect(outbox.obstacles(in: history.ledger, at: "a", of: history.id) == [node])
    #expect(outbox.refused(in: history.ledger, by: RefusalQuorum(["a", "b"]), of: history.id).isEmpty)
    _ = outbox.note(.refused(status: 413, detail: "too large"), of: node, at: "b")
    #expect(outbox.refused(in: history.ledger, by: RefusalQuorum(["a", "b"]), of: history.id) == [node])
    #expect(outbox.refusal(of: node, by: RefusalQuorum(["b"]))?.detail == "too large")
    // A key is not covered by heads.
    var other = Outbox()
    let key = try #require(due.last { $0.write?.path == KeyDeliveryProtocol.contextKey })
    _ = other.note(.refused(status: 400, detail: "no"), of: key, at: "a")
    #expect(other.due(in: history.ledger, to: "a").last?.write?.path == MeshProtocol.head)
  }

  @Test(
    "who has answered nothing for long has no say in what is refused everywhere, but for what he has taken; where nobody else has one, nothing is"
  )
  func silent() throws {
    let history = try LedgerHistory(seed: 31, members: 1)
    let node = try #require(history.ledger.outgoing.last { $0.write?.path == MeshProtocol.node })
    let no = PublicationState.refused(status: 400, detail: "no")
    func refused(_ live: PublicationState, _ dead: PublicationState, silent: Set<String>) -> [AuthoredMessage] {
      var outbox = Outbox()
      _ = outbox.note(live, of: node, at: "live")
      _ = outbox.note(dead, of: node, at: "dead")
      return outbox.refused(in: history.ledger, by: RefusalQuorum(["dead", "live"], silent: silent), of: history.id)
    }
    #expect(refused(no, .pending, silent: []) == [])
    #expect(refused(no, .pending, silent: ["dead"]) == [node])
    #expect(refused(no, no, silent: ["dead"]) == [node])
    #expect(refused(no, .done, silent: ["dead"]) == [])
    #expect(refused(.pending, no, silent: ["dead"]) == [])
    #expect(refused(no, .pending, silent: ["dead", "live"]) == [])
    #expect(Outbox().refused(in: history.ledger, by: RefusalQuorum([]), of: history.id) == [])
  }

  struct Answer: CustomTestStringConvertible {
    let code: Int
    var detail = ""
    var isDelete = false
    var hasEnded = false
    let expected: String
    var testDescription: String { "\(code) \(detail)" }
  }

  static let answers = [
    Answer(code: 202, expected: "done"), Answer(code: 204, expected: "done"),
    Answer(code: 404, isDelete: true, expected: "done"), Answer(code: 404, expected: "again"),
    Answer(code: 409, detail: "Conflict", expected: "compare"), Answer(code: 409, isDelete: true, expected: "compare"),
    Answer(code: 400, detail: "RecordsWriteNotAllowedAfterDelete: x", hasEnded: true, expected: "done"),
    Answer(code: 400, detail: "RecordsWriteNotAllowedAfterDelete: x", expected: "compare"),
    Answer(code: 400, detail: "ProtocolAuthorizationProtocolNotFound: x", expected: "lacksBasis"),
    Answer(code: 400, detail: "ProtocolAuthorizationParentRecordNotFound: x", hasEnded: true, expected: "done"),
    Answer(code: 400, detail: "SchemaValidatorFailure: x", expected: "refused"), Answer(code: 413, expected: "refused"),
    Answer(code: 401, detail: "not a tenant", expected: "again"), Answer(code: 429, expected: "again"),
    Answer(code: 500, expected: "again"), Answer(code: 503, expected: "again"),
  ]

  @Test("an answer is done, repeated, compared or final", arguments: answers)
  func verdict(_ answer: Answer) throws {
    var history = try LedgerHistory(seed: 4, members: 1)
    try history.endNode(history.machines[0].did)
    let message = try #require(
      history.ledger.outgoing.last { answer.isDelete ? $0.endedRecord != nil : $0.write?.path == MeshProtocol.node })
    let reply = Reply(Reply.Status(answer.code, answer.detail))
    let name =
      switch DeliveryVerdict(reply, to: message, hasEnded: answer.hasEnded) {
      case .done: "done"
      case .again: "again"
      case .compare: "compare"
      case .lacksBasis: "lacksBasis"
      case .refused: "refused"
      }
    #expect(name == answer.expected)
  }

  @Test("a conflict with what the writer holds is no conflict; with another of its own it writes anew above that")
  func conflict() throws {
    var history = try LedgerHistory(seed: 5)
    history.pass()
    history.take(try history.ledger.updateNetwork(history.id, now: history.wall) { $0.name = "second" })
    let writes = history.ledger.outgoing.filter { $0.write?.path == MeshProtocol.network }
    #expect(ConflictVerdict(writes[0], shown: [writes[0].entry], ledger: history.ledger) == .done)
    #expect(ConflictVerdict(writes[0], shown: [writes[1].entry], ledger: history.ledger) == .done)
    #expect(ConflictVerdict(writes[1], shown: [writes[0].entry], ledger: history.ledger) == .unexplained)
    #expect(ConflictVerdict(writes[0], shown: [], ledger: history.ledger) == .unexplained)
    let machine = try history.addNode()
    try history.publishEndpoint(of: machine, port: 1)
    let message = try #require(history.memberLedgers[machine.did]?.outgoing.first)
    let empty = try Ledger(identity: machine)
    #expect(ConflictVerdict(message, shown: [message.entry], ledger: empty) == .done)
    try history.publishEndpoint(of: machine, port: 2)
    let newer = try #require(history.memberLedgers[machine.did]?.outgoing.first)
    #expect(ConflictVerdict(message, shown: [newer.entry], ledger: empty) == .writeAnew(above: newer.stamp))
    var forged = newer.entry
    forged.message = writes[0].entry.message
    #expect(ConflictVerdict(message, shown: [forged], ledger: empty) == .unexplained)
  }

  @Test(
    "states have a spelling that reads back",
    arguments: [
      PublicationState.pending, .done, .refused(status: 400, detail: "a b  c"), .refused(status: 413, detail: ""),
    ])
  func spelling(state: PublicationState) {
    #expect(PublicationState(text: state.text) == state)
  }
}
