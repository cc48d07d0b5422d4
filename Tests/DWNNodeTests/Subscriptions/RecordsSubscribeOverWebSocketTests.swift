import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Following records over a connection, as upstream's client does (dwn-server 12).
@Suite(.timeLimit(.minutes(10)))
struct RecordsSubscribeOverWebSocketTests {
  let tenancy: TestTenancy
  let room: RecordsWrite
  private let limit = 32_768

  init() async throws {
    tenancy = try TestTenancy()
    let reply = try await tenancy.install(#"{"room": {"node": {}}}"#)
    #expect(reply.status.code == 202, "\(reply.status)")
    room = try await tenancy.write(tenancy.alice, "room")
  }

  private func call(_ id: String, _ method: String, _ params: JSONValue, subscription: String) -> JSONValue {
    [
      "jsonrpc": "2.0", "id": .string(id), "method": .string(method), "params": params,
      "subscription": ["id": .string(subscription)],
    ]
  }

  private func subscribe(_ name: String, cursor: JSONValue? = nil, by person: Person? = nil) -> JSONValue {
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, contextID: room.contextID)
    let message = (person ?? tenancy.alice).signer.recordsSubscribe(
      filter, cursor: cursor.flatMap { ProgressToken($0) }, at: tenancy.tick())
    return call(
      "open-" + name, "rpc.subscribe.dwn.processMessage",
      ["target": .string(tenancy.alice.did.text), "message": message.message.value], subscription: name)
  }

  private func acknowledge(_ name: String, _ cursor: JSONValue) -> JSONValue {
    [
      "jsonrpc": "2.0", "method": "rpc.ack", "params": ["cursor": cursor],
      "subscription": ["id": .string(name)],
    ]
  }

  private func write(_ data: String) async throws -> RecordsWrite {
    try await tenancy.write(tenancy.alice, "room/node", below: room, data: data)
  }

  @Test("a subscription's whole life: snapshot, events, a new connection from the cursor, end of stored, close")
  func life() async throws {
    let running = try await RunningServer.start(tenancy.node)
    var cursor: JSONValue = .null
    try await RawWebSocket.with(running) { socket in
      try await socket.send(subscribe("s"))
      let reply = try await socket.answer()
      #expect(reply["id"] == "open-s")
      let opened = reply["result"]?["reply"]
      #expect(opened?["status"]?["code"] == 200 && opened?["subscription"]?["id"] == "s")
      #expect(opened?["entries"]?.array?.count == 1)
      let node = try await write("1")
      let event = try await socket.answer()
      #expect(event["id"] == "s")
      let frame = try #require(event["result"]?["subscription"])
      #expect(frame["type"] == "event" && frame["event"]?["message"] == node.message.value)
      #expect(frame["encodedData"] == .string(Base64.encode(Array("1".utf8))))
      #expect(frame["seq"] == frame["cursor"]?["position"])
      cursor = try #require(frame["cursor"])
      try await socket.send(acknowledge("s", cursor))
    }
    _ = try await write("2")
    try await RawWebSocket.with(running) { socket in
      try await socket.send(subscribe("t", cursor: cursor))
      let reply = try await socket.answer()
      #expect(reply["result"]?["reply"]?["status"]?["code"] == 200)
      #expect(reply["result"]?["reply"]?["entries"] == nil)
      let event = try await socket.answer()
      #expect(event["result"]?["subscription"]?["encodedData"] == .string(Base64.encode(Array("2".utf8))))
      let end = try await socket.answer()
      #expect(end["result"]?["subscription"]?["type"] == "eose")
      #expect(end["result"]?["subscription"]?["cursor"] != nil)
      try await socket.send(call("close", "rpc.subscribe.close", [:], subscription: "t"))
      let closed = try await socket.answer()
      #expect(closed["id"] == "close" && closed["result"]?["reply"]?["status"]?["code"] == 200)
    }
    await running.server.shutdown()
  }

  @Test("refusals are replies, and a gap is one of them")
  func refusals() async throws {
    let running = try await RunningServer.start(tenancy.node)
    try await RawWebSocket.with(running) { socket in
      let stray: JSONValue = ["streamId": "s", "epoch": "e", "position": "1"]
      try await socket.send(subscribe("s", cursor: stray))
      let gap = try await socket.answer()
      #expect(gap["result"]?["reply"]?["status"]?["code"] == 410)
      #expect(gap["result"]?["reply"]?["error"]?["reason"] == "stream_mismatch")
      var forged = try #require(subscribe("s").object)
      forged["params"] = ["target": .string(tenancy.bob.did.text), "message": ["descriptor": [:]]]
      try await socket.send(.object(forged))
      let refused = try await socket.answer()
      #expect(refused["result"]?["reply"]?["status"]?["code"] == 401)
      try await socket.send(subscribe("s"))
      let opened = try await socket.answer()
      #expect(opened["result"]?["reply"]?["subscription"]?["id"] == "s")
    }
    await running.server.shutdown()
  }

  @Test("no frame passes 32 KiB: the snapshot is cut, and large data is left out of events")
  func frames() async throws {
    for number in 0..<20 { _ = try await write(String(repeating: "\(number % 10)", count: 4000)) }
    let running = try await RunningServer.start(tenancy.node)
    try await RawWebSocket.with(running) { socket in
      try await socket.send(subscribe("s"))
      let reply = try await socket.receive()
      let opened = try #require(reply)
      #expect(opened.payload.count <= limit)
      let cut = opened.json?["result"]?["reply"]
      let entries = try #require(cut?["entries"]?.array)
      #expect((3..<20).contains(entries.count) && cut?["cursor"] != nil)
      let rest = try await tenancy.send(
        tenancy.alice.signer.recordsQuery(
          RecordsFilter(protocolURI: TestTenancy.protocolURI, contextID: room.contextID),
          pagination: Pagination(cursor: cut?["cursor"].flatMap { Pagination.Cursor($0) }), at: tenancy.tick()))
      #expect(entries.count + rest.entries.count == 21)
      let large = try await write(String(repeating: "x", count: 29_000))
      let frame = try await socket.receive()
      let event = try #require(frame)
      #expect(event.payload.count <= limit)
      #expect(event.json?["result"]?["subscription"]?["event"]?["message"] == large.message.value)
      #expect(event.json?["result"]?["subscription"]?["encodedData"] == nil)
    }
    await running.server.shutdown()
  }

  /// A tenant's own message that no frame holds.
  private func writeLong() async throws {
    let tags: JSONObject = ["text": .string(String(repeating: "x", count: 40_000))]
    _ = try await tenancy.write(tenancy.alice, "room/node", below: room, tags: tags)
  }

  @Test(
    "what no frame can hold is passed over, a whole window of it too: a client that takes 32 KiB hears of what follows")
  func longMessages() async throws {
    let beginning = try await tenancy.beginning
    let running = try await RunningServer.start(tenancy.node)
    var cursor: JSONValue = .null
    /// As the client of Go meshd does, which ends the connection over a longer frame.
    func hear(_ socket: inout RawWebSocket) async throws -> JSONValue? {
      let received = try await socket.receive()
      let frame = try #require(received)
      guard frame.payload.count <= limit else { throw TestTenancy.Unexpected(text: "read limited at \(limit) bytes") }
      return frame.json?["result"]
    }
    try await RawWebSocket.with(running) { socket in
      try await socket.send(subscribe("live"))
      _ = try await hear(&socket)
      _ = try await write("1")
      let first = try await hear(&socket)?["subscription"]
      cursor = try #require(first?["cursor"])
      try await socket.send(acknowledge("live", cursor))
      for _ in 0..<40 { try await writeLong() }
      let last = try await write("2")
      let second = try await hear(&socket)?["subscription"]
      #expect(second?["event"]?["message"] == last.message.value)
    }
    // From either place, a connection that is made anew comes to the end.
    for (cursor, expected) in [(cursor, ["2"]), (beginning.json, ["1", "2"])] {
      try await RawWebSocket.with(running) { socket in
        try await socket.send(subscribe("anew", cursor: cursor))
        _ = try await hear(&socket)
        var heard: [String] = []
        while let frame = try await hear(&socket)?["subscription"], frame["type"] == "event" {
          heard.append(
            String(decoding: frame["encodedData"]?.string.flatMap { Base64.decode($0) } ?? [], as: UTF8.self))
          try await socket.send(acknowledge("anew", try #require(frame["cursor"])))
        }
        #expect(heard.suffix(expected.count) == expected[...])
      }
    }
    await running.server.shutdown()
  }

  @Test("somebody else than the tenant sends no message that a frame cannot hold")
  func longMessagesOfOthers() async throws {
    let uri = "https://example.org/long"
    let open = #"{"box": {"$actions": [{"who": "anyone", "can": ["create", "read"]}]}}"#
    #expect(try await tenancy.install(open, uri: uri).status.code == 202)
    func attempt(_ person: Person, _ length: Int) async throws -> String {
      var draft = RecordDraft(protocolURI: uri, path: "box", data: Array("{}".utf8))
      draft.tags = ["text": .string(String(repeating: "x", count: length))]
      return try await tenancy.attempt(person, draft)
    }
    #expect(try await attempt(tenancy.bob, 26_000) == "202")
    #expect(try await attempt(tenancy.bob, 30_000) == "400 SchemaValidatorFailure")
    #expect(try await attempt(tenancy.alice, 30_000) == "202")
  }

  @Test("who does not acknowledge gets one window of frames, and the rest after it did")
  func window() async throws {
    for number in 0..<40 { _ = try await write("\(number)") }
    let beginning = try await tenancy.beginning
    let running = try await RunningServer.start(tenancy.node)
    try await RawWebSocket.with(running) { socket in
      try await socket.send(subscribe("s", cursor: beginning.json))
      _ = try await socket.answer()
      var positions: [JSONValue?] = []
      for _ in 0..<32 {
        let event = try await socket.answer()
        positions.append(event["result"]?["subscription"]?["cursor"])
      }
      // The answer to a request that was made later comes before the frame that is held back.
      try await socket.send(["jsonrpc": "2.0", "id": "p", "method": "rpc.ping"])
      let pong = try await socket.answer()
      #expect(pong["id"] == "p")
      try await socket.send(acknowledge("s", try #require(positions[31])))
      for number in 31..<40 {
        let event = try await socket.answer()
        #expect(
          event["result"]?["subscription"]?["encodedData"] == .string(Base64.encode(Array("\(number)".utf8))))
      }
      let end = try await socket.answer()
      #expect(end["result"]?["subscription"]?["type"] == "eose")
    }
    await running.server.shutdown()
  }
}
