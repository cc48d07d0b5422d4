import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Ledger: what nodes show")
struct LedgerAuditTests {
  static let paths: Set<ProtocolPath> = [
    MeshProtocol.network, MeshProtocol.head, MeshProtocol.node, MeshProtocol.member, MeshProtocol.memberNode,
    MeshProtocol.aclPolicy, MeshProtocol.relay, KeyDeliveryProtocol.contextKey,
  ]

  private func audit(_ history: inout LedgerHistory, _ entries: [ReplyEntry]) -> LedgerAudit {
    history.ledger.audit(entries, of: history.id, complete: Self.paths, includesDefinitions: true)
  }

  @Test("a node that has everything is as it should be", arguments: [1, 2, 3] as [UInt64])
  func clean(seed: UInt64) throws {
    var history = try LedgerHistory(seed: seed, members: 3)
    for _ in 0..<15 { try history.step() }
    let audit = audit(&history, history.shownNow())
    #expect(audit.isClean, "seed \(seed): \(audit.lacking.map { $0.write?.path.text ?? "-" })")
    #expect(audit.store.isEmpty)
  }

  @Test("what a node lost is published again, in order, with initial writes before updates")
  func lost() throws {
    var history = try LedgerHistory(seed: 4, members: 2)
    history.pass()
    history.take(
      try history.ledger.updateNetwork(history.id, now: history.wall) { $0.anchorEndpoints = ["http://b:1"] })
    let audit = audit(&history, [])
    let orders = audit.lacking.map(\.order)
    #expect(orders == orders.sorted())
    #expect(audit.lacking.count { $0.write?.path == MeshProtocol.network } == 2)
    #expect(audit.lacking.filter { $0.write?.path == MeshProtocol.head }.count == 1)
    var outbox = Outbox()
    for message in history.ledger.outgoing { _ = outbox.note(.done, of: message, at: "node") }
    #expect(outbox.due(in: history.ledger, to: "node").isEmpty)
    _ = outbox.reopen(audit.lacking, at: "node")
    #expect(outbox.due(in: history.ledger, to: "node") == audit.lacking)
  }

  @Test("a record that is shown live although it was deleted is deleted again")
  func revived() throws {
    var history = try LedgerHistory(seed: 5)
    let machine = try history.addNode()
    let before = history.shownNow()
    try history.endNode(machine.did)
    let audit = audit(&history, history.shownNow() + (0..<1000).flatMap { _ in before })
    #expect(audit.repeated.count == 1)
    #expect(audit.repeated.first?.endedRecord != nil)
    #expect(audit.foreign == nil)
  }

  @Test("a message of this identity that the ledger does not hold stops all writing, also after a restart")
  func foreign() throws {
    var history = try LedgerHistory(seed: 6)
    // A second machine with the same identity and an older copy of the ledger.
    var copy = history
    let machine = MachineIdentity.generate(random: copy.random)
    guard
      case .added(_, let change) = try copy.ledger.addNode(
        NodeAdmission(did: machine.did), to: copy.id, now: copy.wall + .seconds(9), random: copy.random)
    else { return }
    for entry in change.entries {
      var victim = history
      let audit = audit(&victim, [entry])
      #expect(audit.foreign != nil)
      victim.stored.apply(audit.store)
      let reloaded = try Ledger(identity: victim.anchor, stored: victim.stored)
      for var ledger in [victim.ledger, reloaded] {
        #expect(throws: LedgerError.self) {
          try ledger.setPolicy(.acceptAll, in: victim.id, now: victim.wall, random: victim.random)
        }
        #expect(throws: LedgerError.self) {
          try ledger.createNetwork(
            NetworkPlan(record: NetworkRecord(name: "x")), now: victim.wall, random: victim.random)
        }
      }
    }
    history.pass()
    #expect(
      try !history.ledger.setPolicy(.acceptAll, in: history.id, now: history.wall, random: history.random).isEmpty)
  }

  @Test("what others sign, and what nobody signed, is nothing to the ledger")
  func others() throws {
    var history = try LedgerHistory(seed: 7)
    let machine = try history.addNode()
    try history.publishEndpoint(of: machine, port: 1000)
    var shown = history.shownNow()
    var forged = try #require(shown.first { $0.message["descriptor"]?["protocolPath"] == "network/node" })
    var message = try #require(forged.message.object)
    var descriptor = try #require(message["descriptor"]?.object)
    descriptor["messageTimestamp"] = .string((history.wall + .seconds(60)).timestamp)
    message["descriptor"] = .object(descriptor)
    forged.message = .object(message)
    shown.append(forged)
    #expect(audit(&history, shown).isClean)
  }

  @Test("a node record that was refused for good is taken out, and a head without it follows")
  func withdraw() throws {
    var history = try LedgerHistory(seed: 8)
    let machine = try history.addNode()
    let node = try #require(
      history.ledger.outgoing.last { $0.write?.path == MeshProtocol.node && $0.write?.recipient == machine.did })
    history.pass()
    let change = try history.ledger.withdraw(node.element, now: history.wall)
    history.stored.apply(change.store)
    #expect(change.messages.last?.write?.path == MeshProtocol.head)
    #expect(history.ledger.nodes(of: history.id).map(\.did) == [history.anchor.did])
    #expect(try Ledger(identity: history.anchor, stored: history.stored).outgoing == history.ledger.outgoing)
    // Whoever holds the refused record accepts the head all the same once a complete fetch shows the rest.
    var reader = history.anchorReader
    _ = reader.offer(change.entries, at: Instant(nanoseconds: 1), wall: history.wall)
    let outcome = reader.offer(history.shownNow(), extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(outcome.acceptedHead?.seq == history.headSeq)
    #expect(reader.view(at: history.wall)?.nodes.map(\.did) == [history.anchor.did])
    // A node that took it after all is told, once, however often it shows it.
    let audit = audit(&history, [node.entry, node.entry, node.entry])
    #expect(audit.withdrawn == [try #require(node.write).recordID])
    #expect(audit.foreign == nil)
  }

  @Test("a refused update falls back to what was there; the network's first record stays")
  func withdrawUpdate() throws {
    var history = try LedgerHistory(seed: 9)
    history.pass()
    let change = try history.ledger.updateNetwork(history.id, now: history.wall) { $0.name = "new" }
    history.pass()
    #expect(try !history.ledger.withdraw(try #require(change.messages.first).element, now: history.wall).isEmpty)
    #expect(history.ledger.record(of: history.id)?.name == "home")
    let root = try #require(history.ledger.outgoing.first { $0.write?.path == MeshProtocol.network })
    #expect(try history.ledger.withdraw(root.element, now: history.wall).isEmpty)
  }

  @Test("where a node shows what was taken back, what stands is written anew above it, once")
  func outdone() throws {
    var history = try LedgerHistory(seed: 10, members: 1)
    history.pass()
    let changes = [
      try history.ledger.updateNetwork(history.id, now: history.wall) { $0.name = "new" },
      try history.ledger.setPolicy(
        ACLPolicy(["version": 1, "rules": [["action": "accept", "src": ["*"], "dst": ["*"], "proto": "tcp"]]]),
        in: history.id, now: history.wall, random: history.random),
    ]
    let taken = try changes.map { try #require($0.messages.first) }
    history.pass()
    for message in taken {
      history.stored.apply(try history.ledger.withdraw(message.element, now: history.wall).store)
    }
    var shown = history.shownNow() + taken.map(\.entry)
    let found = audit(&history, shown)
    #expect(found.withdrawn == [] && found.foreign == nil && found.isOutdone)
    history.pass()
    let anew = try history.ledger.writeAnew(from: found, in: history.id, now: history.wall, random: history.random)
    for (message, path) in zip(taken, [MeshProtocol.network, MeshProtocol.aclPolicy]) {
      let standing = try #require(anew.messages.first { $0.write?.path == path })
      #expect(standing.stamp > message.stamp)
    }
    #expect(anew.messages.last?.write?.path == MeshProtocol.head)
    #expect(history.ledger.record(of: history.id)?.name == "home")
    // Who sees nothing but this node accepts the head, and what stands.
    var reader = MeshReader(network: history.network, identity: history.machines[0])
    shown = history.shownNow()
    let outcome = reader.offer(shown, extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(outcome.acceptedHead?.seq == history.headSeq)
    #expect(reader.view(at: history.wall)?.policy == .accepted(.acceptAll))
    #expect(audit(&history, shown + taken.map(\.entry)).isClean)
  }
}
