import DWN
import Identity
import NIOCore
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Requests and subscriptions over a connection that stays open (dwn-server 12).
@Suite(.timeLimit(.minutes(10)))
struct WebSocketTests {
  private func call(_ id: String, _ method: String, subscription: String? = nil, cursor: JSONValue? = nil) -> JSONValue
  {
    var params: JSONObject = [
      "target": "did:example:alice",
      "message": ["descriptor": ["interface": "Records", "method": "Subscribe", "filter": [:]]],
    ]
    if let cursor { params = ["cursor": cursor] }
    var object: JSONObject = [
      "jsonrpc": "2.0", "id": .string(id), "method": .string(method), "params": .object(params),
    ]
    object["subscription"] = subscription.map { ["id": .string($0)] }
    return .object(object)
  }

  private let subscribe = "rpc.subscribe.dwn.processMessage"

  private func token(_ position: UInt64) -> ProgressToken {
    ProgressToken(streamID: "s", epoch: "e", position: FeedPosition(position))
  }

  private func event(_ position: UInt64, data: Int) -> SubscriptionFrame {
    let message: JSONValue = ["descriptor": ["number": .integer(Int64(position))]]
    let entry = ReplyEntry(message: message, data: [UInt8](repeating: 7, count: data))
    return .event(
      SubscriptionEvent(cursor: token(position), entry: entry, messageCID: CID(of: message), protocolURI: "p"))
  }

  /// Waits for a state that another task brings about.
  private func eventually(_ condition: () -> Bool) async throws -> Bool {
    for _ in 0..<1000 {
      if condition() { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return condition()
  }

  @Test("messages are answered over the socket as over HTTP, except writes")
  func messages() async throws {
    let tenancy = try TestTenancy()
    let running = try await RunningServer.start(tenancy.node)
    let query = tenancy.alice.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick()).message.value
    try await RawWebSocket.with(running) { socket in
      try await socket.send(
        [
          "jsonrpc": "2.0", "id": "q", "method": "dwn.processMessage",
          "params": ["target": .string(tenancy.alice.did.text), "message": query],
        ])
      let answer = try await socket.answer()
      #expect(answer["id"] == "q")
      #expect(answer["result"]?["reply"]?["status"]?["code"] == 200)
      let write = tenancy.alice.signer.recordsWrite(tenancy.draft("box"), at: tenancy.tick()).message.value
      try await socket.send(
        [
          "jsonrpc": "2.0", "id": 5, "method": "dwn.processMessage",
          "params": ["target": .string(tenancy.alice.did.text), "message": write],
        ])
      let refusal = try await socket.answer()
      #expect(refusal["id"] == 5)
      #expect(refusal["error"]?["code"] == -32602)
    }
    await running.server.shutdown()
  }

  @Test("a subscription: reply, events, acknowledgements, and its end")
  func subscription() async throws {
    let endpoint = ScriptedEndpoint(frames: [event(1, data: 3), .endOfStored(token(2))])
    let running = try await RunningServer.start(endpoint)
    try await RawWebSocket.with(running) { socket in
      try await socket.send(call("1", subscribe, subscription: "sub"))
      let reply = try await socket.answer()
      #expect(reply["id"] == "1")
      #expect(reply["result"]?["reply"]?["subscription"]?["id"] == "sub")
      let first = try await socket.answer()
      #expect(first["id"] == "sub")
      #expect(first["result"]?["subscription"] == event(1, data: 3).json)
      let second = try await socket.answer()
      #expect(second["result"]?["subscription"]?["type"] == "eose")
      try await socket.send(call("a", "rpc.ack", subscription: "sub", cursor: token(2).json))
      try await socket.send(call("2", subscribe, subscription: "sub"))
      let inUse = try await socket.answer()
      #expect(inUse["error"]?["code"] == -32602)
      try await socket.send(call("3", "rpc.subscribe.close", subscription: "sub"))
      let closed = try await socket.answer()
      #expect(closed["result"]?["reply"]?["status"]?["code"] == 200)
      try await socket.send(call("4", "rpc.subscribe.close", subscription: "sub"))
      let unknown = try await socket.answer()
      #expect(unknown["error"]?["code"] == -32602)
    }
    let source = endpoint.sources.withLock { $0[0] }
    #expect(source.acknowledged == [token(2)])
    #expect(source.isClosed)
    await running.server.shutdown()
  }

  @Test("a subscription that the node cannot go on with ends the connection, so that its client begins anew")
  func failure() async throws {
    let endpoint = ScriptedEndpoint(
      frames: [event(1, data: 3)], failure: .refused(name: "x", reason: "the disk is gone"))
    let running = try await RunningServer.start(endpoint)
    try await RawWebSocket.with(running) { socket in
      try await socket.send(call("1", subscribe, subscription: "sub"))
      _ = try await socket.answer()
      let first = try await socket.answer()
      #expect(first["result"]?["subscription"] == event(1, data: 3).json)
      let code = try await socket.closeCode()
      #expect(code == 1011)
    }
    await running.server.shutdown()
  }

  @Test("a subscription as an ordinary request is none", arguments: ["Records", "Messages"])
  func withoutContext(interface: String) async throws {
    let running = try await RunningServer.start(ScriptedEndpoint())
    try await RawWebSocket.with(running) { socket in
      try await socket.send(
        [
          "jsonrpc": "2.0", "id": "s", "method": "dwn.processMessage",
          "params": [
            "target": "did:example:alice",
            "message": ["descriptor": ["interface": .string(interface), "method": "Subscribe"]],
          ],
        ])
      let answer = try await socket.answer()
      #expect(answer["error"]?["code"] == -32600)
    }
    await running.server.shutdown()
  }

  @Test("a connection that closes ends its subscriptions")
  func connectionEnds() async throws {
    let endpoint = ScriptedEndpoint()
    let running = try await RunningServer.start(endpoint)
    try await RawWebSocket.with(running) { socket in
      for name in ["a", "b"] {
        try await socket.send(call(name, subscribe, subscription: name))
        _ = try await socket.answer()
      }
    }
    let areClosed = try await eventually { endpoint.sources.withLock { $0.count == 2 && $0.allSatisfy(\.isClosed) } }
    #expect(areClosed)
    await running.server.shutdown()
  }

  @Test("a refused subscription takes no name")
  func refused() async throws {
    let running = try await RunningServer.start(ScriptedEndpoint(reply: Reply(.init(401, "no"))))
    try await RawWebSocket.with(running) { socket in
      for id in ["1", "2"] {
        try await socket.send(call(id, subscribe, subscription: "sub"))
        let answer = try await socket.answer()
        #expect(answer["result"]?["reply"]?["status"]?["code"] == 401)
      }
    }
    await running.server.shutdown()
  }

  @Test("no frame passes 32 KiB: events leave their data out")
  func largeEvents() async throws {
    let running = try await RunningServer.start(ScriptedEndpoint(frames: [event(1, data: 30_000), event(2, data: 9)]))
    try await RawWebSocket.with(running) { socket in
      try await socket.send(call("1", subscribe, subscription: "sub"))
      _ = try await socket.answer()
      let large = try await socket.answer()
      #expect(large["result"]?["subscription"]?["encodedData"] == nil)
      #expect(large["result"]?["subscription"]?["event"]?["message"]?["descriptor"]?["number"] == 1)
      let small = try await socket.answer()
      #expect(small["result"]?["subscription"]?["encodedData"] != nil)
    }
    await running.server.shutdown()
  }

  @Test("an event that is too long without its data leaves out the initial write, too")
  func longEvents() throws {
    guard case .event(var event) = event(1, data: 10) else { return }
    event.entry.initialWrite = ["descriptor": ["x": .string(String(repeating: "x", count: 2000))]]
    let text = try #require(FrameText.event(.event(event), subscription: "s", limit: 1000))
    #expect(text.count <= 1000)
    let frame = try JSONValue(parsing: text)["result"]?["subscription"]
    #expect(frame?["event"]?["message"] == event.entry.message && frame?["event"]?["initialWrite"] == nil)
    #expect(frame?["encodedData"] == nil)
    #expect(FrameText.event(.event(event), subscription: "s", limit: 100) == nil, "its message alone is longer")
    let whole = try #require(FrameText.event(.event(event), subscription: "s", limit: 1 << 20))
    #expect(try JSONValue(parsing: whole)["result"]?["subscription"] == SubscriptionFrame.event(event).json)
  }

  @Test("a snapshot that is too long ends earlier, with a cursor after its last entry")
  func largeSnapshots() throws {
    let entries = (0..<100).map { number -> JSONValue in
      ["descriptor": ["dateCreated": .string("d\(number)"), "x": .string(String(repeating: "x", count: 1000))]]
    }
    let reply = Reply(.init(200, "OK"), members: ["entries": .array(entries)])
    let call = try RPCCall(call("1", subscribe, subscription: "s"))
    let text = FrameText.subscribed(reply, call: call, subscription: "s", sort: .createdAscending, limit: 32_768)
    #expect(text.count <= 32_768)
    let cut = try JSONValue(parsing: text)["result"]?["reply"]
    let kept = try #require(cut?["entries"]?.array)
    #expect(kept.count > 20 && kept == Array(entries.prefix(kept.count)))
    #expect(cut?["cursor"]?["messageCid"] == .string(CID(of: kept[kept.count - 1]).text))
    #expect(cut?["cursor"]?["value"] == .string("d\(kept.count - 1)"))
    let whole = FrameText.subscribed(reply, call: call, subscription: "s", sort: .createdAscending, limit: 1 << 20)
    #expect(try JSONValue(parsing: whole)["result"]?["reply"]?["entries"]?.array?.count == 100)
  }

  @Test("an entry of a snapshot that is too long is told without its data, and never ends the snapshot")
  func largeEntry() throws {
    func entry(_ number: Int, data: Int = 0, text: Int = 0) -> JSONValue {
      [
        "descriptor": ["dateCreated": .string("d\(number)"), "x": .string(String(repeating: "x", count: text))],
        "encodedData": .string(String(repeating: "d", count: data)),
      ]
    }
    let entries = [entry(0, data: 40_000), entry(1, text: 40_000), entry(2), entry(3, data: 30_000)]
    let cursor: JSONValue = ["messageCid": "m", "value": "after"]
    let reply = Reply(.init(200, "OK"), members: ["entries": .array(entries), "cursor": cursor])
    let call = try RPCCall(call("1", subscribe, subscription: "s"))
    func told(_ reply: Reply) throws -> JSONValue? {
      let text = FrameText.subscribed(reply, call: call, subscription: "s", sort: .createdAscending, limit: 32_768)
      #expect(text.count <= 32_768)
      return try JSONValue(parsing: text)["result"]?["reply"]
    }
    let whole = try told(reply)
    let kept = try #require(whole?["entries"]?.array)
    #expect(kept.map { $0["descriptor"]?["dateCreated"] } == ["d0", "d2", "d3"])
    #expect(kept[0]["encodedData"] == nil && kept[2]["encodedData"] != nil)
    #expect(whole?["cursor"] == cursor)
    var twice = reply
    twice.members["entries"] = .array(entries + [entry(4, data: 30_000)])
    #expect(try told(twice)?["cursor"]?["value"] == "d3")
  }

  @Test("subscriptions beyond the bound of a connection are refused with the time to wait")
  func tooMany() async throws {
    let running = try await RunningServer.start(ScriptedEndpoint()) { $0.webSocket.subscriptionsPerConnection = 3 }
    try await RawWebSocket.with(running) { socket in
      for number in 0..<5 {
        try await socket.send(call("\(number)", subscribe, subscription: "\(number)"))
        let answer = try await socket.answer()
        #expect((answer["error"]?["code"] == -50429) == (number >= 3), "\(answer)")
        if number >= 3 { #expect(answer["error"]?["data"]?["retryAfterSec"] == 1) }
      }
    }
    await running.server.shutdown()
  }

  @Test(
    "what is no request is answered with its error, and the connection goes on",
    arguments: [
      ("{", -32700), ("[]", -32600), (#"{"jsonrpc":"2.0","id":1,"method":"else"}"#, -32601),
      (#"{"jsonrpc":"2.0","id":1,"method":"dwn.processMessage","params":{}}"#, -32602),
      (#"{"jsonrpc":"2.0","id":1,"method":"rpc.subscribe.dwn.processMessage","params":{}}"#, -32600),
      (#"{"a":1,"a":2}"#, -32700), (String(repeating: "[", count: 9000), -32700),
    ])
  func malformed(text: String, code: Int) async throws {
    let running = try await RunningServer.start(ScriptedEndpoint())
    try await RawWebSocket.with(running) { socket in
      try await socket.send(text)
      let answer = try await socket.answer()
      #expect(answer["error"]?["code"] == .integer(Int64(code)), "\(answer)")
      try await socket.send(#"{"jsonrpc":"2.0","id":"p","method":"rpc.ping"}"#)
      let pong = try await socket.answer()
      #expect(pong["result"] == ["ok": true])
    }
    await running.server.shutdown()
  }

  enum Abuse: String, CaseIterable {
    case unmasked, binary, notUTF8, continuesNothing, twoBeginnings, fragmentsWithoutEnd, hugeFrame, largeMessage
    case reservedBits, unknownOpcode, largePing, pingFlood, pongFlood, textFlood, longTextFlood
    case acknowledgementFlood, longAcknowledgement

    var code: Int {
      switch self {
      case .unmasked, .continuesNothing, .twoBeginnings, .reservedBits, .unknownOpcode, .largePing: 1002
      case .binary: 1003
      case .notUTF8: 1007
      case .fragmentsWithoutEnd, .pingFlood, .pongFlood, .textFlood, .longTextFlood: 1008
      case .acknowledgementFlood, .longAcknowledgement: 1008
      case .hugeFrame, .largeMessage: 1009
      }
    }
  }

  @Test("abuse ends the connection with the code for it", arguments: Abuse.allCases)
  func abuse(_ abuse: Abuse) async throws {
    let running = try await RunningServer.start(ScriptedEndpoint()) {
      // A client that still sends gets to read why.
      $0.lingerTimeout = .seconds(10)
      $0.webSocket.frameRate = RateLimit(perSecond: 1, burst: 200)
    }
    try await RawWebSocket.with(running) { socket in
      switch abuse {
      case .unmasked: try await socket.send(opcode: 1, [0x7b, 0x7d], isMasked: false)
      case .binary: try await socket.send(opcode: 2, [1])
      case .notUTF8: try await socket.send(opcode: 1, [0xff])
      case .continuesNothing: try await socket.send(opcode: 0, [1])
      case .twoBeginnings:
        try await socket.send(opcode: 1, [0x7b], isLast: false)
        try await socket.send(opcode: 1, [0x7b])
      case .fragmentsWithoutEnd:
        try await socket.send(opcode: 1, [], isLast: false)
        for _ in 0..<70 { try await socket.send(opcode: 0, [], isLast: false) }
      case .hugeFrame: try await socket.send(bytes: [0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
      case .largeMessage:
        let part = [UInt8](repeating: 0x20, count: RPCCall.largestText / 2 + 1)
        try await socket.send(opcode: 1, part, isLast: false)
        try await socket.send(opcode: 0, part)
      case .reservedBits: try await socket.send(bytes: [0xc1, 0x80, 0, 0, 0, 0])
      case .unknownOpcode: try await socket.send(opcode: 3, [])
      case .largePing: try await socket.send(opcode: 9, [UInt8](repeating: 0, count: 126))
      case .pingFlood: for _ in 0..<400 { try await socket.send(opcode: 9, []) }
      case .pongFlood: for _ in 0..<300 { try await socket.send(opcode: 10, []) }
      case .textFlood: for _ in 0..<300 { try await socket.send("no JSON") }
      case .longTextFlood:
        for _ in 0..<40 { try await socket.send(String(repeating: " ", count: RPCCall.largestText)) }
      case .acknowledgementFlood:
        for _ in 0..<400 { try await socket.send(call("a", "rpc.ack", subscription: "s", cursor: token(1).json)) }
      case .longAcknowledgement:
        try await socket.send(
          call("a", "rpc.ack", subscription: String(repeating: "s", count: 2_000), cursor: token(1).json))
      }
      let code = try await socket.closeCode()
      #expect(code == abuse.code)
    }
    await running.server.shutdown()
  }

  @Test("a ping is answered with its content, and a close with a close")
  func control() async throws {
    let running = try await RunningServer.start(ScriptedEndpoint())
    try await RawWebSocket.with(running) { socket in
      try await socket.send(opcode: 9, [1, 2, 3])
      let pong = try await socket.receive()
      #expect(pong == RawWebSocket.Frame(opcode: 10, payload: [1, 2, 3]))
      try await socket.send(opcode: 8, [0x03, 0xe8])
      let code = try await socket.closeCode()
      #expect(code == 1000)
    }
    await running.server.shutdown()
  }

  @Test("who does not answer pings is dropped")
  func heartbeat() async throws {
    let running = try await RunningServer.start(ScriptedEndpoint()) { $0.webSocket.heartbeat = .milliseconds(50) }
    try await RawWebSocket.with(running) { socket in
      let ping = try await socket.receive()
      #expect(ping?.opcode == 9)
      var isClosed = false
      while !isClosed { isClosed = try await socket.receive() == nil }
    }
    await running.server.shutdown()
  }

  @Test("a server that ends says so")
  func serverEnds() async throws {
    let running = try await RunningServer.start(ScriptedEndpoint())
    try await RawWebSocket.with(running) { socket in
      try await socket.send(#"{"jsonrpc":"2.0","id":"p","method":"rpc.ping"}"#)
      _ = try await socket.answer()
      async let ended: Void = running.server.shutdown()
      let code = try await socket.closeCode()
      #expect(code == 1001)
      await ended
    }
  }

  @Test("an upgrade elsewhere, without a key or of another version is an ordinary request")
  func noUpgrade() async throws {
    let running = try await RunningServer.start(ScriptedEndpoint())
    let upgrade = "host: x\r\nconnection: Upgrade, close\r\nupgrade: websocket\r\n"
    let elsewhere = "GET /else HTTP/1.1\r\n\(upgrade)sec-websocket-version: 13\r\nsec-websocket-key: AQIDBA==\r\n\r\n"
    #expect(try await running.exchange(elsewhere).hasPrefix("HTTP/1.1 404 "))
    #expect(
      try await running.exchange("GET / HTTP/1.1\r\n\(upgrade)\r\n").hasPrefix("HTTP/1.1 200 "))
    await running.server.shutdown()
  }
}
