import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

@Suite("Building messages")
struct MessageBuildingTests {
  private let workshop = MessageWorkshop()

  @Test("every write that is built is checked and read back as what it was, with any members")
  func writes() throws {
    let random = SeededRandom(.random(in: 0...(.max)))
    func coin() -> Bool { random.uniform(below: 2) == 0 }
    for round in 0..<60 {
      let depth = Int(random.uniform(below: 3)) + 1
      var parent: ContextID?
      for level in 1..<depth {
        let id = RecordID(CID(of: ["n": .integer(Int64(round * 10 + level))]))
        parent = parent.map { ContextID($0, id) } ?? ContextID(root: id)
      }
      let path = try #require(ProtocolPath(Array(repeating: "type", count: depth).joined(separator: "/")))
      let data = random.bytes(Int(random.uniform(below: 300)))
      var draft = RecordDraft(
        protocolURI: "https://example.com/p", path: path, parent: parent,
        schema: coin() ? "https://example.com/s" : nil,
        recipient: coin() ? workshop.stranger.did : nil,
        tags: coin() ? ["t": .integer(Int64(round)), "u": .number(0.5)] : nil,
        published: coin() ? coin() : nil, squash: coin(), protocolRole: coin() ? "network/node" : nil, data: data)
      if coin() {
        let sealed = try JWEEnvelope.seal(
          data, to: [EnvelopeRecipient(workshop.stranger.wireGuardKey.publicKey, .didKey)], random: random)
        draft.encryption = sealed.envelope.json
        draft.data = sealed.ciphertext
      }
      let built = workshop.signer.recordsWrite(draft, at: workshop.time + .microseconds(round))
      let message = try Message(parsing: Array(built.message.value.text.utf8))
      let read = try RecordsWrite(SignedMessage(checking: message, resolver: OfflineResolver()))
      #expect(read == built, "seed \(random.seed)")
      #expect(read.isInitial, "seed \(random.seed)")
      #expect(read.author == workshop.identity.did)
      #expect(
        read.path == path && read.contextID.parent == parent && read.parentID == parent?.record, "seed \(random.seed)")
      #expect(
        read.recipient == draft.recipient && read.schema == draft.schema && read.tags == draft.tags,
        "seed \(random.seed)")
      #expect(read.published == (draft.published ?? false) && read.squash == draft.squash, "seed \(random.seed)")
      #expect(read.signed.payload.protocolRole == draft.protocolRole?.text, "seed \(random.seed)")
      #expect(read.matches(data: draft.data), "seed \(random.seed)")
      #expect(read.timestamp == workshop.time + .microseconds(round))
    }
  }

  @Test("an update keeps what is immutable and is not an initial write")
  func update() throws {
    for initial in [workshop.write, workshop.plainWrite] {
      var draft = RecordDraft(updating: initial, data: Array("more".utf8))
      draft.tags = ["kind": "changed"]
      let update = workshop.signer.recordsWrite(draft, at: workshop.time + .seconds(1))
      let read = try RecordsWrite(workshop.check(update.message.value))
      #expect(read == update)
      #expect(!read.isInitial)
      #expect(read.recordID == initial.recordID && read.contextID == initial.contextID)
      #expect(read.dateCreated == initial.dateCreated && read.timestamp > initial.timestamp)
      #expect(read.immutableMemberChanged(from: initial) == nil)
      #expect(read.matches(data: Array("more".utf8)))
    }
  }

  @Test(
    "an immutable member that changes is named",
    arguments: [
      ("schema", "https://example.com/other"), ("schema", nil), ("recipient", nil),
      ("dateCreated", "2026-11-21T11:00:00.000000Z"),
      ("squash", nil), ("protocol", "https://example.com/other"), ("protocolPath", "thread/other"),
    ] as [(String, JSONValue?)])
  func immutable(name: String, value: JSONValue?) throws {
    let initial = workshop.write
    var json = workshop.changing(initial.message.value, "descriptor/" + name, to: value)
    json = workshop.changing(json, "descriptor/messageTimestamp", to: "2026-11-21T13:00:00.000000Z")
    let update = try RecordsWrite(workshop.check(workshop.signing(json)))
    #expect(update.immutableMemberChanged(from: initial) == name)
  }

  @Test(
    "a member that may change does not count as immutable",
    arguments: [
      ("tags", ["x": 1]), ("dataFormat", "text/html"), ("dataSize", 9),
      ("messageTimestamp", "2026-11-21T13:00:00.000000Z"),
      ("datePublished", "2026-11-21T13:00:00.000000Z"),
    ] as [(String, JSONValue)])
  func mutable(name: String, value: JSONValue) throws {
    let initial = workshop.write
    let json = workshop.signing(workshop.changing(initial.message.value, "descriptor/" + name, to: value))
    let update = try RecordsWrite(workshop.check(json))
    #expect(update.immutableMemberChanged(from: initial) == nil)
  }

  @Test("deletes, reads, queries and protocol messages are built as they are checked")
  func others() throws {
    let signer = workshop.signer
    let filter = RecordsFilter(protocolURI: "https://example.com/p", path: "thread", recipient: [workshop.stranger.did])
    let messages: [(SignedMessage, Message.Kind)] = [
      (signer.recordsDelete(workshop.write.recordID, prune: true, at: workshop.time), .recordsDelete),
      (signer.recordsRead(filter, at: workshop.time, role: "network/node"), .recordsRead),
      (
        signer.recordsQuery(
          filter, sort: .updatedDescending,
          pagination: Pagination(limit: 7, cursor: .init(messageCID: "x", value: "y")),
          at: workshop.time), .recordsQuery
      ), (signer.protocolsConfigure(["protocol": "https://example.com/p"], at: workshop.time), .protocolsConfigure),
      (signer.protocolsQuery(protocolURI: "https://example.com/p", at: workshop.time), .protocolsQuery),
      (signer.protocolsQuery(protocolURI: nil, at: workshop.time), .protocolsQuery),
    ]
    for (built, kind) in messages {
      #expect(built.message.kind == kind)
      #expect(built.message.timestamp == workshop.time)
      #expect(try workshop.check(try JSONValue(parsing: built.message.value.text)) == built)
    }
    #expect(messages[1].0.payload.protocolRole == "network/node")
    #expect(try RecordsFilter(messages[2].0.message.descriptor["filter"] ?? [:]) == filter)
  }

  @Test("a message with a changed byte is refused, or says the same")
  func changedBytes() throws {
    let random = SeededRandom(.random(in: 0...(.max)))
    let write = workshop.write.message
    let text = write.value.encoded
    for _ in 0..<500 {
      var changed = text
      changed[Int(random.uniform(below: UInt64(text.count)))] ^= UInt8(1 << random.uniform(below: 8))
      guard let message = try? Message(parsing: changed),
        let signed = try? SignedMessage(checking: message, resolver: OfflineResolver())
      else { continue }
      #expect(signed.message == write, "seed \(random.seed)")
    }
  }

  @Test("the payload is written in the order of the mesh's other programs")
  func payloadOrder() {
    let cid = CID(of: [:])
    let payload = SignaturePayload(
      descriptorCID: cid, recordID: RecordID(cid), contextID: ContextID(root: RecordID(cid)), encryptionCID: cid,
      protocolRole: "a/b")
    #expect(payload.json.object?.names == ["descriptorCid", "recordId", "contextId", "encryptionCid", "protocolRole"])
    #expect(SignaturePayload(descriptorCID: cid).json.object?.names == ["descriptorCid"])
  }
}
