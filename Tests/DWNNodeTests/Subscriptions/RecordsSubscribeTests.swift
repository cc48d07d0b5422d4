import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Following the records of a filter in the same process (dwn-server 9.2 to 9.4).
@Suite(.timeLimit(.minutes(10)))
struct RecordsSubscribeTests {
  let tenancy: TestTenancy
  private let uri = TestTenancy.protocolURI

  init() async throws {
    tenancy = try TestTenancy()
    let reply = try await tenancy.install(
      """
      {"box": {"$actions": [{"who": "anyone", "can": ["create"]}],
        "member": {"$role": true},
        "note": {"$actions": [{"role": "box/member", "can": ["create", "read"]}]}}}
      """)
    #expect(reply.status.code == 202, "\(reply.status)")
  }

  @Test("the reply shows what is there, and events what comes after: writes, later writes, and deletes")
  func live() async throws {
    let box = try await tenancy.write(tenancy.alice, "box", data: "1")
    let other = try await tenancy.write(tenancy.alice, "box", data: "2")
    let follower = try await tenancy.subscribe(
      tenancy.alice, RecordsFilter(protocolURI: uri, contextID: box.contextID))
    #expect(follower.reply.entries.map(\.data) == [Array("1".utf8)])

    _ = try await tenancy.write(tenancy.alice, "box/note", below: other, data: "elsewhere")
    let note = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "3")
    let first = try await follower.event()
    #expect(first.entry.data == Array("3".utf8))
    #expect(first.entry.message == note.message.value)
    #expect(first.entry.initialWrite == nil)
    #expect(first.messageCID == note.cid && first.cursor.messageCID == note.cid)
    #expect(first.protocolURI == uri && first.isLatestBaseState)
    #expect(first.cursor.streamID == FeedTokens(tenant: tenancy.alice.did, epoch: "").streamID)

    #expect(try await tenancy.attempt(tenancy.alice, updating: note, data: "4") == "202")
    let second = try await follower.event()
    #expect(second.entry.data == Array("4".utf8))
    #expect(second.entry.initialWrite == note.message.value)
    #expect(second.cursor.position > first.cursor.position)

    let delete = tenancy.alice.signer.recordsDelete(note.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    let third = try await follower.event()
    #expect(third.entry.message == delete.message.value)
    #expect(third.entry.initialWrite == note.message.value)
    #expect(third.entry.data == nil && third.protocolURI == uri)
  }

  @Test("by recipient and tags at one path, and the delete of what was there has both")
  func deliveries() async throws {
    let box = try await tenancy.write(tenancy.alice, "box")
    let tags: JSONObject = ["protocol": "p", "keyId": "k"]
    var filter = RecordsFilter(
      protocolURI: uri, path: "box/note", contextID: box.contextID, recipient: [tenancy.bob.did],
      tags: ["protocol": .equals("p")])
    let follower = try await tenancy.subscribe(tenancy.bob, filter)
    func write(to person: Person, _ tags: JSONObject?, _ data: String) async throws -> RecordsWrite {
      try await tenancy.write(tenancy.alice, "box/note", below: box, to: person, tags: tags, data: data)
    }
    _ = try await write(to: tenancy.carol, tags, "hers")
    _ = try await write(to: tenancy.bob, nil, "without tags")
    _ = try await write(to: tenancy.bob, ["protocol": "q"], "another protocol")
    let note = try await write(to: tenancy.bob, tags, "his")
    #expect(try await follower.next() == "his")
    let before = try await tenancy.beginning
    let delete = tenancy.alice.signer.recordsDelete(note.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await follower.next() == "deleted")
    let later = try await tenancy.subscribe(tenancy.bob, filter, cursor: before)
    #expect(try await later.next(2) == ["deleted", "eose"])
    filter.published = true
    let published = try await tenancy.subscribe(tenancy.bob, filter, cursor: before)
    #expect(try await published.next() == "eose")
  }

  @Test("with a cursor: what came after it and still exists, the end of what is stored, and what is new")
  func resume() async throws {
    let box = try await tenancy.write(tenancy.alice, "box", data: "0")
    let follower = try await tenancy.subscribe(tenancy.alice)
    _ = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "1")
    let cursor = try await follower.event().cursor
    let two = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "2")
    _ = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "3")
    #expect(try await tenancy.attempt(tenancy.alice, updating: two, data: "2b") == "202")
    let resumed = try await tenancy.subscribe(tenancy.alice, cursor: cursor)
    #expect(resumed.reply.members["entries"] == nil)
    #expect(try await resumed.next(3) == ["3", "2b", "eose"])
    _ = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "4")
    #expect(try await resumed.next() == "4")
    let all = try await tenancy.subscribe(tenancy.alice, cursor: try await tenancy.beginning)
    #expect(try await all.next(6) == ["0", "1", "3", "2b", "4", "eose"])
  }

  @Test("of what is not acknowledged there is one window, and an acknowledgement releases all before it")
  func window() async throws {
    let follower = try await tenancy.subscribe(tenancy.alice)
    for number in 0..<80 { _ = try await tenancy.write(tenancy.alice, "box", data: "\(number)") }
    var told: [String] = []
    var last: SubscriptionEvent?
    for _ in 0..<32 {
      let event = try await follower.event()
      told.append(String(decoding: event.entry.data ?? [], as: UTF8.self))
      last = event
    }
    async let next = follower.event()
    var stray = try #require(last).cursor
    stray.position = FeedPosition(9_999)
    follower.source.acknowledge(stray)
    stray = try #require(last).cursor
    stray.epoch = "another"
    follower.source.acknowledge(stray)
    follower.source.acknowledge(try #require(last).cursor)
    told.append(String(decoding: try await next.entry.data ?? [], as: UTF8.self))
    for _ in 0..<31 { told.append(try await follower.next()) }
    let event = Task { try await follower.event() }
    follower.source.close()
    await #expect(throws: TestTenancy.Unexpected.self) { _ = try await event.value }
    #expect(told == (0..<64).map { "\($0)" })
  }

  @Test("a subscription that is closed ends, and so does one whose reader is cancelled, or whose node closes")
  func ends() async throws {
    let closed = try await tenancy.subscribe(tenancy.alice)
    closed.source.close()
    #expect(try await closed.next() == "end")
    let cancelled = try await tenancy.subscribe(tenancy.alice)
    let reader = Task { try await cancelled.next() }
    reader.cancel()
    #expect(try await reader.value == "end")
    let last = try await tenancy.subscribe(tenancy.alice)
    let waiting = Task { try await last.next() }
    await tenancy.node.close()
    #expect(try await waiting.value == "end")
    await #expect(throws: EndpointError.self) { _ = try await tenancy.subscribe(tenancy.alice) }
  }

  @Test("strangers are told what a query would show them: what is published, and what they wrote or received")
  func visibility() async throws {
    let follower = try await tenancy.subscribe(tenancy.bob)
    let hidden = try await tenancy.write(tenancy.alice, "box", data: "hidden")
    _ = try await tenancy.write(tenancy.alice, "box", published: true, data: "published")
    _ = try await tenancy.write(tenancy.alice, "box", to: tenancy.bob, data: "received")
    let own = try await tenancy.write(tenancy.bob, "box", data: "written")
    #expect(try await follower.next(3) == ["published", "received", "written"])
    for record in [hidden, own] {
      let delete = tenancy.alice.signer.recordsDelete(record.recordID, prune: false, at: tenancy.tick())
      #expect(try await tenancy.status(delete) == "202")
    }
    let ended = try await follower.event()
    #expect(ended.entry.message["descriptor"]?["recordId"] == .string(own.recordID.text))
  }

  @Test("nobody need sign to follow what is published")
  func unsigned() async throws {
    let message: JSONValue = [
      "descriptor": [
        "interface": "Records", "method": "Subscribe", "messageTimestamp": .string(tenancy.tick().timestamp),
        "filter": ["protocol": .string(uri)],
      ]
    ]
    let (reply, source) = try await tenancy.node.subscribe(tenant: tenancy.alice.did, message: message)
    let follower = Subscriber(reply: reply, source: try #require(source))
    _ = try await tenancy.write(tenancy.alice, "box", data: "hidden")
    _ = try await tenancy.write(tenancy.alice, "box", published: true, data: "published")
    #expect(try await follower.next() == "published")
  }

  @Test("a role is asked for when the subscription begins and at every event: when it ends, so does the subscription")
  func role() async throws {
    let box = try await tenancy.write(tenancy.alice, "box")
    let filter = RecordsFilter(protocolURI: uri, path: "box/note", contextID: box.contextID)
    let refused = try await tenancy.attemptSubscribe(tenancy.bob, filter, role: "box/member")
    #expect(refused.reply.status.code == 401 && refused.frames == nil)
    let member = try await tenancy.write(tenancy.alice, "box/member", below: box, to: tenancy.bob)
    let follower = try await tenancy.subscribe(tenancy.bob, filter, role: "box/member")
    _ = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "1")
    let cursor = try await follower.event().cursor
    let delete = tenancy.alice.signer.recordsDelete(member.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    _ = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "2")
    #expect(
      try await follower.next(2) == ["error RecordsSubscribeDeliveryAuthorizationFailed", "end"])
    let again = try await tenancy.attemptSubscribe(tenancy.bob, filter, cursor: cursor, role: "box/member")
    #expect(again.reply.status.code == 401 && again.frames == nil)
  }

  @Test("a cursor that leads nowhere is a gap, with what is there, and one that is no number is malformed")
  func gaps() async throws {
    _ = try await tenancy.write(tenancy.alice, "box", data: "1")
    let follower = try await tenancy.subscribe(tenancy.alice)
    _ = try await tenancy.write(tenancy.alice, "box", data: "2")
    let cursor = try await follower.event().cursor
    let filter = RecordsFilter(protocolURI: uri)
    func gap(_ change: (inout ProgressToken) -> Void) async throws -> JSONValue? {
      var token = cursor
      change(&token)
      let (reply, source) = try await tenancy.attemptSubscribe(tenancy.alice, filter, cursor: token)
      #expect(source == nil || reply.status.isSuccess)
      source?.close()
      guard reply.status.code == 410 else { return .integer(Int64(reply.status.code)) }
      let error = reply.members["error"]
      #expect(error?["code"] == "ProgressGap" && error?["requested"] == token.json)
      #expect(error?["latestAvailable"] == cursor.json)
      #expect(error?["oldestAvailable"]?["position"] == "1")
      return error?["reason"]
    }
    #expect(try await gap { $0.streamID = "0000000000000000" } == "stream_mismatch")
    #expect(try await gap { $0.epoch = "another" } == "epoch_mismatch")
    #expect(try await gap { $0.position = FeedPosition(99) } == "token_too_new")
    #expect(try await gap { $0.position = FeedPosition("99999999999999999999999")! } == "token_too_new")
    #expect(try await gap { $0.position = FeedPosition(2) } == "message_mismatch")
    #expect(
      try await gap {
        $0.position = FeedPosition(2)
        $0.messageCID = nil
      } == 200)
    #expect(try await gap { _ in } == 200)
    var descriptor = tenancy.alice.signer.recordsSubscribe(filter, cursor: cursor, at: tenancy.tick()).message.json
    descriptor["descriptor"] = .object(
      [
        "interface": "Records", "method": "Subscribe", "messageTimestamp": .string(tenancy.tick().timestamp),
        "filter": filter.json, "cursor": ["streamId": "s", "epoch": "e", "position": "x"],
      ])
    let malformed = try await tenancy.node.subscribe(tenant: tenancy.alice.did, message: .object(descriptor))
    #expect(malformed.reply.status.code == 400)
  }

  @Test("what a later write, a squash or a prune removed is not told to who comes back")
  func vanished() async throws {
    let box = try await tenancy.write(tenancy.alice, "box", data: "0")
    let beginning = try await tenancy.beginning
    _ = try await tenancy.write(tenancy.alice, "box/note", below: box, data: "1")
    let prune = tenancy.alice.signer.recordsDelete(box.recordID, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(prune) == "202")
    let follower = try await tenancy.subscribe(tenancy.alice, cursor: beginning)
    #expect(try await follower.next(2) == ["deleted", "eose"])
  }

  @Test("another tenant's records, and another tenant's place in the feed, are nobody's business")
  func tenants() async throws {
    let folder = tenancy.folder.appendingPathComponent("second")
    let node = try DWNNode(
      databasePath: folder.appendingPathComponent("node.sqlite").path, tenants: [tenancy.alice.did, tenancy.bob.did])
    let definition = try tenancy.definition(#"{"box": {}}"#)
    for owner in [tenancy.alice, tenancy.bob] {
      let configure = owner.signer.protocolsConfigure(definition, at: tenancy.tick())
      _ = try await node.process(tenant: owner.did, message: configure.message.value, data: nil)
    }
    let message = tenancy.alice.signer.recordsSubscribe(
      RecordsFilter(protocolURI: uri), at: tenancy.tick()
    ).message.value
    let opened = try await node.subscribe(tenant: tenancy.alice.did, message: message)
    let follower = Subscriber(reply: opened.reply, source: try #require(opened.frames))
    for owner in [tenancy.bob, tenancy.alice] {
      let draft = tenancy.draft("box", data: owner.did == tenancy.alice.did ? "alice's" : "bob's")
      let write = owner.signer.recordsWrite(draft, at: tenancy.tick())
      let reply = try await node.process(tenant: owner.did, message: write.message.value, data: draft.data)
      #expect(reply.status.code == 202)
    }
    let event = try await follower.event()
    #expect(event.entry.data == Array("alice's".utf8))
    let elsewhere = tenancy.bob.signer.recordsSubscribe(
      RecordsFilter(protocolURI: uri), cursor: event.cursor, at: tenancy.tick()
    ).message.value
    let gap = try await node.subscribe(tenant: tenancy.bob.did, message: elsewhere)
    #expect(gap.reply.members["error"]?["reason"] == "stream_mismatch")
    let stranger = try await node.subscribe(tenant: tenancy.carol.did, message: message)
    #expect(stranger.reply.status.code == 401 && stranger.frames == nil)
    await node.close()
  }
}
