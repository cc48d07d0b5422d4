import DWN
import Identity
import NIOCore
import NIOPosix
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a server holds for clients that ask and do not read.
@Suite(.timeLimit(.minutes(10)))
struct UnreadAnswersTests {
  /// More than the buffers of two sockets hold of which one is small, where the system's `tcp_wmem` is as usual.
  private static let size = 6 << 20
  private static let receiveBuffer = 16 << 10
  private static let large = Reply(
    .init(200, "OK"), members: ["entries": [.string(String(repeating: "x", count: size))]])
  private static let call =
    #"{"jsonrpc":"2.0","id":"1","method":"dwn.processMessage","params":{"target":"did:a:b","message":{}}}"#

  private func start(
    _ change: (inout ServerConfiguration) -> Void = { _ in }
  ) async throws -> RunningServer {
    try await RunningServer.start(ScriptedEndpoint(reply: Self.large)) {
      $0.trustedProxies = [IPPrefix("127.0.0.0/8")!]
      $0.replyBudget = 4 * Self.size
      change(&$0)
    }
  }

  private func post(from address: String) -> String {
    "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: \(address)\r\ndwn-request: \(Self.call)\r\n\r\n"
  }

  /// Asks over HTTP and reads nothing until it is told to; its answer then.
  private func unread(
    _ running: RunningServer, from address: String, while body: () async throws -> Void
  ) async throws -> Int {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.autoRead, value: false)
      .channelOption(.socketOption(.so_rcvbuf), value: Self.receiveBuffer)
      .connect(host: running.address.ip.description, port: Int(running.address.port)) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    var received = 0
    try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(ByteBuffer(string: post(from: address)))
      try await body()
      try await channel.channel.setOption(.autoRead, value: true).get()
      for try await part in inbound { received += part.readableBytes }
    }
    return received
  }

  private static func unread(_ registry: PrometheusRegistry) -> Int {
    registry.text.split(separator: "\n").first { $0.hasPrefix("meshd_dwn_unread_bytes ") }
      .flatMap { Int($0.split(separator: " ")[1]) } ?? -1
  }

  /// Ends with the time limit.
  private func until(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(10)) }
  }

  @Test("a network that leaves an answer unread gets no second large one until it has; others get theirs")
  func overHTTP() async throws {
    let registry = PrometheusRegistry()
    let running = try await start { $0.metrics = registry }
    let received = try await unread(running, from: "192.0.2.1") {
      try await until { Self.unread(registry) > Self.size }
      let second = try await running.exchange(post(from: "192.0.2.1"))
      #expect(second.hasPrefix("HTTP/1.1 503 ") && second.contains("retry-after: 1"), "\(second.prefix(300))")
      #expect(try await running.exchange(post(from: "198.51.100.1")).utf8.count > Self.size)
      let small = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: 192.0.2.1\r\n\r\n"
      #expect(try await running.exchange(small).hasPrefix("HTTP/1.1 200 "), "what is small has room")
    }
    #expect(received > Self.size)
    try await until { Self.unread(registry) == 0 }
    #expect(try await running.exchange(post(from: "192.0.2.1")).utf8.count > Self.size)
    await running.server.shutdown()
  }

  @Test("a server that is shut down waits until what is being answered was read")
  func shutdown() async throws {
    let registry = PrometheusRegistry()
    let running = try await start {
      $0.metrics = registry
      $0.shutdownGrace = .seconds(500)
    }
    var shutdown: Task<Void, Never>?
    let received = try await unread(running, from: "192.0.2.1") {
      try await until { Self.unread(registry) > Self.size }
      shutdown = Task { await running.server.shutdown() }
      // It has begun once nobody is let in any more.
      while (try? await running.exchange("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")) != nil {
        try await Task.sleep(for: .milliseconds(10))
      }
    }
    #expect(received > Self.size)
    await shutdown?.value
  }

  @Test("the same over WebSocket, where the refusal is an answer")
  func overWebSocket() async throws {
    let registry = PrometheusRegistry()
    let running = try await start { $0.metrics = registry }
    let call = try JSONValue(parsing: Self.call)
    try await RawWebSocket.with(running, from: "192.0.2.1", receiveBuffer: Self.receiveBuffer) { silent in
      try await silent.send(call)
      try await until { Self.unread(registry) > Self.size }
      try await RawWebSocket.with(running, from: "192.0.2.1") { second in
        try await second.send(call)
        let refusal = try await second.answer()
        #expect(refusal["error"]?["code"] == -50429, "\(refusal["error"] ?? .null)")
        #expect(refusal["id"] == "1")
      }
      try await RawWebSocket.with(running, from: "198.51.100.1") { other in
        try await other.send(call)
        let answer = try await other.answer()
        #expect(answer["result"] != nil)
      }
      let answer = try await silent.answer()
      #expect(answer["result"] != nil)
    }
    await running.server.shutdown()
  }

  @Test("who reads nothing is dropped, however often it says that it is there")
  func writeDeadline() async throws {
    let registry = PrometheusRegistry()
    let running = try await start {
      $0.metrics = registry
      $0.bodyTimeout = .milliseconds(500)
      $0.slowestRate = 1 << 30
      // Long enough for what it says to come in time on a busy machine.
      $0.webSocket.heartbeat = .seconds(3)
    }
    try await RawWebSocket.with(running, receiveBuffer: Self.receiveBuffer) { socket in
      try await socket.send(try JSONValue(parsing: Self.call))
      var isDropped = false
      for _ in 0..<3000 where !isDropped {
        do { try await socket.send(opcode: 10, []) } catch { isDropped = true }
        try await Task.sleep(for: .milliseconds(20))
        isDropped = isDropped || registry.text.contains("meshd_dwn_websockets 0\n")
      }
      #expect(isDropped)
    }
    try await until { Self.unread(registry) == 0 }
    #expect(registry.text.contains(#"meshd_dwn_refused_total{reason="slow"} 1"#))
    await running.server.shutdown()
  }
}
