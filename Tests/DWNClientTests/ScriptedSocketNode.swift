import DWN
import DWNClient
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Synchronization
import Wire

/// A WebSocket server on loopback that answers texts, and lies, as a test says.
final class ScriptedSocketNode: Sendable {
  /// What a client sends meets this. It is called on the connection's event loop.
  typealias Behaviour = @Sendable (JSONValue, Peer) -> Void

  /// The client's end of one connection, as the server sees it.
  struct Peer: Sendable {
    let channel: any Channel

    func send(_ json: JSONValue) { send(text: json.encoded) }

    func send(text: [UInt8]) { send(.text, text) }

    func send(_ opcode: WebSocketOpcode, _ bytes: [UInt8], isLast: Bool = true) {
      channel.writeAndFlush(WebSocketFrame(fin: isLast, opcode: opcode, data: ByteBuffer(bytes: bytes)), promise: nil)
    }

    func hangUp() { channel.close(promise: nil) }
  }

  private struct State {
    var texts: [JSONValue] = []
    var peers: [Peer] = []
    var pings = 0
  }

  private let state = Mutex(State())
  private let listener = Mutex<(any Channel)?>(nil)
  private let behaviour: Behaviour
  private let answersPings: Bool

  private init(_ behaviour: @escaping Behaviour, answersPings: Bool) {
    self.behaviour = behaviour
    self.answersPings = answersPings
  }

  static func start(
    answersPings: Bool = true, tls: NIOSSLContext? = nil, _ behaviour: @escaping Behaviour = ScriptedSocketNode.honest
  ) async throws -> ScriptedSocketNode {
    let node = ScriptedSocketNode(behaviour, answersPings: answersPings)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        let upgrader = NIOWebSocketServerUpgrader(
          maxFrameSize: 1 << 20,
          shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
          upgradePipelineHandler: { channel, _ in
            channel.eventLoop.makeCompletedFuture {
              node.state.withLock { $0.peers.append(Peer(channel: channel)) }
              try channel.pipeline.syncOperations.addHandler(Handler(node))
            }
          })
        return channel.eventLoop.makeCompletedFuture {
          if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
          try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    node.listener.withLock { $0 = channel }
    return node
  }

  var port: Int { listener.withLock { $0?.localAddress?.port } ?? 0 }

  var url: EndpointURL { get throws { try EndpointURL("http://127.0.0.1:\(port)") } }

  /// Everything that clients sent.
  var texts: [JSONValue] { state.withLock { $0.texts } }
  var peers: [Peer] { state.withLock { $0.peers } }
  var pings: Int { state.withLock { $0.pings } }

  func texts(_ method: String) -> [JSONValue] { texts.filter { $0["method"]?.string == method } }

  func wait(for method: String, count: Int = 1) async throws {
    while texts(method).count < count { try await Task.sleep(for: .milliseconds(5)) }
  }

  /// Waits until every connection has been closed by the other side.
  func waitForGoodBye() async throws {
    for peer in peers { try? await peer.channel.closeFuture.get() }
  }

  func stop() async throws { try await listener.withLock { $0 }?.close() }

  // MARK: - Behaviours

  /// Accepts every subscription.
  static let honest: Behaviour = { request, peer in accept(request, peer) }

  static func accept(_ request: JSONValue, _ peer: Peer) {
    guard let id = request["id"], let subscription = request["subscription"]?["id"],
      request["method"] == "rpc.subscribe.dwn.processMessage"
    else { return }
    peer.send([
      "jsonrpc": "2.0", "id": id,
      "result": ["reply": ["status": ["code": 200, "detail": "OK"], "subscription": ["id": subscription]]],
    ])
  }

  /// Accepts, and then sends these frames.
  static func telling(_ frames: [SubscriptionFrame]) -> Behaviour {
    { request, peer in
      accept(request, peer)
      guard let id = request["subscription"]?["id"]?.string, request["method"] == "rpc.subscribe.dwn.processMessage"
      else { return }
      for frame in frames { peer.send(text(frame, subscription: id)) }
    }
  }

  static func text(_ frame: SubscriptionFrame, subscription: String) -> JSONValue {
    ["jsonrpc": "2.0", "id": .string(subscription), "result": ["subscription": frame.json]]
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let node: ScriptedSocketNode

    init(_ node: ScriptedSocketNode) {
      self.node = node
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let frame = unwrapInboundIn(data)
      let bytes = Array(frame.unmaskedData.readableBytesView)
      switch frame.opcode {
      case .text:
        guard let json = try? JSONValue(parsing: bytes) else { return }
        node.state.withLock { $0.texts.append(json) }
        node.behaviour(json, Peer(channel: context.channel))
      case .ping:
        node.state.withLock { $0.pings += 1 }
        if node.answersPings { Peer(channel: context.channel).send(.pong, bytes) }
      case .connectionClose: context.close(promise: nil)
      default: break
      }
    }
  }
}
