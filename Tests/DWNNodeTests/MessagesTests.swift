import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A tenant's whole feed: read in pages, message by message, and followed (dwn-server 9.5).
@Suite(.timeLimit(.minutes(10)))
struct MessagesTests {
  let tenancy: TestTenancy
  let box: RecordsWrite

  init() async throws {
    tenancy = try TestTenancy()
    let reply = try await tenancy.install(#"{"box": {"item": {}}}"#)
    #expect(reply.status.code == 202)
    box = try await tenancy.write(tenancy.alice, "box", data: "1")
  }

  private func query(_ query: MessagesQuery, by reader: Person? = nil) async throws -> Reply {
    try await tenancy.send((reader ?? tenancy.alice).signer.message(.messagesQuery(query), at: tenancy.tick()))
  }

  private func cursor(_ reply: Reply) throws -> ProgressToken {
    try #require(reply.members["cursor"].flatMap { ProgressToken($0) })
  }

  @Test("a query tells every kind of message in order, and where the next one goes on")
  func pages() async throws {
    #expect(try await tenancy.attempt(tenancy.alice, updating: box, data: "2") == "202")
    let item = try await tenancy.write(tenancy.alice, "box/item", below: box, data: "3")
    let delete = tenancy.alice.signer.recordsDelete(item.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    let whole = try await query(MessagesQuery())
    let entries = try #require(whole.members["entries"]?.array)
    #expect(entries.map { $0["seq"] } == ["1", "2", "3", "4", "5"])
    #expect(entries.map { $0["isLatestBaseState"] } == [true, false, true, false, true])
    #expect(entries[1]["messageCid"] == .string(box.cid.text) && entries[1]["message"] == box.message.value)
    #expect(entries[2]["encodedData"] == .string(Base64.encode(Array("2".utf8))))
    #expect(entries[2]["message"]?["encodedData"] == nil && entries[1]["encodedData"] == nil)
    #expect(entries.allSatisfy { $0["protocol"] == .string(TestTenancy.protocolURI) })
    #expect(whole.members["drained"] == true)
    #expect(try cursor(whole).messageCID == delete.message.cid)

    var sum = [UInt8](repeating: 0, count: 32)
    for entry in entries {
      let digest = SHA2.sha256(Array((entry["messageCid"]?.string ?? "").utf8))
      for (index, byte) in digest.enumerated() { sum[index] ^= byte }
    }
    #expect(whole.members["fingerprint"] == .string(Hex.encode(sum)))

    var position: ProgressToken?
    var sequence: [JSONValue?] = []
    var isDrained = false
    while !isDrained {
      let page = try await query(MessagesQuery(cursor: position, limit: 2, cidsOnly: true))
      let entries = try #require(page.members["entries"]?.array)
      #expect(entries.allSatisfy { $0["message"] == nil && $0["encodedData"] == nil })
      sequence += entries.map { $0["seq"] }
      position = try cursor(page)
      isDrained = page.members["drained"] == true
      #expect(page.members["fingerprint"] == whole.members["fingerprint"])
    }
    #expect(sequence == ["1", "2", "3", "4", "5"])
    let nothing = try await query(MessagesQuery(limit: 0))
    #expect(nothing.members["entries"] == [] && nothing.members["drained"] == false)
    #expect(try cursor(nothing).position == FeedPosition(0))
  }

  @Test("filters name kinds, protocols, paths and contexts; the cursor still goes to the head")
  func filters() async throws {
    _ = try await tenancy.write(tenancy.alice, "box/item", below: box)
    _ = try await tenancy.write(tenancy.alice, "box")
    func found(_ filters: JSONValue...) async throws -> [JSONValue?] {
      let message = tenancy.alice.signer.message(
        .messagesQuery(try MessagesFixture.query(filters)), at: tenancy.tick())
      let reply = try await tenancy.send(message)
      #expect(try cursor(reply).position == FeedPosition(4))
      return reply.members["entries"]?.array?.map { $0["seq"] } ?? []
    }
    #expect(try await found(["interface": "Protocols"]) == ["1"])
    #expect(try await found(["method": "Write"]) == ["2", "3", "4"])
    #expect(try await found(["protocol": .string(TestTenancy.protocolURI)]) == ["1", "2", "3", "4"])
    #expect(try await found(["protocol": "https://example.org/other"]) == [])
    #expect(try await found(["protocolPathPrefix": "box/item"]) == ["3"])
    #expect(try await found(["protocolPathPrefix": "bo"]) == [])
    #expect(try await found(["contextIdPrefix": .string(box.contextID.text)]) == ["2", "3"])
    #expect(try await found(["interface": "Protocols"], ["protocolPathPrefix": "box/item"]) == ["1", "3"])
  }

  @Test(
    "the fingerprint over filters is that of what they show, whatever page it comes with, and is left out where too much would be looked at"
  )
  func filteredFingerprint() async throws {
    var limits = NodeLimits()
    limits.mostFingerprinted = 4
    let bounded = try TestTenancy(limits: limits)
    #expect(try await bounded.install(#"{"box": {}, "other": {}}"#).status.code == 202)
    for path: ProtocolPath in ["box", "other", "box"] { _ = try await bounded.write(bounded.alice, path) }
    func fingerprint(_ filters: [JSONValue], limit: Int?) async throws -> (JSONValue?, shown: [String]) {
      var query = try MessagesFixture.query(filters)
      query.limit = limit
      query.cidsOnly = true
      let reply = try await bounded.send(bounded.alice.signer.message(.messagesQuery(query), at: bounded.tick()))
      #expect(reply.status.code == 200)
      let entries = reply.members["entries"]?.array ?? []
      return (reply.members["fingerprint"], entries.compactMap { $0["messageCid"]?.string })
    }
    let boxes: [JSONValue] = [["protocolPathPrefix": "box"]]
    let (whole, shown) = try await fingerprint(boxes, limit: nil)
    var expected = FeedFingerprint()
    for cid in shown { expected.toggle(cid) }
    #expect(shown.count == 2 && whole == .string(Hex.encode(expected.bytes)))
    #expect(try await fingerprint(boxes, limit: 0).0 == whole)

    _ = try await bounded.write(bounded.alice, "box")
    let beyond = try await fingerprint(boxes, limit: nil)
    #expect(beyond.shown.count == 3 && beyond.0 == nil)
    #expect(try await fingerprint([], limit: nil).0 != nil, "without a filter it is at hand")
  }

  @Test("a message is read by its CID, with its data")
  func read() async throws {
    func read(_ cid: CID, by reader: Person) async throws -> Reply {
      try await tenancy.send(reader.signer.message(.messagesRead(MessagesRead(cid)), at: tenancy.tick()))
    }
    let reply = try await read(box.cid, by: tenancy.alice)
    #expect(reply.status.code == 200 && reply.data == Array("1".utf8))
    #expect(reply.members["entry"]?["message"] == box.message.value)
    #expect(reply.members["entry"]?["messageCid"] == .string(box.cid.text))
    #expect(try await read(CID(of: "nothing"), by: tenancy.alice).status.code == 404)
    for cid in [box.cid, CID(of: "nothing")] {
      let refused = try await read(cid, by: tenancy.bob)
      #expect(refused.status.code == 401 && refused.status.detail.hasPrefix("MessagesReadAuthorizationFailed"))
    }
  }

  @Test("strangers are refused, and so is a place in another feed")
  func refusals() async throws {
    let stranger = try await query(MessagesQuery(), by: tenancy.bob)
    #expect(stranger.status.code == 401 && stranger.status.detail.hasPrefix("MessagesQueryAuthorizationFailed"))
    let message = tenancy.bob.signer.message(.messagesSubscribe(MessagesSubscribe()), at: tenancy.tick())
    let refused = try await tenancy.node.subscribe(tenant: tenancy.alice.did, message: message.message.value)
    #expect(refused.reply.status.detail.hasPrefix("MessagesSubscribeAuthorizationFailed") && refused.frames == nil)
    let stray = ProgressToken(streamID: "s", epoch: "e", position: FeedPosition(0))
    let gap = try await query(MessagesQuery(cursor: stray))
    #expect(gap.status.code == 410 && gap.members["error"]?["reason"] == "stream_mismatch")
  }

  @Test("a subscription tells every kind of message")
  func subscription() async throws {
    let message = tenancy.alice.signer.message(.messagesSubscribe(MessagesSubscribe()), at: tenancy.tick())
    let opened = try await tenancy.node.subscribe(tenant: tenancy.alice.did, message: message.message.value)
    let source = try #require(opened.frames)
    let follower = Subscriber(reply: opened.reply, source: source)
    #expect(opened.reply.members["entries"] == nil)
    let configure = tenancy.alice.signer.protocolsConfigure(
      try tenancy.definition(#"{"box": {"item": {}}}"#), at: tenancy.tick())
    #expect(try await tenancy.status(configure) == "202")
    #expect(try await follower.event().entry.message == configure.message.value)
    _ = try await tenancy.write(tenancy.alice, "box", data: "2")
    #expect(try await follower.next() == "2")
    let delete = tenancy.alice.signer.recordsDelete(box.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await follower.next() == "deleted")
  }
}
