import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Ledger")
struct LedgerTests {
  private func paths(_ messages: [ReplyEntry]) -> [String] {
    messages.map { entry in
      let descriptor = entry.message["descriptor"]
      return descriptor?["protocolPath"]?.string ?? descriptor?["definition"]?["protocol"]?.string
        ?? descriptor?["method"]?.string ?? "?"
    }
  }

  @Test("a network begins with definitions, network, own node, a policy that accepts all, and a head, in this order")
  func beginning() throws {
    let history = try LedgerHistory(seed: 1)
    #expect(
      paths(history.messages) == [
        MeshProtocol.uri, KeyDeliveryProtocol.uri, "network", "network/node", "network/aclPolicy", "network/head",
      ])
    let view = try #require(history.anchorReader.view(at: history.wall))
    #expect(view.head?.seq == 1 && view.head?.epoch == .first)
    #expect(view.own?.name == "first")
    #expect(view.policy == .accepted(.acceptAll))
    #expect(view.own?.meshIP == (try AddressPlan(cidr: "10.200.0.0/16").ipv4(for: history.anchor.did)))
    let root = try #require(history.messages.first { $0.message["contextId"]?.string == history.id.text })
    #expect(root.message["descriptor"]?["tags"]?["envelope"] == "jwe")
  }

  @Test("a second network of one anchor configures nothing again")
  func secondNetwork() throws {
    var history = try LedgerHistory(seed: 2)
    history.pass()
    let (second, change) = try history.ledger.createNetwork(
      NetworkPlan(record: NetworkRecord(name: "work")), now: history.wall, random: history.random)
    #expect(paths(change.entries) == ["network", "network/node", "network/aclPolicy", "network/head"])
    #expect(history.ledger.networks == [history.network, second])
    var reader = MeshReader(network: second, identity: history.anchor)
    _ = reader.offer(history.messages + change.entries, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(reader.view(at: history.wall)?.record?.name == "work")
  }

  @Test(
    "everything a ledger signs is accepted by members that never saw anything before", arguments: [3, 4, 5] as [UInt64])
  func accepted(seed: UInt64) throws {
    var history = try LedgerHistory(seed: seed, members: 3)
    for _ in 0..<25 { try history.step() }
    let live = Set(history.ledger.nodes(of: history.id).map(\.did))
    for machine in history.machines {
      var reader = MeshReader(network: history.network, identity: machine)
      let outcome = reader.offer(history.shownNow(), extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
      // What was published below a record that has ended since is all that may be refused.
      #expect(outcome.refusals.allSatisfy { $0.path == "network/node/endpoint" }, "seed \(seed)")
      guard live.contains(machine.did) else { continue }
      let view = try #require(reader.view(at: history.wall), "seed \(seed)")
      #expect(view.head?.seq == history.headSeq)
      #expect(Set(view.nodes.map(\.did)) == live, "seed \(seed)")
      #expect(view.unused.isEmpty)
      #expect(reader.membership(at: history.wall) == .member)
    }
  }

  @Test("stamps rise strictly, while the clock stands still, goes back, and across a restart")
  func stamps() throws {
    var history = try LedgerHistory(seed: 6, members: 2)
    history.wall = history.wall + .seconds(-3600)
    history.ledger = try Ledger(identity: history.anchor, stored: history.stored)
    for _ in 0..<3 { try history.admit() }
    let stamps = history.messages.compactMap { $0.message["descriptor"]?["messageTimestamp"]?.string }
    #expect(stamps.count == history.messages.count)
    #expect(zip(stamps, stamps.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test("a delivery names the seq of the head that follows it, and that head is written")
  func deliverySeq() throws {
    var history = try LedgerHistory(seed: 7)
    for _ in 0..<3 {
      let machine = try history.addNode()
      let delivery = try #require(
        history.messages.last { $0.message["descriptor"]?["recipient"]?.string == machine.did.text })
      let signed = try SignedMessage(checking: Message(delivery.message), resolver: OfflineResolver())
      let keys = try KeyDelivery.open(
        RecordsWrite(signed), data: try #require(delivery.data), for: history.network, as: machine)
      #expect(keys.seq == history.headSeq)
      #expect(paths(history.messages).suffix(3) == ["network/node", "contextKey", "network/head"])
    }
  }

  @Test("a peer that is already there changes nothing")
  func alreadyMember() throws {
    var history = try LedgerHistory(seed: 8)
    let machine = try history.addNode(label: "nas")
    let before = history.ledger.outgoing
    guard
      case .alreadyMember(let node) = try history.ledger.addNode(
        NodeAdmission(did: machine.did), to: history.id, now: history.wall, random: history.random)
    else {
      Issue.record("it was added twice")
      return
    }
    #expect(node.record.label == "nas")
    #expect(history.ledger.outgoing == before)
  }

  @Test("two DIDs with one WireGuard key are not both admitted")
  func duplicateKey() throws {
    var history = try LedgerHistory(seed: 9)
    let machine = try history.addNode()
    let x = Base64.encode(machine.signingKey.publicKey.bytes.array)
    let respelled = try #require(
      DID("did:jwk:" + Base64.encode(Array(#"{"crv":"Ed25519","kty":"OKP","x":"\#(x)"}"#.utf8))))
    #expect(throws: LedgerError.keyTaken(respelled, by: machine.did)) {
      try history.ledger.addNode(
        NodeAdmission(did: respelled), to: history.id, now: history.wall, random: history.random)
    }
  }

  @Test("DIDs without a usable key are not admitted", arguments: ["did:web:example.com", "did:jwk:e30", smallOrder])
  func unusable(text: String) throws {
    var history = try LedgerHistory(seed: 10)
    let did = try #require(DID(text))
    #expect(throws: LedgerError.unusableDID(did)) {
      try history.ledger.addNode(NodeAdmission(did: did), to: history.id, now: history.wall, random: history.random)
    }
  }

  /// An X25519 key whose every shared secret is zero.
  static let smallOrder =
    "did:jwk:"
    + Base64.encode(
      Array(#"{"kty":"OKP","crv":"X25519","x":"\#(Base64.encode([UInt8](repeating: 0, count: 32)))"}"#.utf8))

  @Test("addresses are probed until one is free, and one that was ever used is not given out again")
  func addresses() throws {
    var history = try LedgerHistory(seed: 11, cidr: "10.9.0.0/29")
    let first = try history.addNode()
    for _ in 0..<3 { try history.addNode() }
    #expect(Set(history.ledger.nodes(of: history.id).map(\.record.meshIP)).count == 5)
    try history.endNode(first.did)
    let fifth = MachineIdentity.generate(random: history.random)
    #expect(throws: LedgerError.self) {
      try history.ledger.addNode(
        NodeAdmission(did: fifth.did), to: history.id, now: history.wall, random: history.random)
    }
  }

  @Test("approving delivers what is missing, nothing twice, and to members only")
  func approve() throws {
    var history = try LedgerHistory(seed: 12)
    let machine = try history.addNode()
    #expect(try history.ledger.approve(machine.did, in: history.id, now: history.wall, random: history.random).isEmpty)
    #expect(try history.ledger.deliverMissingKeys(in: history.id, now: history.wall, random: history.random).isEmpty)
    let stranger = MachineIdentity.generate(random: history.random).did
    #expect(throws: LedgerError.notAMember(stranger)) {
      try history.ledger.approve(stranger, in: history.id, now: history.wall, random: history.random)
    }
    let soon = history.wall + .seconds(60)
    let guest = try history.addNode(expiresAt: soon)
    #expect(throws: LedgerError.notAMember(guest.did)) {
      try history.ledger.approve(guest.did, in: history.id, now: soon, random: history.random)
    }
  }

  @Test("changes within a second share a head, and an hour of silence has one")
  func heads() throws {
    var history = try LedgerHistory(seed: 13)
    history.pass()
    let machines = (0..<3).map { _ in MachineIdentity.generate(random: history.random) }
    var count = 0
    for machine in machines {
      guard
        case .added(_, let change) = try history.ledger.addNode(
          NodeAdmission(did: machine.did), to: history.id, now: history.wall, random: history.random)
      else { continue }
      count += paths(change.entries).count { $0 == "network/head" }
      history.take(change)
    }
    #expect(count == 1)
    #expect(try #require(history.ledger.headDue) < history.wall + .seconds(2))
    #expect(try history.ledger.writeDueHeads(now: history.wall).isEmpty)
    history.pass()
    history.take(try history.ledger.writeDueHeads(now: history.wall))
    #expect(history.headSeq == 3)
    #expect(history.anchorReader.view(at: history.wall)?.nodes.count == 4)
    #expect(try history.ledger.writeDueHeads(now: history.wall + .seconds(3598)).isEmpty)
    #expect(try history.ledger.writeDueHeads(now: history.wall + .seconds(3600)).messages.count == 1)
  }

  @Test("a ledger that is read again is the same ledger", arguments: [14, 15, 16] as [UInt64])
  func reload(seed: UInt64) throws {
    var history = try LedgerHistory(seed: seed, members: 2)
    for _ in 0..<20 {
      try history.step()
      var again = try Ledger(identity: history.anchor, stored: history.stored)
      #expect(again.outgoing == history.ledger.outgoing, "seed \(seed)")
      #expect(again.nodes(of: history.id) == history.ledger.nodes(of: history.id), "seed \(seed)")
      #expect(again.head(of: history.id) == history.ledger.head(of: history.id))
      #expect(again.record(of: history.id) == history.ledger.record(of: history.id))
      #expect(again.networks == history.ledger.networks && again.headDue == history.ledger.headDue)
      var original = history.ledger
      let later = history.wall + .seconds(5000)
      #expect(try again.writeDueHeads(now: later).messages == original.writeDueHeads(now: later).messages)
    }
    for machine in history.machines {
      let own = try #require(history.memberLedgers[machine.did])
      var mesh = StoredMesh()
      var change = StoreChange()
      change.authored = own.outgoing.map {
        StoredAuthored(
          order: $0.order, element: $0.element, stamp: $0.stamp, network: $0.network,
          message: StoredMessage(element: $0.element, json: $0.signed.message.value.encoded, data: $0.data))
      }
      mesh.apply(change)
      #expect(try Ledger(identity: machine, stored: mesh).outgoing == own.outgoing)
    }
  }

  @Test("a stored ledger that somebody changed is refused")
  func corrupt() throws {
    let history = try LedgerHistory(seed: 17)
    var stored = history.stored
    stored.authored[3].message?.json[40] ^= 1
    #expect(throws: LedgerError.self) { try Ledger(identity: history.anchor, stored: stored) }
    stored = history.stored
    stored.authored.swapAt(1, 2)
    #expect(throws: LedgerError.self) { try Ledger(identity: history.anchor, stored: stored) }
    #expect(throws: LedgerError.self) {
      try Ledger(identity: MachineIdentity.generate(random: history.random), stored: history.stored)
    }
  }

  @Test("the network's record is written anew only when it differs")
  func updateNetwork() throws {
    var history = try LedgerHistory(seed: 18)
    history.pass()
    #expect(try history.ledger.updateNetwork(history.id, now: history.wall) { _ in }.isEmpty)
    history.take(
      try history.ledger.updateNetwork(history.id, now: history.wall) { $0.anchorEndpoints.append("http://b:8787") })
    let view = try #require(history.anchorReader.view(at: history.wall))
    #expect(view.record?.anchorEndpoints == ["http://a:8787", "http://b:8787"])
    #expect(view.head?.seq == 2)
  }

  @Test("own records are initial writes that squash, without a role, and rise above what is shown")
  func ownRecords() throws {
    var history = try LedgerHistory(seed: 19)
    let machine = try history.addNode()
    let reader = try #require(history.readers[machine.did])
    let node = try #require(reader.view(at: history.wall)?.own)
    let cipher = try #require(reader.cipher)
    let shown = history.wall + .seconds(500)
    var own = try #require(history.memberLedgers[machine.did])
    let info = OwnRecord.nodeInfo(NodeInfoRecord(hostname: "nas", os: "linux"))
    let first = try own.publish(
      info, below: node, in: history.network, cipher: cipher, above: shown, now: history.wall, random: history.random)
    let second = try own.publish(
      info, below: node, in: history.network, cipher: cipher, now: history.wall, random: history.random)
    for message in first.messages + second.messages {
      let write = try #require(message.write)
      #expect(write.isInitial && write.squash && write.signed.payload.protocolRole == nil)
      #expect(write.recipient == history.anchor.did && message.tenant == history.anchor.did)
      #expect(write.timestamp > shown)
    }
    #expect(own.outgoing == second.messages)
    #expect(own.holds(try #require(first.messages.first).element))
    let outcome = history.anchorReader.offer(
      first.entries + second.entries, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(outcome.refusals.isEmpty)
    #expect(history.anchorReader.view(at: history.wall)?.nodes.first { $0.did == machine.did }?.name == "nas")
    #expect(history.anchorReader.clocksAhead[machine.did] != nil)
    // A node that was away shows the first again: to its author that is no attempt at anything, to others it may be one.
    var mine = reader
    _ = mine.offer(first.entries + second.entries, at: Instant(nanoseconds: 1), wall: history.wall)
    let again = mine.offer(first.entries, at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(again.refusals.map { $0.isBehind(machine.did) } == [true] && !again.changed)
    let foreign = history.anchorReader.offer(first.entries, at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(foreign.refusals.map { $0.isBehind(history.anchor.did) } == [false])
  }

  @Test(
    "what is in force brings a reader up to date that has forgotten everything, and refuses nothing",
    arguments: [21, 22] as [UInt64])
  func entries(seed: UInt64) throws {
    var history = try LedgerHistory(seed: seed, members: 2)
    for _ in 0..<20 { try history.step() }
    var reader = MeshReader(network: history.network, identity: history.anchor)
    let entries = history.ledger.entries(of: history.id)
    let outcome = reader.offer(entries, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(outcome.acceptedHead?.seq == history.headSeq, "seed \(seed)")
    #expect(outcome.refusals.isEmpty)
    #expect(reader.acceptedSet == history.anchorReader.acceptedSet)
    #expect(history.anchorReader.offer(entries, at: Instant(nanoseconds: 1), wall: history.wall).refusals.isEmpty)
  }

  @Test("nothing is signed for a network of somebody else")
  func foreignNetwork() throws {
    var history = try LedgerHistory(seed: 20)
    var other = try Ledger(identity: MachineIdentity.generate(random: history.random))
    #expect(throws: LedgerError.unknownNetwork(history.id)) {
      try other.setPolicy(.acceptAll, in: history.id, now: history.wall, random: history.random)
    }
    history.pass()
    #expect(other.headDue == nil)
  }
}
