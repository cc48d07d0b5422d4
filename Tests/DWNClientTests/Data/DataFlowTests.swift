import DWN
import DWNClient
import Identity
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing
import Wire

/// Against nodes that are slow, and nodes that lie.
@Suite("How data flows between a client and a node", .timeLimit(.minutes(10)))
struct DataFlowTests {
  private static let tenant = HTTPExchangeTests.tenant
  private static let piece = 64 << 10

  /// Answers with data as fast as it is taken, or takes nothing of what comes.
  private final class SlowNode: Sendable {
    /// Bytes that left for the client.
    let sent = Atomic(0)
    private let listener = Mutex<(any Channel)?>(nil)

    /// `reply` is what stands in `dwn-response` but for the id; `nil`: nothing of a request is read.
    static func start(_ reply: JSONValue?, length: Int, pieces: Int) async throws -> SlowNode {
      let node = SlowNode()
      let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelOption(.autoRead, value: reply != nil)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.configureHTTPServerPipeline()
            try channel.pipeline.syncOperations.addHandler(Pouring(node, reply, length, pieces))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      node.listener.withLock { $0 = channel }
      return node
    }

    var url: EndpointURL {
      get throws { try EndpointURL("http://127.0.0.1:\(listener.withLock { $0?.localAddress?.port } ?? 0)") }
    }

    func stop() async throws { try await listener.withLock { $0 }?.close() }
  }

  private final class Pouring: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let node: SlowNode
    private let reply: JSONValue?
    private let length: Int
    private let pieces: Int
    private var id: JSONValue = .null
    private var number = 0

    init(_ node: SlowNode, _ reply: JSONValue?, _ length: Int, _ pieces: Int) {
      self.node = node
      self.reply = reply
      self.length = length
      self.pieces = pieces
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        let text = head.headers.first(name: "dwn-request") ?? ""
        id = (try? JSONValue(parsing: Array(text.utf8)))?["id"] ?? .null
      case .body: break
      case .end:
        let envelope: JSONValue = ["jsonrpc": "2.0", "id": id, "result": ["reply": reply ?? .null]]
        let head = HTTPResponseHead(
          version: .http1_1, status: .ok,
          headers: ["content-length": "\(length)", "dwn-response": String(decoding: envelope.encoded, as: UTF8.self)])
        context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
        pour(context)
      }
    }

    private func pour(_ context: ChannelHandlerContext) {
      guard number < pieces, context.channel.isActive else {
        if number * DataFlowTests.piece >= length { context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil) }
        return
      }
      number += 1
      let part = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(repeating: 7, count: DataFlowTests.piece)))
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(part)).whenSuccess {
        bound.value.0.node.sent.wrappingAdd(DataFlowTests.piece, ordering: .relaxed)
        bound.value.0.pour(bound.value.1)
      }
    }
  }

  private static func reply(_ cid: CID, size: Int) -> JSONValue {
    [
      "status": ["code": 200, "detail": "OK"],
      "entry": ["recordsWrite": ["descriptor": ["dataCid": .string(cid.text), "dataSize": .integer(Int64(size))]]],
    ]
  }

  /// What `count` says once it has moved and come to rest: ten times in a row it is the same, though every event loop had turns between.
  private static func rest(_ count: () -> Int) async throws -> Int {
    var (before, times) = (0, 0)
    while times < 10 {
      let now = count()
      times = now == before && now > 0 ? times + 1 : 0
      before = now
      try await Task.sleep(for: .milliseconds(50))
      for _ in 0..<3 {
        for loop in MultiThreadedEventLoopGroup.singleton.makeIterator() { try await loop.submit {}.get() }
      }
    }
    return before
  }

  @Test("what is not taken is not asked for: a node that has a gigabyte to give has given a few megabytes")
  func takenSlowly() async throws {
    let size = 1 << 30
    let node = try await SlowNode.start(Self.reply(DataCID.of([]), size: size), length: size, pieces: 16 << 10)
    let endpoint = HTTPEndpoint(try node.url)
    let sent = try await endpoint.read([:], tenant: Self.tenant, largest: size) { _, data in
      var iterator = try #require(data).makeAsyncIterator()
      #expect(try await iterator.next()?.first == 7)
      return try await Self.rest { node.sent.load(ordering: .relaxed) }
    }
    #expect(sent < 64 << 20, "\(sent) bytes left")
    await endpoint.shutdown()
    try await node.stop()
  }

  private struct Zeros: AsyncSequence, Sendable {
    let taken: Counting

    final class Counting: Sendable { let bytes = Atomic(0) }

    struct AsyncIterator: AsyncIteratorProtocol {
      let taken: Counting

      mutating func next() async throws -> [UInt8]? {
        taken.bytes.wrappingAdd(DataFlowTests.piece, ordering: .relaxed)
        return [UInt8](repeating: 0, count: DataFlowTests.piece)
      }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(taken: taken) }
  }

  @Test("what a node does not take is not read from its source, and the wait for it ends")
  func givenSlowly() async throws {
    let node = try await SlowNode.start(nil, length: 0, pieces: 0)
    let identity = MachineIdentity.generate(random: SeededRandom(7))
    var draft = RecordDraft(protocolURI: "https://example.org/x", path: "blob", data: [])
    draft.describedData = DataDescription(cid: DataCID.of([]), size: 1 << 30)
    let write = MessageSigner(identity).recordsWrite(draft, at: .now())
    let endpoint = HTTPEndpoint(try node.url)
    let zeros = Zeros(taken: .init())
    let sending = Task {
      try await endpoint.write(write, tenant: Self.tenant, data: OutgoingData(zeros, size: 1 << 30))
    }
    let taken = try await Self.rest { zeros.taken.bytes.load(ordering: .relaxed) }
    #expect(taken < 64 << 20, "\(taken) bytes were taken")
    sending.cancel()
    await #expect(throws: DataTransferError.self) { try await sending.value }
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test(
    "data that is shorter, longer or other than its record says is a mismatch, after which nothing more comes",
    arguments: [(3 * piece, 3), (2 * piece + 1, 3), (4 * piece, 3)])
  func lies(size: Int, pieces: Int) async throws {
    let bytes = pieces * Self.piece
    let node = try await SlowNode.start(
      Self.reply(DataCID.of([UInt8](repeating: 8, count: size)), size: size), length: bytes, pieces: pieces)
    let endpoint = HTTPEndpoint(try node.url)
    let failure = await #expect(throws: DataTransferError.self) {
      try await endpoint.read([:], tenant: Self.tenant, largest: 1 << 30) { _, data in
        for try await _ in try #require(data) {}
      }
    }
    guard case .mismatch = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("a node that begins an answer and does not end it is given up, as one that does not begin")
  func stalled() async throws {
    let node = try await SlowNode.start(Self.reply(DataCID.of([]), size: 1 << 20), length: 1 << 20, pieces: 2)
    let endpoint = HTTPEndpoint(try node.url, limits: .init(timeout: .milliseconds(500)))
    await #expect(throws: EndpointError.timedOut(name: endpoint.name)) {
      try await endpoint.process(tenant: Self.tenant, message: [:], data: nil)
    }
    await endpoint.shutdown()
    try await node.stop()
  }
}
