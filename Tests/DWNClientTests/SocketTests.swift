import DWN
import Identity
import NIOCore
import NIOEmbedded
import NIOPosix
import NIOWebSocket
import Synchronization
import Testing
import Wire

@testable import DWNClient

@Suite("Subscriptions over one WebSocket", .timeLimit(.minutes(10)))
struct SocketTests {
  static let tenant = DID("did:example:alice")!

  static func token(_ position: UInt64) -> ProgressToken {
    ProgressToken(streamID: "s", epoch: "e", position: FeedPosition(position))
  }

  static func event(_ position: UInt64, padding: Int = 0) -> SubscriptionFrame {
    let message: JSONValue = [
      "at": .integer(Int64(position)), "padding": .string(String(repeating: "x", count: padding)),
    ]
    return .event(
      SubscriptionEvent(
        cursor: token(position), entry: ReplyEntry(message: message), messageCID: CID(of: message), protocolURI: nil))
  }

  private func open(_ endpoint: HTTPEndpoint) async throws -> any SubscriptionSource {
    let (reply, frames) = try await endpoint.subscribe(tenant: Self.tenant, message: ["a": 1])
    #expect(reply.status.code == 200)
    return try #require(frames)
  }

  @Test("subscriptions share one socket, which is closed with the last of them")
  func shared() async throws {
    let node = try await ScriptedSocketNode.start(ScriptedSocketNode.telling([Self.event(1)]))
    let endpoint = HTTPEndpoint(try node.url)
    let sources = try await withThrowingTaskGroup(of: (any SubscriptionSource).self) { group in
      for _ in 0..<12 { group.addTask { try await self.open(endpoint) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(node.peers.count == 1)
    let requests = node.texts("rpc.subscribe.dwn.processMessage")
    #expect(Set(requests.map { $0["subscription"]?["id"] }).count == 12)
    #expect(requests.allSatisfy { $0["params"] == ["target": .string(Self.tenant.text), "message": ["a": 1]] })
    for source in sources { #expect(try await source.next() == Self.event(1)) }
    sources[0].acknowledge(Self.token(1))
    try await node.wait(for: "rpc.ack")
    #expect(node.texts("rpc.ack").first?["params"]?["cursor"] == Self.token(1).json)
    #expect(node.texts("rpc.ack").first?["id"] == nil)
    for source in sources { source.close() }
    try await node.waitForGoodBye()
    #expect(node.texts("rpc.subscribe.close").count == 12)
    #expect(try await sources[1].next() == nil)
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("who subscribes while the last subscription ends finds a connection, the old one or a fresh one")
  func closing() async throws {
    let node = try await ScriptedSocketNode.start()
    let endpoint = HTTPEndpoint(try node.url)
    var last = try await open(endpoint)
    for _ in 0..<300 {
      // The end of the last one, and the beginning of the next, in whichever order.
      async let next = open(endpoint)
      await Task.yield()
      last.close()
      last = try await next
    }
    #expect(node.peers.count > 1)
    last.close()
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("who is cancelled while a node takes the connection and says nothing waits for nothing more")
  func cancelledDial() async throws {
    let accepted = Mutex<[any Channel]>([])
    let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        accepted.withLock { $0.append(channel) }
        return channel.eventLoop.makeSucceededVoidFuture()
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let endpoint = HTTPEndpoint(
      try EndpointURL("http://127.0.0.1:\(silent.localAddress?.port ?? 0)"),
      limits: .init(timeout: .seconds(3600), connectTimeout: .seconds(3600)))
    let hasEnded = Mutex(false)
    let subscribing = Task {
      _ = try? await endpoint.subscribe(tenant: Self.tenant, message: ["a": 1])
      hasEnded.withLock { $0 = true }
    }
    func eventually(_ condition: () -> Bool) async throws -> Bool {
      for _ in 0..<3000 where !condition() { try await Task.sleep(for: .milliseconds(10)) }
      return condition()
    }
    let isDialled = try await eventually { accepted.withLock { !$0.isEmpty } }
    #expect(isDialled)
    subscribing.cancel()
    let isOver = try await eventually { hasEnded.withLock { $0 } }
    #expect(isOver)
    // What is left of the dial ends with its connection.
    for channel in accepted.withLock({ $0 }) { try? await channel.close() }
    await endpoint.shutdown()
    try await silent.close()
  }

  @Test("frames that come before the reply are kept; those of ids that nobody gave are left out")
  func unsolicited() async throws {
    let node = try await ScriptedSocketNode.start { request, peer in
      guard let id = request["subscription"]?["id"]?.string, request["method"] != "rpc.ack" else { return }
      peer.send(ScriptedSocketNode.text(Self.event(1), subscription: "somebody-else"))
      peer.send(ScriptedSocketNode.text(Self.event(2), subscription: id))
      peer.send(["jsonrpc": "2.0", "id": "nobody", "result": ["reply": ["status": ["code": 200, "detail": "OK"]]]])
      peer.send(["jsonrpc": "2.0", "id": 7, "result": [:]])
      peer.send(["jsonrpc": "2.0", "method": "surprise"])
      ScriptedSocketNode.accept(request, peer)
      peer.send(ScriptedSocketNode.text(Self.event(3), subscription: id))
    }
    let endpoint = HTTPEndpoint(try node.url)
    let source = try await open(endpoint)
    #expect(try await source.next() == Self.event(2))
    #expect(try await source.next() == Self.event(3))
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("a broken connection ends every subscription with an error, after what had come; the next one connects anew")
  func broken() async throws {
    let node = try await ScriptedSocketNode.start(ScriptedSocketNode.telling([Self.event(1)]))
    let endpoint = HTTPEndpoint(try node.url)
    let (one, two) = (try await open(endpoint), try await open(endpoint))
    #expect(try await two.next() == Self.event(1))
    node.peers[0].hangUp()
    #expect(try await one.next() == Self.event(1))
    for source in [one, two] {
      await #expect(throws: EndpointError.self) { try await source.next() }
    }
    let third = try await open(endpoint)
    #expect(node.peers.count == 2)
    #expect(try await third.next() == Self.event(1))
    await endpoint.shutdown()
    await #expect(throws: EndpointError.self) { try await third.next() }
    await #expect(throws: EndpointError.self) {
      try await endpoint.subscribe(tenant: Self.tenant, message: ["a": 1])
    }
    try await node.stop()
  }

  @Test("refusals are replies, JSON-RPC errors are errors: permanent ones, a pause that is asked for, and passing ones")
  func refusals() async throws {
    let node = try await ScriptedSocketNode.start { request, peer in
      guard let id = request["id"], let code = request["params"]?["message"]?["code"]?.integer else { return }
      if code > 0 {
        peer.send([
          "jsonrpc": "2.0", "id": id, "result": ["reply": ["status": ["code": .integer(code), "detail": "no"]]],
        ])
      } else {
        peer.send([
          "jsonrpc": "2.0", "id": id,
          "error": ["code": .integer(code), "message": "no", "data": ["retryAfterSec": 3]],
        ])
      }
    }
    let endpoint = HTTPEndpoint(try node.url)
    func result(_ code: Int64) async throws(EndpointError) -> Reply {
      try await endpoint.subscribe(tenant: Self.tenant, message: ["code": .integer(code)]).reply
    }
    #expect(try await result(401).status.code == 401)
    #expect(try await result(410).status.code == 410)
    let name = endpoint.name
    await #expect(throws: EndpointError.refused(name: name, reason: "no (-32602)")) { try await result(-32602) }
    await #expect(throws: EndpointError.rateLimited(name: name, retryAfter: .seconds(3))) { try await result(-50429) }
    await #expect(throws: EndpointError.unreachable(name: name, reason: "no (-32603)")) { try await result(-32603) }
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("a server that does not speak WebSocket tells no events; one that is busy is asked again later")
  func withoutWebSocket() async throws {
    let node = try await ScriptedNode.start([.status(404), .status(503), .status(429)])
    let endpoint = HTTPEndpoint(try node.url)
    let (reply, frames) = try await endpoint.subscribe(tenant: Self.tenant, message: ["a": 1])
    #expect(reply.status.code == 501 && frames == nil)
    await #expect(throws: EndpointError.unreachable(name: endpoint.name, reason: "HTTP status 503")) {
      try await endpoint.subscribe(tenant: Self.tenant, message: ["a": 1])
    }
    await #expect(throws: EndpointError.rateLimited(name: endpoint.name, retryAfter: .seconds(1))) {
      try await endpoint.subscribe(tenant: Self.tenant, message: ["a": 1])
    }
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("whoever is cancelled while it waits is set free at once, and its subscription is given back")
  func cancelled() async throws {
    let node = try await ScriptedSocketNode.start()
    let endpoint = HTTPEndpoint(try node.url)
    let source = try await open(endpoint)
    let waiting = Task { try await source.next() }
    waiting.cancel()
    #expect(try await waiting.value == nil)
    source.close()
    try await node.waitForGoodBye()
    let silent = try await ScriptedSocketNode.start { _, _ in }
    let other = HTTPEndpoint(try silent.url)
    let opening = Task { try await other.subscribe(tenant: Self.tenant, message: ["a": 1]).reply.status.code }
    try await silent.wait(for: "rpc.subscribe.dwn.processMessage")
    opening.cancel()
    await #expect(throws: EndpointError.self) { try await opening.value }
    try await silent.waitForGoodBye()
    for node in [node, silent] { try await node.stop() }
    for endpoint in [endpoint, other] { await endpoint.shutdown() }
  }

  @Test("connections are given up when this host's addresses change, and the next subscription makes a new one")
  func roaming() async throws {
    let node = try await ScriptedSocketNode.start()
    let endpoint = HTTPEndpoint(try node.url)
    let source = try await open(endpoint)
    endpoint.hostAddressesChanged()
    await #expect(throws: EndpointError.self) { try await source.next() }
    _ = try await open(endpoint)
    #expect(node.peers.count == 2)
    await endpoint.shutdown()
    try await node.stop()
  }
}

@Suite("A node that does with a WebSocket what no node does", .timeLimit(.minutes(10)))
struct SocketAbuseTests {
  typealias Frames = SocketTests

  private func open(_ node: ScriptedSocketNode, heartbeat: Duration = .seconds(30)) async throws -> (
    HTTPEndpoint, any SubscriptionSource
  ) {
    let endpoint = HTTPEndpoint(
      try node.url, limits: .init(timeout: .seconds(20), connectTimeout: .seconds(10), heartbeat: heartbeat))
    let (_, frames) = try await endpoint.subscribe(tenant: SocketTests.tenant, message: ["a": 1])
    return (endpoint, try #require(frames))
  }

  @Test("more events than were acknowledged end the connection; those that fitted are there")
  func flood() async throws {
    let node = try await ScriptedSocketNode.start(
      ScriptedSocketNode.telling((1...300).map { Frames.event($0) }))
    let (endpoint, source) = try await open(node)
    try await node.waitForGoodBye()
    var count = 0
    await #expect(
      throws: EndpointError.notADWN(name: endpoint.name, reason: "it sends more events than were acknowledged")
    ) {
      while try await source.next() != nil { count += 1 }
    }
    #expect((1...64).contains(count))
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("frames of all subscriptions together wait in a bounded number of bytes, which is given back as they are taken")
  func heavy() async throws {
    let budget = FrameBudget(bytes: 100)
    let (one, two) = (SubscriptionBuffer(budget: budget), SubscriptionBuffer(budget: budget))
    #expect(one.put(Frames.event(1), size: 60))
    #expect(!two.put(Frames.event(1), size: 60))
    #expect(two.put(Frames.event(1), size: 40))
    #expect(try await one.next() == Frames.event(1))
    #expect(two.put(Frames.event(2), size: 60))
    two.close()
    #expect(one.put(Frames.event(2), size: 100))
  }

  @Test("an event of another implementation's size is taken, whole or in fragments; a larger one ends the connection")
  func sizes() async throws {
    let node = try await ScriptedSocketNode.start { request, peer in
      ScriptedSocketNode.accept(request, peer)
      guard let id = request["subscription"]?["id"]?.string, request["method"] != "rpc.ack" else { return }
      peer.send(ScriptedSocketNode.text(Frames.event(1, padding: 200_000), subscription: id))
      let text = ScriptedSocketNode.text(Frames.event(2, padding: 200_000), subscription: id).encoded
      peer.send(.text, Array(text[..<90_000]), isLast: false)
      peer.send(.continuation, Array(text[90_000..<150_000]), isLast: false)
      peer.send(.continuation, Array(text[150_000...]))
      peer.send(ScriptedSocketNode.text(Frames.event(3, padding: 5 << 20), subscription: id))
    }
    let (endpoint, source) = try await open(node)
    #expect(try await source.next() == Frames.event(1, padding: 200_000))
    #expect(try await source.next() == Frames.event(2, padding: 200_000))
    await #expect(throws: EndpointError.self) { try await source.next() }
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("a connection from which nothing comes is given up at the second heartbeat")
  func stalled() async throws {
    let node = try await ScriptedSocketNode.start(answersPings: false)
    let name = try node.url.text
    await #expect(throws: EndpointError.timedOut(name: name)) {
      let (endpoint, source) = try await open(node, heartbeat: .milliseconds(200))
      _ = try await source.next()
      await endpoint.shutdown()
    }
    try await node.stop()
  }

  @Test(
    "a connection that answers pings stays, however long nothing happens; one that does not is given up at the next")
  func heartbeats() throws {
    let channel = EmbeddedChannel()
    let connection = SocketConnection(channel, name: "node", replyTimeout: .seconds(10), random: SystemRandom())
    try channel.pipeline.syncOperations.addHandler(SocketHandler(connection, name: "node", heartbeat: .seconds(30)))
    try channel.connect(to: NIOCore.SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    func beat() throws -> WebSocketFrame? {
      channel.embeddedEventLoop.advanceTime(by: .seconds(30))
      return try channel.readOutbound(as: WebSocketFrame.self)
    }
    for _ in 0..<100 {
      #expect(try beat()?.opcode == .ping)
      try channel.writeInbound(WebSocketFrame(fin: true, opcode: .pong, data: ByteBuffer()))
    }
    #expect(try beat()?.opcode == .ping && channel.isActive)
    #expect(try beat() == nil && !channel.isActive)
  }

  @Test(
    "what is no JSON-RPC, no text, or no event ends what it concerns",
    arguments: [
      (#"nonsense"#, 1), (#"{"jsonrpc":"1.0"}"#, 1), (#"nonsense"#, 2),
      (#"{"jsonrpc":"2.0","id":"ID","result":{"subscription":{"type":"event"}}}"#, 1),
      (#"{"jsonrpc":"2.0","id":"ID","result":{"subscription":{"type":"new-kind","cursor":{}}}}"#, 1),
    ] as [(String, UInt8)])
  func nonsense(text: String, opcode: UInt8) async throws {
    let node = try await ScriptedSocketNode.start { request, peer in
      ScriptedSocketNode.accept(request, peer)
      guard let id = request["subscription"]?["id"]?.string, request["method"] != "rpc.ack" else { return }
      peer.send(opcode == 1 ? .text : .binary, Array(text.replacing("ID", with: id).utf8))
    }
    let (endpoint, source) = try await open(node)
    await #expect(throws: EndpointError.self) { try await source.next() }
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("a subscription that the node ends says why, and then ends in order")
  func ended() async throws {
    let failed = SubscriptionFrame.failed(Frames.token(4), code: "ProgressGap", detail: "gone")
    let node = try await ScriptedSocketNode.start(
      ScriptedSocketNode.telling([Frames.event(3), failed, Frames.event(5)]))
    let (endpoint, source) = try await open(node)
    #expect(try await source.next() == Frames.event(3))
    #expect(try await source.next() == failed)
    #expect(try await source.next() == nil)
    await endpoint.shutdown()
    try await node.stop()
  }
}
