import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// One record from its first write to its end: what wins, what is kept, what comes back (dwn-server 3, 4, 6.5).
@Suite(.timeLimit(.minutes(10)))
struct RecordLifeTests {
  let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy()
    let reply = try await tenancy.install(#"{"box": {"item": {"part": {}}, "latest": {"$squash": true, "part": {}}}}"#)
    #expect(reply.status.code == 202, "\(reply.status)")
  }

  private func read(_ record: RecordID) async throws -> Reply {
    try await tenancy.send(tenancy.alice.signer.recordsRead(RecordsFilter(recordID: record), at: tenancy.tick()))
  }

  private func update(_ record: RecordsWrite, _ data: String, at time: WallTime? = nil) -> (RecordsWrite, [UInt8]) {
    let draft = RecordDraft(updating: record, data: Array(data.utf8))
    return (tenancy.alice.signer.recordsWrite(draft, at: time ?? tenancy.tick()), draft.data)
  }

  @Test("the same message twice is a conflict")
  func twice() async throws {
    let record = try await tenancy.write(tenancy.alice, "box")
    #expect(try await tenancy.status(record.signed, data: Array("{}".utf8)) == "409")
  }

  @Test("a read gives the newest write with its data, and the first write beside it")
  func newest() async throws {
    let record = try await tenancy.write(tenancy.alice, "box", data: "1")
    let (second, data) = update(record, "2")
    #expect(try await tenancy.status(second.signed, data: data) == "202")
    let reply = try await read(record.recordID)
    #expect(reply.data == Array("2".utf8))
    #expect(reply.entry?.message == second.message.value)
    #expect(reply.entry?.initialWrite == record.message.value)
    #expect(reply.members["entry"]?["recordsWrite"]?["encodedData"] == "Mg")
    let unchanged = try await read(try await tenancy.write(tenancy.alice, "box").recordID)
    #expect(unchanged.entry?.initialWrite == nil)
  }

  @Test("writes of one record end the same in every order of arrival, ties decided by CID")
  func arrivalOrder() async throws {
    let seed = UInt64.random(in: .min ... .max)
    let random = SeededRandom(seed)
    for round in 0..<12 {
      let record = try await tenancy.write(tenancy.alice, "box", data: "0")
      let base = tenancy.tick()
      var later: [(RecordsWrite, [UInt8])] = []
      for number in 1...4 {
        // Two share a time.
        later.append(update(record, "\(number)", at: base + .milliseconds(Int64(number / 2))))
      }
      let winner = later.max { ($0.0.timestamp, $0.0.cid.text) < ($1.0.timestamp, $1.0.cid.text) }!
      later.shuffle(using: &random.generator)
      for (write, data) in later {
        let status = try await tenancy.status(write.signed, data: data)
        #expect(status == "202" || status == "409", "seed \(seed) round \(round)")
      }
      let reply = try await read(record.recordID)
      #expect(reply.entry?.message == winner.0.message.value, "seed \(seed) round \(round)")
      #expect(reply.data == winner.1, "seed \(seed) round \(round)")
    }
  }

  @Test("a later write without its first one is refused")
  func withoutInitial() async throws {
    let draft = tenancy.draft("box")
    let unknown = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    let (later, data) = update(unknown, "1")
    #expect(try await tenancy.status(later.signed, data: data) == "400 RecordsWriteGetInitialWriteNotFound")
  }

  @Test("members that identify a record do not change")
  func immutableMembers() async throws {
    let record = try await tenancy.write(tenancy.alice, "box")
    var draft = RecordDraft(updating: record, data: [])
    draft.recipient = tenancy.bob.did
    #expect(try await tenancy.attempt(tenancy.alice, draft) == "400 RecordsWriteImmutablePropertyChanged")
    draft = RecordDraft(updating: record, data: [0x31])
    draft.tags = ["a": "b"]
    draft.dataFormat = "text/plain"
    draft.published = true
    #expect(try await tenancy.attempt(tenancy.alice, draft) == "202")
  }

  @Test("a first write without its data waits for it, invisible")
  func completion() async throws {
    let draft = tenancy.draft("box", data: "late")
    let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(write.signed) == "204")
    #expect(try await read(write.recordID).status.code == 404)
    #expect(try await tenancy.status(write.signed) == "409")
    #expect(try await tenancy.status(write.signed, data: Array("else".utf8)) == "400 RecordsWriteDataCidMismatch")
    #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
    #expect(try await read(write.recordID).data == draft.data)
    #expect(try await tenancy.status(write.signed, data: draft.data) == "409")
  }

  @Test("data must be what the descriptor says")
  func dataChecks() async throws {
    let write = tenancy.alice.signer.recordsWrite(tenancy.draft("box", data: "1234"), at: tenancy.tick())
    #expect(try await tenancy.status(write.signed, data: Array("12345".utf8)) == "400 RecordsWriteDataSizeMismatch")
    #expect(try await tenancy.status(write.signed, data: Array("1235".utf8)) == "400 RecordsWriteDataCidMismatch")
    #expect(try await read(write.recordID).status.code == 404)
  }

  @Test("no bytes are data, with and without a body")
  func emptyData() async throws {
    for data in [nil, []] as [[UInt8]?] {
      let write = tenancy.alice.signer.recordsWrite(tenancy.draft("box", data: ""), at: tenancy.tick())
      #expect(try await tenancy.status(write.signed, data: data) == "202")
      #expect(try await read(write.recordID).data == [])
    }
  }

  @Test("a later write without data carries the newest data on, if it is the same", arguments: [10, 40_000])
  func carriedData(size: Int) async throws {
    let text = String(repeating: "x", count: size)
    let record = try await tenancy.write(tenancy.alice, "box", data: text)
    var draft = RecordDraft(updating: record, data: Array(text.utf8))
    draft.tags = ["mood": "new"]
    let later = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(later.signed) == "202")
    #expect(try await read(record.recordID).data == draft.data)
    let (other, _) = update(record, text + "y")
    let code =
      size > NodeLimits.inlineData ? "RecordsWriteMissingDataInPrevious" : "RecordsWriteMissingEncodedDataInPrevious"
    #expect(try await tenancy.status(other.signed) == "400 \(code)")
  }

  @Test("data beyond the inline limit is read, and is not in the answers to queries")
  func largeData() async throws {
    let small = String(repeating: "s", count: NodeLimits.inlineData)
    let large = String(repeating: "l", count: NodeLimits.inlineData + 1)
    let first = try await tenancy.write(tenancy.alice, "box", data: small)
    let second = try await tenancy.write(tenancy.alice, "box", data: large)
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box")
    let reply = try await tenancy.send(tenancy.alice.signer.recordsQuery(filter, at: tenancy.tick()))
    #expect(reply.entries.map { $0.data?.count } == [NodeLimits.inlineData, nil])
    #expect(try await read(first.recordID).data?.count == small.utf8.count)
    let whole = try await read(second.recordID)
    #expect(whole.data?.count == large.utf8.count)
    #expect(whole.members["entry"]?["recordsWrite"]?["encodedData"] == nil)
  }

  @Test("a delete beats every write, earlier or later, whatever comes first")
  func deleteBeatsWrites() async throws {
    let record = try await tenancy.write(tenancy.alice, "box")
    let deleteTime = tenancy.tick()
    let (newer, data) = update(record, "9")
    #expect(try await tenancy.status(newer.signed, data: data) == "202")
    let delete = tenancy.alice.signer.recordsDelete(record.recordID, prune: false, at: deleteTime)
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await read(record.recordID).status.code == 404)
    let (latest, more) = update(record, "10")
    #expect(try await tenancy.status(latest.signed, data: more) == "400 RecordsWriteNotAllowedAfterDelete")
    #expect(try await tenancy.status(record.signed, data: Array("{}".utf8)) == "409")
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box")
    #expect(try await tenancy.query(tenancy.alice, filter) == [])
  }

  @Test("between deletes the pruning one wins, then the newer; one of nothing is a 404")
  func deletes() async throws {
    let record = try await tenancy.write(tenancy.alice, "box")
    func delete(_ prune: Bool, _ time: WallTime) async throws -> String {
      try await tenancy.status(tenancy.alice.signer.recordsDelete(record.recordID, prune: prune, at: time))
    }
    let times = (0..<4).map { _ in tenancy.tick() }
    #expect(try await delete(false, times[1]) == "202")
    #expect(try await delete(false, times[1]) == "409")
    #expect(try await delete(false, times[0]) == "409")
    #expect(try await delete(false, times[2]) == "202")
    #expect(try await delete(true, times[0]) == "202")
    #expect(try await delete(false, times[3]) == "409")
    #expect(try await delete(true, times[1]) == "202")
    let nothing = tenancy.alice.signer.recordsDelete(RecordID("abcdef")!, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(nothing) == "404")
  }

  @Test("prune takes everything below, and a plain delete leaves it")
  func prune() async throws {
    let box = try await tenancy.write(tenancy.alice, "box")
    let item = try await tenancy.write(tenancy.alice, "box/item", below: box)
    let part = try await tenancy.write(tenancy.alice, "box/item/part", below: item)
    let gone = try await tenancy.write(tenancy.alice, "box/item/part", below: item)
    let kept = try await tenancy.write(tenancy.alice, "box/item", below: box)
    let plain = tenancy.alice.signer.recordsDelete(gone.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(plain) == "202")
    let leaving = tenancy.alice.signer.recordsDelete(item.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(leaving) == "202")
    #expect(try await read(part.recordID).status.code == 200)
    let prune = tenancy.alice.signer.recordsDelete(item.recordID, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(prune) == "202")
    for erased in [part, gone] {
      let reply = try await read(erased.recordID)
      #expect(reply.status.code == 404)
      #expect(reply.entry == nil)
    }
    #expect(try await read(item.recordID).entry?.message == prune.message.value)
    #expect(try await read(kept.recordID).status.code == 200)
  }

  @Test("a squash erases its older siblings with all below them, and nothing else")
  func squash() async throws {
    let box = try await tenancy.write(tenancy.alice, "box")
    let otherBox = try await tenancy.write(tenancy.alice, "box")
    let old = try await tenancy.write(tenancy.alice, "box/latest", below: box, data: "old")
    let part = try await tenancy.write(tenancy.alice, "box/latest/part", below: old)
    let deleted = try await tenancy.write(tenancy.alice, "box/latest", below: box)
    let end = tenancy.alice.signer.recordsDelete(deleted.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(end) == "202")
    let cousin = try await tenancy.write(tenancy.alice, "box/latest", below: otherBox, data: "cousin")
    let squashTime = tenancy.tick()
    let newer = try await tenancy.write(tenancy.alice, "box/latest", below: box, data: "newer")
    let draft = tenancy.draft("box/latest", below: box, squash: true, data: "squash")
    let squash = tenancy.alice.signer.recordsWrite(draft, at: squashTime)
    #expect(try await tenancy.status(squash.signed, data: draft.data) == "202")
    for erased in [old, part, deleted] { #expect(try await read(erased.recordID).entry == nil) }
    #expect(try await read(cousin.recordID).status.code == 200)
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box/latest", contextID: box.contextID)
    #expect(try await tenancy.query(tenancy.alice, filter) == ["squash", "newer"])
    #expect(try await tenancy.attempt(tenancy.alice, updating: newer, data: "newest") == "202")
  }

  @Test("what is not newer than a squash of its siblings is refused, so that order of arrival plays no part")
  func backstop() async throws {
    let box = try await tenancy.write(tenancy.alice, "box")
    let earlier = tenancy.tick()
    let time = tenancy.tick()
    let squashDraft = tenancy.draft("box/latest", below: box, squash: true, data: "squash")
    let squash = tenancy.alice.signer.recordsWrite(squashDraft, at: time)
    #expect(try await tenancy.status(squash.signed, data: squashDraft.data) == "202")
    for moment in [earlier, time] {
      let draft = tenancy.draft("box/latest", below: box, data: "late")
      let late = tenancy.alice.signer.recordsWrite(draft, at: moment)
      #expect(try await tenancy.status(late.signed, data: draft.data) == "409 ProtocolAuthorizationSquashBackstop")
    }
    #expect(try await tenancy.attempt(tenancy.alice, tenancy.draft("box/latest", below: box)) == "202")
  }

  @Test("a twin that differs outside the signed payload is a conflict")
  func twin() async throws {
    let draft = tenancy.draft("box", data: "1")
    let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
    // The same payload signed anew under a protected header of another spelling.
    let identity = tenancy.alice.signer.identity
    let payload = try #require(
      Base64.decode(write.message.json["authorization"]?["signature"]?["payload"]?.string ?? ""))
    let header: JSONValue = ["kid": .string(identity.signingKeyID), "alg": "EdDSA"]
    let jws = GeneralJWS.sign(payload, header: header.encoded, key: identity.signingKey, kid: identity.signingKeyID)
    var twin = write.message.json
    twin["authorization"] = ["signature": jws.json]
    #expect(CID(of: .object(twin)) != write.cid)
    let reply = try await tenancy.node.process(tenant: tenancy.alice.did, message: .object(twin), data: draft.data)
    #expect(reply.status.code == 409)
  }
}

extension SeededRandom {
  /// For the standard library's shuffling, which wants to change its generator.
  fileprivate var generator: SeededRandom {
    get { self }
    set {}
  }
}
