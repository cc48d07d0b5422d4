import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// A node that lies as well as it can, with everything that was ever signed at hand.
@Suite("Trust: a lying node")
struct TrustAdversaryTests {
  static let seeds = Array(UInt64(100)..<106)

  @Test(
    "whatever is shown, in whatever order: the view is the anchor's state at some head, and never goes back",
    arguments: seeds)
  func soundness(seed: UInt64) throws {
    var history = try LedgerHistory(seed: seed, members: 2)
    for _ in 0..<18 { try history.step() }
    var liar = Liar(seed: seed, history: history)
    let machine = history.machines[0]
    var reader = MeshReader(network: history.network, identity: machine)
    var stored = StoredMesh()
    var lastSeq: Int64 = 0
    var ended: Set<RecordID> = []
    for round in 0..<40 {
      let entries = liar.entries()
      ended.formUnion(liar.deletes(in: entries, by: history.anchor.did))
      let extent: FetchExtent = liar.random.uniform(below: 2) == 0 ? .complete : .partial
      let outcome = reader.offer(entries, extent: extent, at: Instant(nanoseconds: UInt64(round)), wall: history.wall)
      stored.apply(outcome.store)
      #expect(outcome.store.isEmpty || outcome.changed)
      if let view = reader.view(at: history.wall) {
        let seq = try #require(view.head?.seq)
        #expect(seq >= lastSeq, "seed \(seed)")
        lastSeq = seq
        #expect(reader.acceptedSet == history.sets[seq], "seed \(seed)")
        let allowed = try #require(history.members[seq])
        #expect(view.nodes.allSatisfy { allowed.contains($0.did) && !ended.contains($0.recordID) }, "seed \(seed)")
        #expect(view.policy != .missing)
        for node in view.nodes {
          guard let endpoint = node.endpoint else { continue }
          #expect(liar.endpoints[node.did]?.contains(endpoint) ?? false, "seed \(seed)")
        }
      }
      if liar.random.uniform(below: 4) == 0 {
        let kept = stored.networks[history.id] ?? StoredNetwork()
        var again = MeshReader(network: history.network, identity: machine, stored: kept)
        #expect(again.view(at: history.wall) == reader.view(at: history.wall), "seed \(seed), round \(round)")
        #expect(again.acceptedSet == reader.acceptedSet)
        // A reader made again from what it stored stores nothing new when it is shown nothing new.
        #expect(again.offer([], at: Instant(nanoseconds: 0), wall: history.wall).store.isEmpty)
        reader = again
      }
    }
    #expect(lastSeq > 0, "seed \(seed): no lie was good enough to test anything")
    // Lies leave no trace: once everything is shown honestly, the newest head is in force.
    _ = reader.offer(history.shownNow(), extent: .complete, at: Instant(nanoseconds: 100), wall: history.wall)
    if history.ledger.nodes(of: history.id).contains(where: { $0.did == machine.did }) {
      #expect(reader.view(at: history.wall)?.head?.seq == history.headSeq, "seed \(seed)")
      #expect(reader.mismatch == nil)
    }
  }

  @Test("a removed machine is not shown again to somebody who never saw its delete")
  func revival() throws {
    var history = try LedgerHistory(seed: 1, members: 2)
    let removed = history.machines[0]
    let old = history.shownNow()
    try history.endNode(removed.did)
    let withoutDeletes = history.shownNow()
    var reader = MeshReader(network: history.network, identity: history.machines[1])
    let first = reader.offer(withoutDeletes, extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(first.acceptedHead?.seq == history.headSeq)
    let second = reader.offer(old, extent: .complete, at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(!second.changed)
    #expect(second.refusals.contains { $0.reason == .notInHead })
    #expect(reader.view(at: history.wall)?.nodes.contains { $0.did == removed.did } == false)
  }

  @Test("a verified delete takes effect at once, without a head, and what stood below goes with it")
  func narrowAtOnce() throws {
    var history = try LedgerHistory(seed: 2, members: 2)
    let removed = history.machines[0]
    try history.publishEndpoint(of: removed, port: 9)
    var reader = try #require(history.readers[history.machines[1].did])
    #expect(reader.view(at: history.wall)?.nodes.first { $0.did == removed.did }?.endpoint != nil)
    try history.endNode(removed.did)
    let delete = try #require(history.messages.last { $0.message["descriptor"]?["method"] == "Delete" })
    let outcome = reader.offer([delete], at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(outcome.changed && outcome.acceptedHead == nil)
    #expect(reader.view(at: history.wall)?.nodes.contains { $0.did == removed.did } == false)
    // The head before still stands, and the next one comes over it.
    #expect(reader.acceptedSet?.elements.count == history.sets[history.headSeq - 1]?.elements.count)
    let head = try #require(history.messages.last)
    #expect(reader.offer([head], at: Instant(nanoseconds: 1), wall: history.wall).acceptedHead?.seq == history.headSeq)
  }

  @Test("the removed machine learns of it from its own node record")
  func removed() throws {
    var history = try LedgerHistory(seed: 3, members: 1)
    let machine = history.machines[0]
    var reader = try #require(history.readers[machine.did])
    #expect(reader.ownNodeRecords.count == 1)
    try history.endNode(machine.did)
    let delete = try #require(history.messages.last { $0.message["descriptor"]?["method"] == "Delete" })
    _ = reader.offer([delete], at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(reader.membership(at: history.wall) == .removed)
    let head = try #require(history.messages.last)
    #expect(reader.offer([head], at: Instant(nanoseconds: 1), wall: history.wall).acceptedHead != nil)
    #expect(reader.membership(at: history.wall) == .removed)
  }

  @Test("an expiry takes effect by the clock alone")
  func expiry() throws {
    var history = try LedgerHistory(seed: 4, members: 1)
    let end = history.wall + .seconds(100)
    let guest = try history.addNode(expiresAt: end)
    let reader = history.anchorReader
    let view = try #require(reader.view(at: history.wall))
    #expect(view.nodes.contains { $0.did == guest.did })
    #expect(view.nextExpiry.map { $0 <= end } ?? false)
    #expect(reader.view(at: end)?.nodes.contains { $0.did == guest.did } == false)
    #expect(history.readers[guest.did]?.membership(at: end) == .expired)
  }

  @Test("nothing is added before the whole set matches")
  func widenOnProof() throws {
    var history = try LedgerHistory(seed: 5, members: 1)
    var reader = try #require(history.readers[history.machines[0].did])
    let before = history.messages.count
    let added = try history.addNode()
    for entry in history.messages[before...].dropLast() {
      _ = reader.offer([entry], extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
      #expect(reader.view(at: history.wall)?.nodes.contains { $0.did == added.did } == false)
    }
    _ = reader.offer([history.messages.last!], at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(reader.view(at: history.wall)?.nodes.contains { $0.did == added.did } == true)
  }

  @Test("something held that the anchor took back cannot veto what a complete fetch shows")
  func noVeto() throws {
    var history = try LedgerHistory(seed: 6, members: 1)
    let machine = MachineIdentity.generate(random: history.random)
    history.pass()
    guard
      case .added(let node, let change) = try history.ledger.addNode(
        NodeAdmission(did: machine.did), to: history.id, now: history.wall, random: history.random)
    else { return }
    var reader = try #require(history.readers[history.machines[0].did])
    // Only the node record got out before it was refused elsewhere.
    _ = reader.offer([change.entries[0]], at: Instant(nanoseconds: 1), wall: history.wall)
    history.pass()
    let withdrawal = try history.ledger.withdraw(change.messages[0].element, now: history.wall)
    _ = reader.offer(withdrawal.entries, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(reader.mismatch?.seq == history.headSeq)
    let outcome = reader.offer(history.shownNow(), extent: .complete, at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(outcome.acceptedHead?.seq == history.headSeq)
    #expect(reader.view(at: history.wall)?.nodes.contains { $0.did == node.did } == false)
    // It counts as ended, also after a restart.
    #expect(!reader.offer([change.entries[0]], at: Instant(nanoseconds: 3), wall: history.wall).changed)
  }

  @Test("a new member is not shown an older mesh than the one that admitted it")
  func admissionSeq() throws {
    var history = try LedgerHistory(seed: 7, members: 2)
    let old = history.shownNow()
    let machine = try history.addNode()
    let key = try #require(history.messages.last { $0.message["descriptor"]?["recipient"]?.string == machine.did.text })
    var reader = MeshReader(network: history.network, identity: machine)
    let outcome = reader.offer(old + [key], extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(outcome.acceptedHead == nil)
    #expect(reader.mismatch?.cause == .beforeAdmission(history.headSeq))
    #expect(outcome.refusals.isEmpty, "a head that is still on its way is no lie")
    #expect(reader.membership(at: history.wall) == .waitingForHead)
  }

  @Test("a mismatch counts the complete fetches that did not help, and is known since it began")
  func attempts() throws {
    let history = try LedgerHistory(seed: 8, members: 1)
    var reader = MeshReader(network: history.network, identity: history.machines[0])
    let entries = history.shownNow().filter { $0.message["descriptor"]?["protocolPath"] != "network/node" }
    let start = Instant(nanoseconds: 1_000_000_000)
    for attempt in 1...9 {
      _ = reader.offer(entries, extent: .complete, at: start + .seconds(Int64(attempt)), wall: history.wall)
      _ = reader.offer(entries, at: start + .seconds(Int64(attempt)), wall: history.wall)
      #expect(reader.mismatch?.attempts == attempt)
    }
    #expect(reader.mismatch?.since == start + .seconds(1))
    #expect(reader.mismatch?.cause == .differs(held: 3))
  }

  @Test("a device that lacks its key waits for it, and says for which epoch")
  func waitingForKey() throws {
    let history = try LedgerHistory(seed: 9, members: 1)
    let machine = history.machines[0]
    let keyless = history.shownNow().filter { $0.message["descriptor"]?["protocolPath"] != "contextKey" }
    var reader = MeshReader(network: history.network, identity: machine)
    _ = reader.offer(keyless, extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(reader.membership(at: history.wall) == .waitingForKey)
    #expect(reader.mismatch?.cause == .keyMissing(.first))
    #expect(reader.cipher == nil)
    let outcome = reader.offer(history.shownNow(), at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(outcome.acceptedHead != nil)
    #expect((reader.cipher as? JWERecordCipher)?.epoch == .first)
  }

  @Test("what is held and no longer shown is read by id")
  func unshown() throws {
    let history = try LedgerHistory(seed: 10, members: 2)
    var reader = try #require(history.readers[history.machines[0].did])
    let hidden = try #require(history.ledger.nodes(of: history.id).last)
    let entries = history.shownNow().filter { $0.message["recordId"]?.string != hidden.recordID.text }
    let outcome = reader.offer(entries, extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(outcome.readByID == [hidden.recordID])
    #expect(reader.view(at: history.wall)?.nodes.contains { $0.did == hidden.did } == true)
  }

  @Test("a node that shows thousands of entries that do not count is not listened to further, until it is asked again")
  func useless() throws {
    let history = try LedgerHistory(seed: 31, members: 1)
    var reader = MeshReader(network: history.network, identity: history.machines[0])
    let junk = Array(repeating: ReplyEntry(message: ["n": 1]), count: MeshReader.uselessLimit)
    let (shown, start) = (history.shownNow(), Instant(nanoseconds: 0))
    let deaf = reader.offer(junk + shown, extent: .complete, at: start, wall: history.wall)
    #expect(!deaf.changed)
    let again = reader.offer(junk.dropLast(100) + shown, extent: .complete, at: start, wall: history.wall)
    #expect(again.acceptedHead != nil)
  }

  @Test("a member that writes thousands of records that do not count hides nothing of what others wrote")
  func uselessOfOne() throws {
    let history = try LedgerHistory(seed: 32, members: 1)
    var reader = MeshReader(network: history.network, identity: history.machines[0])
    let junk = (0..<MeshReader.uselessLimit + 1).map { number in
      ReplyEntry(message: [
        "recordId": .string("r\(number)"),
        "descriptor": ["protocolPath": .string(MeshProtocol.nodeInfo.text), "parentId": "one"],
      ])
    }
    let outcome = reader.offer(
      junk + history.shownNow(), extent: .complete, at: Instant(nanoseconds: 0), wall: history.wall)
    #expect(outcome.acceptedHead != nil)
  }

  @Test("the list of refusals is bounded, and each kind is in it once")
  func refusalBound() throws {
    let history = try LedgerHistory(seed: 11)
    var reader = history.anchorReader
    for number in 0..<400 {
      let junk: JSONValue = ["recordId": .string("r\(number)"), "descriptor": ["protocolPath": "network/node"]]
      for _ in 0..<2 {
        _ = reader.offer([ReplyEntry(message: junk)], at: Instant(nanoseconds: 1), wall: history.wall)
      }
    }
    #expect(reader.refusals.count == RefusalLog.capacity)
    #expect(reader.refusals.allSatisfy { $0.count == 2 })
  }
}

/// Makes shows out of a history: pieces of it, in any order, doubled, old, edited, mixed with each other and with forgeries.
struct Liar {
  var random: SeededRandom
  let messages: [ReplyEntry]
  let stranger: MachineIdentity
  /// Every endpoint that a machine ever signed, as a reader understands it.
  var endpoints: [DID: [EndpointRecord]] = [:]

  init(seed: UInt64, history: LedgerHistory) {
    random = SeededRandom(seed &* 7919)
    messages = history.messages
    stranger = MachineIdentity.generate(random: random)
    var reader = MeshReader(network: history.network, identity: history.anchor)
    for message in messages {
      _ = reader.offer([message], at: Instant(nanoseconds: 1), wall: history.wall)
      for node in reader.view(at: history.wall)?.nodes ?? [] {
        if let endpoint = node.endpoint, !(endpoints[node.did]?.contains(endpoint) ?? false) {
          endpoints[node.did, default: []].append(endpoint)
        }
      }
    }
  }

  mutating func entries() -> [ReplyEntry] {
    var chosen: [ReplyEntry] = []
    let upTo = 1 + Int(random.uniform(below: UInt64(messages.count)))
    let keep = random.uniform(below: 3) == 0 ? 8 : 1 + random.uniform(below: 8)
    for message in messages[..<upTo] where random.uniform(below: 8) < keep { chosen.append(message) }
    if random.uniform(below: 2) == 0 { chosen.shuffle(using: &random) }
    for _ in 0..<random.uniform(below: 6) { chosen.append(forgery()) }
    if random.uniform(below: 3) == 0 { chosen.shuffle(using: &random) }
    return chosen
  }

  func deletes(in entries: [ReplyEntry], by anchor: DID) -> [RecordID] {
    entries.compactMap { entry in
      guard entry.message["descriptor"]?["method"] == "Delete", let message = try? Message(entry.message),
        let signed = try? SignedMessage(checking: message, resolver: OfflineResolver()), signed.author == anchor
      else { return nil }
      return entry.message["descriptor"]?["recordId"]?.string.flatMap { RecordID($0) }
    }
  }

  private mutating func forgery() -> ReplyEntry {
    var entry = messages.randomElement(using: &random)!
    let other = messages.randomElement(using: &random)!
    switch random.uniform(below: 9) {
    case 0: entry.data = other.data
    case 1: entry.data = nil
    case 2: entry.initialWrite = other.message
    case 3: entry.message = swapped("authorization", of: entry, from: other)
    case 4: entry.message = swapped("encryption", of: entry, from: other)
    case 5: entry.message = swapped("contextId", of: entry, from: other)
    case 6: entry.message = swapped("descriptor", of: entry, from: other)
    case 7: entry = signedByStranger(entry)
    default:
      var text = entry.message.encoded
      let place = Int(random.uniform(below: UInt64(text.count)))
      text[place] = UInt8(truncatingIfNeeded: random.next())
      entry.message = (try? JSONValue(parsing: text)) ?? entry.message
    }
    return entry
  }

  private func swapped(_ name: String, of entry: ReplyEntry, from other: ReplyEntry) -> JSONValue {
    guard var object = entry.message.object else { return entry.message }
    object[name] = other.message[name]
    return .object(object)
  }

  /// The same in everything but the author.
  private func signedByStranger(_ entry: ReplyEntry) -> ReplyEntry {
    guard let message = try? Message(entry.message), message.kind == .recordsWrite,
      let signed = try? SignedMessage(checking: message, resolver: OfflineResolver()),
      let write = try? RecordsWrite(signed),
      let data = entry.data
    else { return entry }
    let draft = RecordDraft(
      protocolURI: write.protocolURI, path: write.path, parent: write.contextID.parent, schema: write.schema,
      recipient: write.recipient, tags: write.tags, squash: write.squash, encryption: entry.message["encryption"],
      data: data)
    let forged = MessageSigner(stranger).recordsWrite(draft, at: write.timestamp + .seconds(1))
    return ReplyEntry(message: forged.message.value, data: data)
  }
}
