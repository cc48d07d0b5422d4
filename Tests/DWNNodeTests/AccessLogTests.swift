import DWN
import Foundation
import Identity
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a node says of each request: who, what kind, and what became of it; never what it says.
@Suite(.timeLimit(.minutes(10)))
struct AccessLogTests {
  private let tenancy: TestTenancy
  private let lines = LoggedLines()

  init() async throws {
    tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"box": {}}"#).status.code == 202)
  }

  private var routes: NodeRoutes {
    NodeRoutes(
      service: MessageService(
        endpoint: tenancy.node, rates: RateLimits(RateConfiguration()),
        metrics: ServerMetrics(factory: PrometheusRegistry()),
        log: lines.log, accessLevel: .info),
      configuration: ServerConfiguration(listen: []))
  }

  private func request(_ method: HTTPMethod, _ uri: String, _ call: JSONValue? = nil) -> NodeRequest {
    NodeRequest(
      method: method, uri: uri, messages: call.map { [$0.text] } ?? [], framedJSON: nil, data: nil,
      caller: Caller(IPAddress("192.0.2.7")))
  }

  /// The one line that a request leaves, without what differs each time.
  private func line(of request: NodeRequest) async -> String {
    _ = await routes.answer(request)
    let lines = lines.take()
    guard lines.count == 1, let line = lines.first else { return "\(lines.count) lines" }
    return LoggedLines.text(line)
  }

  @Test(
    "a message has a line, and so has a request without one, which names its route and nothing that a stranger chose")
  func everyRequest() async throws {
    let query = tenancy.alice.signer.recordsQuery(
      RecordsFilter(protocolURI: TestTenancy.protocolURI), at: tenancy.tick())
    func call(_ method: String, _ message: JSONValue) -> JSONValue {
      [
        "jsonrpc": "2.0", "id": "1", "method": .string(method),
        "params": ["target": .string(tenancy.alice.did.text), "message": message],
      ]
    }
    let message = query.message.value
    let subscribe = tenancy.alice.signer.recordsSubscribe(
      RecordsFilter(protocolURI: TestTenancy.protocolURI), cursor: nil, at: tenancy.tick())
    let expected: [(NodeRequest, String)] = [
      (request(.POST, "/", call("dwn.processMessage", message)), "message 192.0.2.7 RecordsQuery 200"),
      (
        request(.POST, "/", call("dwn.processMessage", subscribe.message.value)),
        "message 192.0.2.7 RecordsSubscribe 400"
      ),
      (request(.POST, "/", call("something.else", message)), "request 192.0.2.7 POST / 500"),
      (request(.POST, "/"), "request 192.0.2.7 POST / 400"),
      (request(.GET, "/health?x=secret"), "request 192.0.2.7 GET /health 200"),
      (request(.GET, "/info"), "request 192.0.2.7 GET /info 200"),
      (request(.GET, "/registration/proof-of-work"), "request 192.0.2.7 GET /registration/proof-of-work 404"),
      (request(.GET, "/chosen\u{1b}[2J by a stranger"), "request 192.0.2.7 GET other 404"),
      (request(.RAW(value: "CHOSEN"), "/x"), "request 192.0.2.7 other other 404"),
    ]
    for (request, line) in expected {
      let found = await self.line(of: request)
      #expect(found == line)
    }
  }

  private func serve(_ change: (inout ServerConfiguration) -> Void = { _ in }) async throws -> RunningServer {
    try await RunningServer.start(tenancy.node, log: lines.log) {
      $0.logsAccess = true
      $0.trustedProxies = [IPPrefix("127.0.0.0/8")!]
      change(&$0)
    }
  }

  /// The lines once there are some.
  private func told() async throws -> [String] {
    for _ in 0..<6000 {
      let found = lines.take()
      if !found.isEmpty { return found.map(LoggedLines.text) }
      try await Task.sleep(for: .milliseconds(10))
    }
    return []
  }

  @Test(
    "a request that is not heard to its end has a line with the reason",
    arguments: [
      ("POST / HTTP/1.1\r\n{}content-length: 11\r\n\r\n", "192.0.2.7 POST / 413 body_too_large"),
      ("POST /chosen HTTP/1.1\r\n{}content-length: 5\r\n\r\n123", "192.0.2.7 POST other 408 slow"),
      (
        "POST / HTTP/1.1\r\n{}transfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n",
        "192.0.2.7 POST / 413 body_too_large"
      ),
      (
        "POST / HTTP/1.1\r\n{}content-type: application/vnd.enbox.dwn-rpc;version=1\r\ncontent-length: 5\r\n\r\n\u{9}0000",
        "192.0.2.7 POST / 400 malformed"
      ),
      ("POST / HTTP/1.1\r\n{}content-length: 1\r\ncontent-length: 2\r\n\r\n12", "127.0.0.1 - - 400 malformed"),
      (
        "POST / HTTP/1.1\r\n{}x: " + String(repeating: "x", count: 90 << 10) + "\r\n\r\n", "127.0.0.1 - - 431 malformed"
      ),
      ("no request\r\n\r\n", "127.0.0.1 - - 400 malformed"),
    ])
  func unfinished(text: String, line: String) async throws {
    let running = try await serve {
      $0.largestBody = 10
      $0.bodyTimeout = .milliseconds(50)
    }
    let request = text.replacingOccurrences(of: "{}", with: "host: x\r\nx-forwarded-for: 192.0.2.7\r\n")
    _ = try await running.exchange(request)
    #expect(try await told() == ["request " + line])
    await running.server.shutdown()
  }

  @Test("a body that breaks off has a line, and is counted")
  func brokenOff() async throws {
    let registry = PrometheusRegistry()
    let running = try await serve { $0.metrics = registry }
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: running.address.ip.description, port: Int(running.address.port)).get()
    try await channel.writeAndFlush(
      ByteBuffer(
        string: "POST / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.7\r\ncontent-length: 11\r\n\r\nhello"))
    try await channel.close()
    let found = try await told()
    #expect(found == ["request 192.0.2.7 POST / - cut_off"])
    #expect(registry.text.contains(#"meshd_dwn_refused_total{reason="cut_off"} 1"#))
    await running.server.shutdown()
  }

  @Test("a WebSocket that ends for what its client did has a line with the reason, and so has a text that is no call")
  func abuse() async throws {
    let running = try await serve()
    for (bytes, line) in [
      ([0x81, 0x00], "websocket 192.0.2.7 1002 frames of a client are masked"),
      ([0x82, 0x80, 0, 0, 0, 0], "websocket 192.0.2.7 1003 messages are text"),
      ([0x83, 0x80, 0, 0, 0, 0], "websocket 192.0.2.7 1002 an opcode that is not known"),
      ([0x88, 0xfe, 0, 0x7e, 0, 0, 0, 0], "websocket 192.0.2.7 1002 not a frame"),
      ([0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0], "websocket 192.0.2.7 1009 the frame is too large"),
      ([0x81, 0x81, 0, 0, 0, 0, 0x7b, 0x88, 0x80, 0, 0, 0, 0], "request 192.0.2.7 websocket / -32700"),
    ] as [([UInt8], String)] {
      try await RawWebSocket.with(running, from: "192.0.2.7") { socket in
        try await socket.send(bytes: bytes)
        while try await socket.receive() != nil {}
      }
      let found = try await told()
      #expect(found == [line])
    }
    await running.server.shutdown()
  }

  @Test("of a network beyond its rate, what is turned away is counted and has no line")
  func withinRate() async throws {
    let registry = PrometheusRegistry()
    let running = try await serve {
      $0.metrics = registry
      $0.rates = RateConfiguration(perAddress: RateLimit(perSecond: 0.001, burst: 3))
    }
    for _ in 0..<6 {
      _ = try await running.exchange(
        "POST / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.7\r\ncontent-length: 999999999999\r\n\r\n")
    }
    #expect(try await told().count == 3)
    #expect(registry.text.contains(#"meshd_dwn_refused_total{reason="body_too_large"} 6"#))
    await running.server.shutdown()
  }
}
