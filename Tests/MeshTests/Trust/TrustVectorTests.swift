import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Trust: the recorded network", .enabled(if: TrustVectors.isHere, "\(Fixtures.skipped)"))
struct TrustVectorTests {
  let vectors: TrustVectors

  init() throws {
    vectors = try TrustVectors()
  }

  @Test("a member that is shown everything in order refuses nothing and ends at the last head")
  func inOrder() throws {
    var reader = try vectors.reader()
    var acceptedHeads: [Int64] = []
    for message in vectors.messages {
      let outcome = reader.offer([message.entry])
      #expect(outcome.refusals.isEmpty, "\(message.name)")
      if let head = outcome.acceptedHead { acceptedHeads.append(head.seq) }
    }
    // The key comes after head 2 and says that nothing below head 3 is an answer.
    #expect(acceptedHeads == [3, 4, 5, 6, 7])
    #expect(reader.mismatch == nil)
    #expect(reader.refusals.isEmpty)
    let view = try #require(reader.view)
    #expect(view.head?.epoch.number == 1_795_262_420)
    #expect(view.nodes.map(\.did).sorted() == [vectors.network.anchor, try vectors.identity("node-b").did].sorted())
    #expect(view.own?.name == "work laptop")
    #expect(view.own?.record.owner == (try vectors.identity("member").did))
    #expect(view.members.keys.contains(try vectors.identity("member").did))
    #expect(view.record?.name == "home")
    #expect(view.acl?.version == 2)
    #expect(view.own?.endpoint?.localEndpoints.map(\.description) == ["203.0.113.5:41641"])
    #expect(view.unused.isEmpty)
    #expect(reader.membership(at: TrustVectors.wall) == .member)
    for node in view.nodes { #expect(node.meshIP == (try vectors.address(of: node.did))) }
  }

  @Test("the live set and its hash are those of the states")
  func states() throws {
    for state in vectors.states {
      let set = LiveSet(state.live)
      #expect(Base64.encode(set.hash.array) == state.records)
    }
    var anchor = try vectors.reader("anchor")
    for message in vectors.messages {
      let outcome = anchor.offer([message.entry])
      guard message.isHead else { continue }
      // The anchor derives every key, so it accepts each head as it comes.
      let state = try #require(vectors.states.first { $0.head == message.name })
      #expect(outcome.acceptedHead?.seq == state.seq)
      #expect(anchor.acceptedSet == LiveSet(state.live), "\(message.name)")
    }
  }

  @Test("what lies between two heads may come in any order: the heads still match")
  func anyOrder() throws {
    for seed in UInt64(1)...40 {
      var random = SeededRandom(seed)
      var reader = try vectors.reader("anchor")
      var pool: [TrustVectors.Message] = []
      for message in vectors.messages {
        guard message.isHead else {
          pool.append(message)
          continue
        }
        pool.shuffle(using: &random)
        for held in pool { #expect(reader.offer([held.entry]).refusals.isEmpty, "seed \(seed): \(held.name)") }
        pool = []
        let outcome = reader.offer([message.entry])
        #expect(
          outcome.acceptedHead?.seq == vectors.states.first { $0.head == message.name }?.seq,
          "seed \(seed): \(message.name)")
      }
    }
  }

  @Test("what must be refused is left out for its reason, and changes nothing", arguments: TrustVectors.cases("refuse"))
  func refuse(_ item: TrustVectors.Case) throws {
    var reader = try vectors.reader(after: item.afterHead)
    let before = reader.view
    let outcome = reader.offer([item.entry])
    #expect(!outcome.changed)
    #expect(outcome.store.isEmpty)
    #expect(reader.view == before)
    let reason = try #require(outcome.refusals.first?.reason)
    #expect(Self.matches(reason, item), "\(item.name): \(reason)")
    // The same again is one refusal that happened twice, and in a complete fetch it does no more.
    #expect(reader.offer([item.entry], .complete).refusals.isEmpty)
    #expect(reader.refusals.map(\.count) == [2])
    #expect(reader.view == before)
  }

  private static func matches(_ reason: RefusalReason, _ item: TrustVectors.Case) -> Bool {
    func code(_ names: String...) -> Bool {
      if case .malformed(let error) = reason { names.contains(error.code) } else { false }
    }
    return switch item.reason {
    case "contextId differs from the signed payload":
      code("RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload")
    case "dataCid does not match": reason == .dataMismatch
    case "encryptionCid does not match", "encryptionCid signed, encryption absent":
      code("RecordsWriteValidateIntegrityEncryptionCidMismatch")
    case "descriptorCid does not match": code("AuthenticateDescriptorCidMismatch")
    case "signature does not verify", "kid names the anchor, key is node-a's":
      code("GeneralJwsVerifierInvalidSignature")
    case "base64url is not canonical": code("SchemaValidatorFailure")
    case "unknown member":
      code(
        "SchemaValidatorUnevaluatedPropertyNotAllowed", "SchemaValidatorAdditionalPropertyNotAllowed",
        "SchemaValidatorFailure")
    case "only the anchor may write it": reason == .notTheAuthor(.owner)
    case "only the recipient of the parent node record may write it": reason == .notTheAuthor(.recipientOfParent)
    case "only the anchor may end it": reason == .onlyOwnerEnds
    case "seq must rise": reason == .headNotRising
    case "equivocation": reason == .equivocation
    case "schema is not that of the path": reason == .wrongSchema
    case "recipient is immutable": reason == .immutableMember("recipient")
    case "clear text is refused": reason == .keyInClear
    case "signer is not the anchor": reason == .onlyOwnerDelivers
    case "derivationPath names another network", "key pair does not match", "tag and data disagree":
      if case .keyUnusable = reason { true } else { false }
    case "older than the slot": reason == .olderThanSlot
    case "only the tenant configures": reason == .onlyOwnerConfigures
    case "the network id commits to the JWE envelope": reason == .envelopeChanged(.jwe)
    case "its delete was seen": reason == .ended
    default: false
    }
  }

  @Test("a node shown without its data was not shown: the head that covers it waits until the data comes")
  func withoutData() throws {
    let item = try #require(TrustVectors.cases("pending").first)
    var reader = try vectors.reader(after: item.afterHead)
    let before = reader.view
    let outcome = reader.offer([item.entry])
    #expect(outcome.readByID.map(\.text) == [item.entry.message["recordId"]?.string])
    #expect(!outcome.changed && outcome.refusals.isEmpty)
    #expect(reader.offer([try vectors.message("head 4").entry]).acceptedHead == nil)
    #expect(reader.view == before)
    #expect(reader.mismatch?.seq == 4)
    #expect(reader.offer([try vectors.message("node-b relabelled").entry]).acceptedHead?.seq == 4)
    #expect(reader.mismatch == nil)
  }

  @Test("a good head whose set is not there leaves the accepted state as it is")
  func headWithoutSet() throws {
    let item = try #require(TrustVectors.cases("pending").last)
    var reader = try vectors.reader(after: item.afterHead)
    let before = reader.view
    let outcome = reader.offer([item.entry])
    #expect(outcome.acceptedHead == nil && outcome.refusals.isEmpty)
    #expect(reader.view == before)
    #expect(reader.mismatch?.acceptedSeq == 7)
  }

  @Test("what cannot be used counts, and yields no peer and no relay", arguments: TrustVectors.cases("unused"))
  func unused(_ item: TrustVectors.Case) throws {
    var reader = try vectors.reader(after: item.afterHead)
    let before = try #require(reader.view)
    #expect(reader.offer([item.entry]).refusals.isEmpty)
    let element = try #require(item.entry.element)
    let set = try #require(reader.acceptedSet)
    let head = try vectors.head(seq: 8, over: set.elements.union([element]), at: "2026-11-21T12:00:59.000000Z")
    #expect(reader.offer([head]).acceptedHead?.seq == 8)
    let view = try #require(reader.view)
    #expect(view.nodes == before.nodes)
    #expect(view.relays == before.relays)
    #expect(view.unused.map(\.recordID.text) == [item.entry.message["recordId"]?.string])
  }

  @Test("the relays are those of the recorded map")
  func relays() throws {
    for map in try #require(vectors.json["relayMap"]?.array) {
      let head = try #require(map["afterHead"]?.string)
      let view = try #require(vectors.reader(after: head).view)
      let regions = map["regions"]?.array ?? []
      #expect(view.relays.map { Int64($0.id) } == regions.compactMap { $0["regionID"]?.integer })
      #expect(view.relays.map(\.host.text) == regions.compactMap { $0["hostName"]?.string })
      #expect(view.relays.map { Int64($0.port) } == regions.compactMap { $0["derpPort"]?.integer })
    }
  }
}

extension MeshView {
  var acl: ACLPolicy? { if case .accepted(let policy) = policy { policy } else { nil } }
}

extension ReplyEntry {
  var element: String? {
    message["authorization"]?["signature"]?["payload"]?.string.map { Base64.encode(SHA2.sha256(Array($0.utf8))) }
  }
}

extension TrustVectors {
  func address(of did: DID) throws -> IPAddress {
    let item = (json["identities"]?.array ?? []).first { $0["did"]?.string == did.text }
    return try #require(item?["meshIPv4"]?.string.flatMap { IPAddress($0) })
  }

  /// A further head by the anchor.
  func head(seq: Int64, epoch: Int64 = 1_795_262_420, over elements: Set<String>, at stamp: String) throws -> ReplyEntry
  {
    let record = HeadRecord(seq: seq, epoch: try #require(KeyEpoch(epoch)), records: LiveSet(elements).hash)
    let draft = RecordDraft(
      protocolURI: MeshProtocol.uri, path: MeshProtocol.head, parent: network.id.contextID,
      schema: MeshProtocol.schema(of: MeshProtocol.head), squash: true, data: try record.encoded())
    let write = MessageSigner(try identity("anchor")).recordsWrite(draft, at: try #require(WallTime(timestamp: stamp)))
    return ReplyEntry(message: write.message.value, data: draft.data)
  }
}
