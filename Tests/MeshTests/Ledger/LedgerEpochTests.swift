import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// What was written in earlier epochs stays readable, for those too who come later (`trust.md` sections 6 and 7).
@Suite("Ledger: epochs")
struct LedgerEpochTests {
  /// Somebody stays, and says where it is in an epoch that began with a removal and ended with another; then hours pass.
  private func afterTwoRemovals(seed: UInt64) throws -> (history: LedgerHistory, stays: MachineIdentity) {
    var history = try LedgerHistory(seed: seed, members: 3)
    let machines = history.machines
    try history.remove(machines[1].did)
    try history.publishEndpoint(of: machines[0], port: 4711)
    try history.remove(machines[2].did)
    for _ in 0..<4 {
      history.pass(4000)
      history.take(try history.ledger.writeDueHeads(now: history.wall))
    }
    return (history, machines[0])
  }

  private func port(of did: DID, seenBy reader: MeshReader?, at wall: WallTime) -> UInt16? {
    reader?.view(at: wall)?.nodes.first { $0.did == did }?.endpoint?.localEndpoints.first?.port
  }

  /// The epochs of which the newest delivery to a machine has keys.
  private func delivered(to machine: MachineIdentity, in history: LedgerHistory) throws -> [KeyEpoch] {
    let newest = try #require(
      history.messages.last { $0.message["descriptor"]?["recipient"]?.string == machine.did.text && $0.isDelivery })
    let write = try RecordsWrite(SignedMessage(checking: Message(newest.message), resolver: OfflineResolver()))
    let keys = try KeyDelivery.open(write, data: try #require(newest.data), for: history.network, as: machine)
    return [keys.epoch] + keys.earlier.map(\.epoch)
  }

  @Test("an anchor that starts again hands a newcomer the keys of all epochs")
  func restart() throws {
    let before = try afterTwoRemovals(seed: 71)
    var history = before.history
    var stored = history.stored
    stored.networks = [:]
    history.ledger = try Ledger(identity: history.anchor, stored: stored)
    let late = try history.addNode()
    #expect(try delivered(to: late, in: history).count == 3)
    #expect(port(of: before.stays.did, seenBy: history.readers[late.did], at: history.wall) == 4711)
  }

  @Test("a ledger of an earlier version, which lost an epoch, finds it again by what a member wrote in it")
  func earlierVersion() throws {
    let before = try afterTwoRemovals(seed: 72)
    var history = before.history
    var stored = history.stored
    let heads = stored.authored.indices.filter { index in
      let json = stored.authored[index].message.flatMap { try? JSONValue(parsing: $0.json) }
      return json?["descriptor"]?["protocolPath"]?.string == MeshProtocol.head.text
    }
    #expect(heads.count > 3)
    for index in heads.dropLast(3) { stored.authored[index].message = nil }
    history.ledger = try Ledger(identity: history.anchor, stored: stored)
    let late = try history.addNode()
    #expect(port(of: before.stays.did, seenBy: history.readers[late.did], at: history.wall) == 4711)
  }

  @Test("a number that a member makes up is no epoch")
  func invented() throws {
    var history = try LedgerHistory(seed: 73, members: 2)
    let (liar, goes) = (history.machines[0], history.machines[1])
    let number = try #require(KeyEpoch(1_700_000_000))
    let cipher = JWERecordCipher(
      network: history.network, identity: liar, keyring: NetworkKeyring(network: history.id, anchor: liar),
      epoch: number, definition: .mesh(of: history.anchor))
    try history.publishEndpoint(of: liar, port: 1, cipher: cipher)
    try history.remove(goes.did)
    history.ledger = try Ledger(identity: history.anchor, stored: history.stored)
    let late = try history.addNode()
    let epochs = try delivered(to: late, in: history)
    #expect(epochs.count == 2 && !epochs.contains(number))
  }

  @Test("after forty removals a member that starts again, and one that comes then, read all that the anchor ever wrote")
  func fortyRemovals() throws {
    var history = try LedgerHistory(seed: 74, members: 1)
    let stays = history.machines[0]
    let own = try #require(history.anchorReader.view(at: history.wall)?.own)
    let cipher = try #require(history.anchorReader.cipher)
    history.take(
      try history.ledger.publish(
        .nodeInfo(NodeInfoRecord(hostname: "first", os: "linux")), below: own, in: history.network,
        cipher: cipher, now: history.wall, random: history.random))
    for _ in 0..<40 { try history.remove(history.admit()) }
    let again = MeshReader(
      network: history.network, identity: stays,
      stored: try #require(history.memberStores[stays.did]?.networks[history.id]))
    let late = try history.addNode()
    let found = try #require(history.readers[late.did])
    for reader in [again, found] {
      #expect(reader.membership(at: history.wall) == .member)
      let view = try #require(reader.view(at: history.wall))
      #expect(view.policy == .accepted(.acceptAll))
      #expect(view.unused.isEmpty)
      #expect(view.nodes.first { $0.did == history.anchor.did }?.info?.hostname == "first")
    }
    #expect(found.view(at: history.wall)?.nodes.count == 3)
    let audit = history.ledger.audit(
      history.shownNow(), of: history.id, complete: LedgerAuditTests.paths, includesDefinitions: true)
    #expect(audit.isClean)
  }

  @Test(
    "however often records are written anew, the ledger keeps the last two of each complete, and can take back the last"
  )
  func replaced() throws {
    var history = try LedgerHistory(seed: 76, members: 1)
    history.take(
      try history.ledger.setPolicy(.acceptAll, in: history.id, now: history.wall, random: history.random))
    let first = history.shownNow()
    for _ in 0..<40 { try history.remove(history.admit()) }
    var complete: [String: Int] = [:]
    for message in history.stored.authored.compactMap(\.message) {
      let json = try JSONValue(parsing: message.json)
      guard let path = json["descriptor"]?["protocolPath"]?.string, json["descriptor"]?["method"] == "Write" else {
        continue
      }
      let isOne = path == MeshProtocol.aclPolicy.text
      if let id = isOne ? path : json["recordId"]?.string, ["network/aclPolicy", "network/node"].contains(path) {
        complete[id, default: 0] += 1
      }
    }
    #expect(complete.count == 43)
    #expect(complete.filter { $0.value > 1 }.count == 3)
    #expect(complete.values.allSatisfy { $0 <= 3 })
    #expect(complete[MeshProtocol.aclPolicy.text] == 2)
    var again = try Ledger(identity: history.anchor, stored: history.stored)
    #expect(again.outgoing == history.ledger.outgoing)
    // A node that went back to the beginning lacks what came since, and shows nothing that would have to be ended.
    let audit = again.audit(first, of: history.id, complete: LedgerAuditTests.paths, includesDefinitions: true)
    #expect(audit.withdrawn == [] && !audit.isOutdone && audit.foreign == nil && !audit.lacking.isEmpty)
    let last = try #require(again.outgoing.last { $0.write?.path == MeshProtocol.node })
    _ = try again.withdraw(last.element, now: history.wall)
    #expect(again.nodes(of: history.id).count == 2)
  }

  @Test("what a machine wrote is to be written anew once eight epochs have begun after it, and not before")
  func stale() throws {
    var history = try LedgerHistory(seed: 75, members: 9)
    let stays = history.machines[0]
    try history.publishEndpoint(of: stays, port: 1)
    let node = try #require(history.readers[stays.did]?.view(at: history.wall)?.own)
    func isCurrent() -> Bool? { history.readers[stays.did]?.isCurrent(MeshProtocol.endpoint, below: node.contextID) }
    for machine in history.machines[1...7] { try history.remove(machine.did) }
    #expect(isCurrent() == true)
    try history.remove(history.machines[8].did)
    #expect(isCurrent() == false)
    try history.publishEndpoint(of: stays, port: 2)
    #expect(isCurrent() == true)
  }
}

extension ReplyEntry {
  fileprivate var isDelivery: Bool {
    message["descriptor"]?["protocolPath"]?.string == KeyDeliveryProtocol.contextKey.text
  }
}
