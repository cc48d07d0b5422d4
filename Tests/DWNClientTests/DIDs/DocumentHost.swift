import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import Wire

/// A server on loopback that has documents, each in its own way.
final class DocumentHost: Sendable {
  enum Answer: Sendable {
    case document([UInt8], type: String? = "application/json", headers: [String: String] = [:])
    case redirect(String, status: Int = 302)
    case status(Int)
    /// A body that never ends, without a length.
    case endless
    /// The head of an answer and a byte of it, and no more.
    case stalled
    case silence
    case bytes(String)
    case hangUp
  }

  private struct State {
    var answers: [String: Answer] = [:]
    var paths: [String] = []
    var hosts: [String] = []
    var connections = 0
  }

  private let state = Mutex(State())
  private let listener = Mutex<(any Channel)?>(nil)

  static func start(_ address: String = "127.0.0.1", port: Int = 0, tls: NIOSSLContext? = nil) async throws
    -> DocumentHost
  {
    let host = DocumentHost()
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        host.state.withLock { $0.connections += 1 }
        return channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
          try pipeline.configureHTTPServerPipeline()
          try pipeline.addHandler(Handler(host))
        }
      }
      .bind(host: address, port: port).get()
    host.listener.withLock { $0 = channel }
    return host
  }

  func stop() async throws { try await listener.withLock { $0 }?.close() }

  var port: Int { listener.withLock { $0?.localAddress?.port } ?? 0 }
  var paths: [String] { state.withLock { $0.paths } }
  /// What the `host` headers said.
  var hosts: [String] { state.withLock { $0.hosts } }
  var connections: Int { state.withLock { $0.connections } }

  subscript(path: String) -> Answer? {
    get { state.withLock { $0.answers[path] } }
    set { state.withLock { $0.answers[path] = newValue } }
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let host: DocumentHost
    private var path = ""

    init(_ host: DocumentHost) {
      self.host = host
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        path = head.uri
        host.state.withLock {
          $0.paths.append(head.uri)
          $0.hosts.append(head.headers.first(name: "host") ?? "")
        }
      case .body: break
      case .end: perform(host[path] ?? .status(404), context)
      }
    }

    private func perform(_ answer: Answer, _ context: ChannelHandlerContext) {
      switch answer {
      case .document(let body, let type, let more):
        var headers: HTTPHeaders = ["content-length": "\(body.count)"]
        if let type { headers.add(name: "content-type", value: type) }
        for (name, value) in more { headers.replaceOrAdd(name: name, value: value) }
        send(200, headers, body, context)
      case .redirect(let location, let status):
        send(status, ["location": location, "content-length": "0"], [], context)
      case .status(let status): send(status, ["content-length": "0"], [], context)
      case .endless:
        head(200, ["content-type": "application/json"], context)
        pour(context)
      case .stalled:
        head(200, ["content-type": "application/json", "content-length": "100"], context)
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "{")))), promise: nil)
      case .silence: break
      case .bytes(let text):
        // Below HTTP, past the encoder.
        try? context.pipeline.syncOperations.context(handlerType: HTTPResponseEncoder.self)
          .writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
        context.close(promise: nil)
      case .hangUp: context.close(promise: nil)
      }
    }

    private func pour(_ context: ChannelHandlerContext) {
      guard context.channel.isActive else { return }
      let part = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(repeating: 0x20, count: 16 << 10)))
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(part)).whenSuccess { bound.value.0.pour(bound.value.1) }
    }

    private func head(_ status: Int, _ headers: HTTPHeaders, _ context: ChannelHandlerContext) {
      let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)
      context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
    }

    private func send(_ status: Int, _ headers: HTTPHeaders, _ body: [UInt8], _ context: ChannelHandlerContext) {
      head(status, headers, context)
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
  }
}
