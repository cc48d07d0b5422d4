import CLinux
import Foundation
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Wire

/// Stands between a daemon and a node, on the daemon's host in the lab: it hands requests on as they are, and changes what comes back as
/// it is told. It asks the node from the node's own host, so that a node that listens on loopback is reached through it and in no
/// other way.
final class LyingProxy: Sendable {
  /// What a reply to a message becomes. `shown` is everything that the node has shown so far.
  typealias Lie = @Sendable (_ request: JSONValue, _ reply: JSONValue, _ shown: [JSONValue]) -> JSONValue

  private struct State {
    var lie: Lie?
    var lies = 0
    var shown: [JSONValue] = []
  }

  private let nodeHost: NetworkNamespace
  private let nodePort: UInt16
  private let state = Mutex(State())

  /// Most entries that are remembered for showing them again.
  private static let memory = 500

  private init(_ nodeHost: NetworkNamespace, _ nodePort: UInt16) {
    self.nodeHost = nodeHost
    self.nodePort = nodePort
  }

  /// Serves on a free port of the daemon's host's 127.0.0.1, which `body` is given, until `body` ends. The node listens on that port of
  /// its own host's 127.0.0.1.
  static func run<Result: Sendable>(
    in namespace: NetworkNamespace, to nodeHost: NetworkNamespace, _ nodePort: UInt16,
    _ body: (LyingProxy, UInt16) async throws -> Result
  ) async throws -> Result {
    let proxy = LyingProxy(nodeHost, nodePort)
    let (socket, ownPort) = try await namespace.inside { try Self.listeningSocket() }
    let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .bind(socket) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          return try NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>(
            wrappingChannelSynchronously: channel)
        }
      }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await withThrowingDiscardingTaskGroup { connections in
          try await server.executeThenClose { inbound in
            for try await connection in inbound {
              connections.addTask { try? await proxy.serve(connection) }
            }
          }
        }
      }
      let result = try await body(proxy, ownPort)
      group.cancelAll()
      return result
    }
  }

  /// From now on answers are changed; `nil`: handed on as they are. Returns after that many answers were other than the node's.
  func tell(_ lie: Lie?, times: Int = 0, within limit: Duration = .seconds(30)) async throws {
    state.withLock { state in
      state.lie = lie
      state.lies = 0
    }
    guard times > 0 else { return }
    let isDone = try await eventually(limit) { self.state.withLock { $0.lies } >= times }
    if !isDone { throw Missing(what: "\(times) questions to lie about", in: "the proxy") }
  }

  // MARK: - One connection

  private func serve(_ connection: NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>) async throws {
    try await connection.executeThenClose { inbound, outbound in
      var head: HTTPRequestHead?
      var body = ByteBuffer()
      for try await part in inbound {
        switch part {
        case .head(let received): head = received
        case .body(let bytes): body.writeImmutableBuffer(bytes)
        case .end:
          guard let request = head else { return }
          let (answer, data) = changed(try await ask(request, body), for: request)
          try await outbound.write(.head(answer))
          try await outbound.write(.body(.byteBuffer(data)))
          try await outbound.write(.end(nil))
          body.clear()
        }
      }
    }
  }

  /// The node's own answer.
  private func ask(_ request: HTTPRequestHead, _ body: ByteBuffer) async throws -> (HTTPResponseHead, ByteBuffer) {
    let socket = try await nodeHost.inside { [nodePort] in try Self.connectedSocket("127.0.0.1", nodePort) }
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .withConnectedSocket(socket) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHTTPClientHandlers()
          return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(
            wrappingChannelSynchronously: channel)
        }
      }
    return try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(.head(request))
      if body.readableBytes > 0 { try await outbound.write(.body(.byteBuffer(body))) }
      try await outbound.write(.end(nil))
      var head = HTTPResponseHead(version: .http1_1, status: .badGateway)
      var data = ByteBuffer()
      for try await part in inbound {
        switch part {
        case .head(let received): head = received
        case .body(let bytes): data.writeImmutableBuffer(bytes)
        case .end: return (head, data)
        }
      }
      return (head, data)
    }
  }

  /// The answer with its reply changed. The reply is in the header `dwn-response` when the body is data, else it is the body.
  private func changed(
    _ answer: (HTTPResponseHead, ByteBuffer), for request: HTTPRequestHead
  ) -> (HTTPResponseHead, ByteBuffer) {
    var (head, data) = answer
    let inHeader = head.headers.first(name: "dwn-response")
    let text = inHeader.map { Array($0.utf8) } ?? Array(data.readableBytesView)
    guard var envelope = (try? JSONValue(parsing: text, depth: 32))?.object, var result = envelope["result"]?.object,
      let reply = result["reply"], let question = request.headers.first(name: "dwn-request"),
      let message = (try? JSONValue(parsing: Array(question.utf8), depth: 32))?["params"]?["message"]
    else { return answer }
    let told = state.withLock { state -> JSONValue in
      let told = state.lie?(message, reply, state.shown) ?? reply
      if told != reply { state.lies += 1 }
      for entry in reply["entries"]?.array ?? [] where state.shown.count < Self.memory && !state.shown.contains(entry) {
        state.shown.append(entry)
      }
      return told
    }
    result["reply"] = told
    envelope["result"] = .object(result)
    let changed = JSONValue.object(envelope)
    if inHeader != nil {
      head.headers.replaceOrAdd(name: "dwn-response", value: changed.asciiText)
    } else {
      data = ByteBuffer(bytes: changed.encoded)
    }
    head.headers.remove(name: "transfer-encoding")
    head.headers.replaceOrAdd(name: "content-length", value: String(data.readableBytes))
    return (head, data)
  }

  // MARK: - Sockets of a host

  private static func listeningSocket() throws -> (CInt, UInt16) {
    let socket = try newSocket()
    var address = try address("127.0.0.1", 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
      }
    }
    guard isBound else { throw failure("bind", closing: socket) }
    return (socket, UInt16(bigEndian: address.sin_port))
  }

  private static func connectedSocket(_ host: String, _ port: UInt16) throws -> CInt {
    let socket = try newSocket()
    var address = try address(host, port)
    let isConnected = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    guard isConnected else { throw failure("connect", closing: socket) }
    return socket
  }

  private static func newSocket() throws -> CInt {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw failure("socket", closing: nil) }
    return descriptor
  }

  private static func address(_ host: String, _ port: UInt16) throws -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { throw Missing(what: "an IPv4 address", in: host) }
    return address
  }

  private static func failure(_ action: String, closing descriptor: CInt?) -> Missing {
    let reason = String(cString: strerror(errno))
    if let descriptor { close(descriptor) }
    return Missing(what: "a socket (\(action): \(reason))", in: "the proxy's host")
  }
}

extension NetworkNamespace {
  /// Runs a body on a thread of its own that has entered the namespace: sockets that it makes belong to this host.
  func inside<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    let path = path
    return try await withCheckedThrowingContinuation { continuation in
      let thread = Thread {
        continuation.resume(
          with: Swift.Result {
            try Self.enter(path)
            return try body()
          })
      }
      thread.start()
    }
  }

  /// Moves the calling thread into a network namespace. The C library's header shows this function to C programs only that ask
  /// for it.
  private static func enter(_ path: String) throws {
    typealias Function = @convention(c) (CInt, CInt) -> CInt
    let newNetwork: CInt = 0x4000_0000
    let file = open(path, O_RDONLY | O_CLOEXEC)
    defer { if file >= 0 { close(file) } }
    guard file >= 0, let symbol = dlsym(nil, "setns"),
      unsafeBitCast(symbol, to: Function.self)(file, newNetwork) == 0
    else { throw Missing(what: "a way into the namespace", in: path) }
  }
}
