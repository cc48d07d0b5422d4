import DWNClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Wire

/// A server on loopback that does with each request what the next line of its script says.
final class ScriptedNode: Sendable {
  enum Step: Sendable {
    /// A DWN reply with this status.
    case reply(Int)
    case status(Int)
    case body(Int, String)
    /// A provider's code, for the state that the request names.
    case code(String)
    case limited(retryAfter: String)
    case hangUp
    case silence
  }

  struct Request: Sendable {
    /// Method and path.
    var line: String
    var message: String
    var body: [UInt8]
  }

  private struct State {
    var script: [Step]
    var requests: [Request] = []
    var connections = 0
  }

  private let state: Mutex<State>
  private let listener = Mutex<(any Channel)?>(nil)

  private init(_ script: [Step]) {
    state = Mutex(State(script: script))
  }

  static func start(_ script: [Step]) async throws -> ScriptedNode {
    let node = ScriptedNode(script)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        node.state.withLock { $0.connections += 1 }
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(Handler(node))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    node.listener.withLock { $0 = channel }
    return node
  }

  var url: EndpointURL {
    get throws { try EndpointURL("http://127.0.0.1:\(listener.withLock { $0?.localAddress?.port } ?? 0)") }
  }

  var requests: [Request] { state.withLock { $0.requests } }
  var connections: Int { state.withLock { $0.connections } }

  func script(_ steps: [Step]) { state.withLock { $0.script = steps } }

  func waitForRequests(_ count: Int) async throws {
    while requests.count < count { try await Task.sleep(for: .milliseconds(5)) }
  }

  func stop() async throws { try await listener.withLock { $0 }?.close() }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let node: ScriptedNode
    private var request = Request(line: "", message: "", body: [])

    init(_ node: ScriptedNode) {
      self.node = node
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        request = Request(
          line: "\(head.method) \(head.uri)", message: head.headers.first(name: "dwn-request") ?? "", body: [])
      case .body(let bytes): request.body += Array(bytes.readableBytesView)
      case .end:
        // A call has an id of its own, and its repetitions have the same one.
        let id = (try? JSONValue(parsing: Array(request.message.utf8)))?["id"] ?? .null
        let step = node.state.withLock { state -> Step in
          state.requests.append(request)
          return state.script.isEmpty ? .status(500) : state.script.removeFirst()
        }
        perform(step, id, context)
      }
    }

    private func perform(_ step: Step, _ id: JSONValue, _ context: ChannelHandlerContext) {
      switch step {
      case .reply(let code):
        let reply: JSONValue = ["status": ["code": .integer(Int64(code)), "detail": "so it is"]]
        let envelope: JSONValue = ["jsonrpc": "2.0", "id": id, "result": ["reply": reply]]
        answer(200, String(decoding: envelope.encoded, as: UTF8.self), [:], context)
      case .status(let code): answer(code, "", [:], context)
      case .body(let code, let text): answer(code, text, [:], context)
      case .code(let code):
        let state = request.line.components(separatedBy: "state=").last ?? ""
        let json: JSONValue = ["code": .string(code), "state": .string(state), "redirectUri": "urn:back"]
        answer(200, String(decoding: json.encoded, as: UTF8.self), [:], context)
      case .limited(let after): answer(429, "{\"error\":\"Rate limit exceeded\"}", ["retry-after": after], context)
      case .hangUp: context.close(promise: nil)
      case .silence: break
      }
    }

    private func answer(_ status: Int, _ text: String, _ more: [String: String], _ context: ChannelHandlerContext) {
      var headers: HTTPHeaders = ["content-length": "\(text.utf8.count)"]
      for (name, value) in more { headers.add(name: name, value: value) }
      let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
  }
}
