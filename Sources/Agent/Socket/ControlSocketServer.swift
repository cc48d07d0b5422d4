import Foundation
import Glibc
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Wire

/// Serves the daemon's control API: HTTP/1.1 over a Unix socket that only its owner can open, one request a connection.
///
/// Who connects is asked of the kernel (`SO_PEERCRED`): root, and the user whom the daemon runs as or was started by with sudo.
final class ControlSocketServer: Sendable {
  typealias Handler = @Sendable (ControlRequest) async -> ControlResponse

  static let bodyLimit = 1 << 20

  private let path: String
  private let channel: any Channel

  /// The caller holds the directory's lock, so a socket that lies there belongs to nobody.
  init(path: String, logger: Logger, handler: @escaping Handler) async throws(AgentError) {
    let folder = (path as NSString).deletingLastPathComponent
    _ = try StateDirectory(opening: folder)
    unlink(path)
    let allowed = ControlSocketServer.allowedUsers()
    do {
      // The folder lets nobody else in while the mode is still that of the umask.
      self.channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
            try channel.pipeline.syncOperations.addHandler(
              ControlConnection(allowed: allowed, logger: logger, handler: handler))
          }
        }
        .bind(unixDomainSocketPath: path).get()
    } catch {
      throw .unusableStateDirectory(path: path, reason: "\(error)")
    }
    chmod(path, 0o600)
    self.path = path
  }

  func shutdown() async {
    unlink(path)
    try? await channel.close()
  }

  private static func allowedUsers() -> Set<UInt32> {
    var users: Set<UInt32> = [0, geteuid()]
    if geteuid() == 0, let text = ProcessInfo.processInfo.environment["SUDO_UID"], let user = UInt32(text) {
      users.insert(user)
    }
    return users
  }
}

/// One connection: collects a bounded request, asks the handler, answers, closes.
private final class ControlConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  /// The kernel's `struct ucred`.
  private struct Credentials {
    var pid: Int32 = 0
    var uid: UInt32 = .max
    var gid: UInt32 = .max
  }

  private let allowed: Set<UInt32>
  private let logger: Logger
  private let handler: ControlSocketServer.Handler
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  private var isRefused = false

  init(allowed: Set<UInt32>, logger: Logger, handler: @escaping ControlSocketServer.Handler) {
    self.allowed = allowed
    self.logger = logger
    self.handler = handler
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isRefused else { return }
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body(let part):
      guard body.count + part.readableBytes <= ControlSocketServer.bodyLimit else {
        isRefused = true
        write(.error(413, "the request is too large"), to: context.channel)
        return
      }
      body.append(contentsOf: part.readableBytesView)
    case .end: answer(context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func answer(_ context: ChannelHandlerContext) {
    guard let head else { return }
    var headers: [String: String] = [:]
    for (name, value) in head.headers { headers[name.lowercased()] = value }
    let path = String(head.uri.prefix { $0 != "?" })
    let request = ControlRequest(method: head.method.rawValue, path: path, headers: headers, body: body)
    isRefused = true
    let channel = context.channel
    let (allowed, handler, logger) = (allowed, handler, logger)
    let write = self.write
    guard let options = channel as? any SocketOptionProvider else { return write(.error(403, "not a socket"), channel) }
    let peer: EventLoopFuture<Credentials> = options.unsafeGetSocketOption(
      level: .init(rawValue: SOL_SOCKET), name: .init(rawValue: SO_PEERCRED))
    peer.whenComplete { result in
      guard case .success(let credentials) = result, allowed.contains(credentials.uid) else {
        logger.warning("refused a control connection of another user")
        return write(.error(403, "only the owner of this daemon may control it"), channel)
      }
      Task {
        let response = await handler(request)
        write(response, channel)
      }
    }
  }

  private let write: @Sendable (ControlResponse, any Channel) -> Void = { response, channel in
    let bytes = response.body.encoded
    var headers = HTTPHeaders()
    headers.add(name: "content-type", value: "application/json")
    headers.add(name: "content-length", value: String(bytes.count))
    headers.add(name: "connection", value: "close")
    let head = HTTPResponseHead(
      version: .http1_1, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
    channel.write(HTTPServerResponsePart.head(head), promise: nil)
    channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes))), promise: nil)
    channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { _ in channel.close(promise: nil) }
  }

  private func write(_ response: ControlResponse, to channel: any Channel) { write(response, channel) }
}
