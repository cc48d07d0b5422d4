import NIOCore
import NIOPosix
import Synchronization
import Testing

/// A server on the loopback that answers everything with the same bytes, as often as the answer says.
final class GarbageNode: Sendable {
  struct Answer: Sendable, CustomTestStringConvertible {
    let name: String
    let head: [UInt8]
    /// Sent again and again after the head.
    let tail: [UInt8]
    let repeats: Int

    init(_ name: String, _ head: String, tail: String = "", repeats: Int = 0) {
      self.name = name
      self.head = Array(head.utf8)
      self.tail = Array(tail.utf8)
      self.repeats = repeats
    }

    /// A well-formed HTTP answer.
    static func page(_ name: String, status: String = "200 OK", type: String = "application/json", _ body: String)
      -> Answer
    {
      Answer(name, "HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    var testDescription: String { name }
  }

  private let answer: Answer
  private let sent = Atomic<Int>(0)

  /// Bytes that connections have taken so far.
  var sentBytes: Int { sent.load(ordering: .relaxed) }

  private init(_ answer: Answer) { self.answer = answer }

  /// Serves on a free port of 127.0.0.1, which `body` is given, until `body` ends.
  static func run<Result: Sendable>(
    _ answer: Answer, _ body: (GarbageNode, Int) async throws -> Result
  ) async throws -> Result {
    let node = GarbageNode(answer)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { connection in
        connection.eventLoop.makeCompletedFuture {
          try connection.pipeline.syncOperations.addHandler(Responder(node))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    do {
      let result = try await body(node, channel.localAddress?.port ?? 0)
      try await channel.close()
      return result
    } catch {
      try? await channel.close()
      throw error
    }
  }

  /// Answers the first bytes of a connection, then closes it.
  private final class Responder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let node: GarbageNode
    private var answered = false

    init(_ node: GarbageNode) { self.node = node }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard !answered else { return }
      answered = true
      send(node.answer.head, thenTail: node.answer.repeats, context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // One piece after the other, so that a reader that stops reading stops this too.
    private func send(_ bytes: [UInt8], thenTail left: Int, _ context: ChannelHandlerContext) {
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes))).whenComplete { result in
        let (handler, context) = bound.value
        guard case .success = result, left > 0 else {
          context.close(promise: nil)
          return
        }
        handler.node.sent.wrappingAdd(bytes.count, ordering: .relaxed)
        handler.send(handler.node.answer.tail, thenTail: left - 1, context)
      }
    }
  }
}
