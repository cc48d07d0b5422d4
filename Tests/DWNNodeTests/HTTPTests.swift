import DWN
import DWNClient
import Foundation
import Identity
import NIOCore
import NIOPosix
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Node, server and client together over loopback (dwn-server 11).
@Suite(.timeLimit(.minutes(10)))
struct HTTPTests {
  let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy()
    #expect(
      try await tenancy.install(#"{"box": {"$actions": [{"who": "anyone", "can": ["read"]}]}}"#).status.code == 202)
  }

  private func post(_ header: String?, body: String = "", more: String = "") -> String {
    "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\(more)"
      + (header.map { "dwn-request: \($0)\r\n" } ?? "")
      + (body.isEmpty ? "" : "content-length: \(body.utf8.count)\r\n") + "\r\n" + body
  }

  @Test(
    "a request that wants to become tens of thousands of other things is answered like any other, and one that names a WebSocket twice becomes one",
    arguments: ["a", "websocket"], ["GET", "POST"])
  func upgrades(name: String, method: String) async throws {
    let running = try await RunningServer.start(tenancy.node)
    let names = Array(repeating: name, count: 78_000 / (name.utf8.count + 1)).joined(separator: ",")
    for connection in ["close", "upgrade, close"] {
      let answer = try await running.exchange(
        "\(method) /health HTTP/1.1\r\nhost: x\r\nupgrade: \(names)\r\nconnection: \(connection)\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 \(method == "GET" ? 200 : 404) "), "\(answer.prefix(200))")
    }
    let twice = try await running.exchange(
      "GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c, WebSocket, websocket\r\nconnection: upgrade\r\n"
        + "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", until: "\r\n\r\n")
    #expect(twice.hasPrefix("HTTP/1.1 101 "), "\(twice)")
    await running.server.shutdown()
  }

  @Test("a record goes over HTTP and comes back the same", arguments: ["127.0.0.1:0", "[::1]:0"])
  func roundTrip(address: String) async throws {
    let running = try await RunningServer.start(tenancy.node, on: address)
    let endpoint = HTTPEndpoint(try running.url)
    for size in [0, 3, 29_999, 400_000] {
      let text = String(repeating: "ö", count: size / 2)
      let draft = tenancy.draft("box", tags: ["wörter": "\u{1F600}"], data: text)
      let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
      let stored = try await endpoint.process(tenant: tenancy.alice.did, message: write.message.value, data: draft.data)
      #expect(stored.status.code == 202)
      let read = tenancy.bob.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick())
      let reply = try await endpoint.process(tenant: tenancy.alice.did, message: read.message.value, data: nil)
      #expect(reply.status.code == 200)
      #expect(reply.entry?.message == write.message.value)
      #expect(reply.entry?.data == draft.data)
    }
    let query = tenancy.alice.signer.recordsQuery(
      RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box"), at: tenancy.tick())
    let found = try await endpoint.process(tenant: tenancy.alice.did, message: query.message.value, data: nil)
    #expect(found.entries.count == 4)
    let stranger = try await endpoint.process(tenant: tenancy.bob.did, message: query.message.value, data: nil)
    #expect(stranger.status.code == 401)
    await endpoint.shutdown()
    await running.server.shutdown()
  }

  @Test("a reply too long for a header comes as the body, with its data")
  func longReply() async throws {
    let running = try await RunningServer.start(tenancy.node)
    let endpoint = HTTPEndpoint(try running.url)
    var tags = JSONObject()
    for name in 0..<10 {
      tags["tag\(name)"] = .array((0..<10).map { .string("\($0)" + String(repeating: "a", count: 280)) })
    }
    let draft = tenancy.draft("box", tags: tags, data: String(repeating: "d", count: 35_000))
    let first = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    var update = RecordDraft(updating: first, data: draft.data)
    update.published = true
    let second = tenancy.alice.signer.recordsWrite(update, at: tenancy.tick())
    for write in [first, second] {
      let reply = try await endpoint.process(tenant: tenancy.alice.did, message: write.message.value, data: draft.data)
      #expect(reply.status.code == 202)
    }
    let read = tenancy.alice.signer.recordsRead(RecordsFilter(recordID: first.recordID), at: tenancy.tick())
    let reply = try await endpoint.process(tenant: tenancy.alice.did, message: read.message.value, data: nil)
    #expect(reply.entry?.message == second.message.value)
    #expect(reply.entry?.initialWrite == first.message.value)
    #expect(reply.entry?.data == draft.data)
    await endpoint.shutdown()
    await running.server.shutdown()
  }

  @Test(
    "the other routes",
    arguments: [
      ("GET / HTTP/1.1", "200", "Decentralized Web Node"), ("GET //// HTTP/1.1", "200", "Decentralized"),
      ("GET /health HTTP/1.1", "200", #"{"ok":true}"#),
      ("GET /info?x=1 HTTP/1.1", "200", #""registrationRequirements":[]"#),
      ("OPTIONS /any HTTP/1.1", "204", "access-control-allow-origin: *"), ("GET /else HTTP/1.1", "404", "not found"),
      ("PUT / HTTP/1.1", "404", ""), ("POST /else HTTP/1.1", "404", ""), ("HEAD /health HTTP/1.1", "200", ""),
    ])
  func routes(line: String, status: String, content: String) async throws {
    let running = try await RunningServer.start(tenancy.node)
    let answer = try await running.exchange("\(line)\r\nhost: x\r\nconnection: close\r\n\r\n")
    #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
    #expect(content.isEmpty || answer.contains(content), "\(answer)")
    if line.hasPrefix("HEAD") { #expect(answer.hasSuffix("\r\n\r\n")) }
    await running.server.shutdown()
  }

  @Test(
    "a request that holds no message is told so",
    arguments: [
      (String?.none, "400", "-50400"), ("not json", "400", "-50400"), ("[1]", "400", "-50400"),
      (String(repeating: "[", count: 5000), "400", "-50400"),
      (#"{"jsonrpc":"1.0","id":"1","method":"dwn.processMessage"}"#, "500", "-32600"),
      (#"{"jsonrpc":"2.0","id":"1","method":"dwn.else"}"#, "500", "-32601"),
      (#"{"jsonrpc":"2.0","id":"1","method":"dwn.processMessage","params":{"target":"nobody"}}"#, "500", "-32602"),
      (
        #"{"jsonrpc":"2.0","id":"1","method":"dwn.processMessage","params":{"target":"did:a:b","message":1}}"#, "500",
        "-32602"
      ),
      (
        #"{"jsonrpc":"2.0","id":"1","method":"dwn.processMessage","params":{"target":"did:a:b","message":{}}}"#, "200",
        "Not a registered tenant."
      ),
    ])
  func malformedCalls(header: String?, status: String, content: String) async throws {
    let running = try await RunningServer.start(tenancy.node)
    let answer = try await running.exchange(post(header))
    #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
    #expect(answer.contains(content), "\(answer)")
    await running.server.shutdown()
  }

  @Test("what is no HTTP is answered with 400, and a head beyond the bound with 431")
  func malformedHTTP() async throws {
    let running = try await RunningServer.start(tenancy.node)
    #expect(try await running.exchange("hello\r\n\r\n").hasPrefix("HTTP/1.1 400 "))
    let long = String(repeating: "x", count: ConnectionPipeline.largestHeader + 1)
    #expect(try await running.exchange(post(long)).hasPrefix("HTTP/1.1 431 "))
    let many = (0...ConnectionPipeline.mostHeaders).map { "h\($0): 1\r\n" }.joined()
    #expect(try await running.exchange(post(nil, more: many)).hasPrefix("HTTP/1.1 431 "))
    await running.server.shutdown()
  }

  @Test("a body beyond the bound is refused before it is read, with a length and without")
  func bodyBounds() async throws {
    let running = try await RunningServer.start(tenancy.node) { $0.largestBody = 10 }
    let announced = try await running.exchange("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n")
    #expect(announced.hasPrefix("HTTP/1.1 413 "), "\(announced)")
    let chunked = try await running.exchange(
      "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")
    #expect(chunked.hasPrefix("HTTP/1.1 413 "), "\(chunked)")
    await running.server.shutdown()
    let poor = try await RunningServer.start(tenancy.node) { $0.bodyBudget = 5 }
    let busy = try await poor.exchange(post("{}", body: "123456"))
    #expect(busy.hasPrefix("HTTP/1.1 503 "), "\(busy)")
    await poor.server.shutdown()
  }

  @Test("a connection that sends no head is closed, and half a request is given up with 408")
  func timeouts() async throws {
    let silent = try await RunningServer.start(tenancy.node) { $0.headTimeout = .milliseconds(50) }
    #expect(try await silent.exchange("").isEmpty)
    #expect(try await silent.exchange("POST / HTTP/1.1\r\nhost:").isEmpty)
    await silent.server.shutdown()
    let running = try await RunningServer.start(tenancy.node) { $0.bodyTimeout = .milliseconds(50) }
    let half = try await running.exchange("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123")
    #expect(half.hasPrefix("HTTP/1.1 408 "), "\(half)")
    await running.server.shutdown()
  }

  @Test("an IPv6 /64 counts as one machine, an IPv4 address as another, and this machine not at all")
  func networks() throws {
    func network(_ ip: String) throws -> UInt128? {
      Caller(remote: try NIOCore.SocketAddress(ipAddress: ip, port: 1)).network
    }
    #expect(try network("127.0.0.1") == nil)
    #expect(try network("::1") == nil)
    #expect(try network("2001:db8::1") == network("2001:db8::ffff:2"))
    #expect(try network("2001:db8::1") != network("2001:db8:0:1::1"))
    #expect(try network("192.0.2.1") != network("192.0.2.2"))
  }

  @Test("connections beyond the bound are closed at once")
  func connectionBound() async throws {
    let running = try await RunningServer.start(tenancy.node) { $0.maximumConnections = 0 }
    #expect(try await running.exchange(post("{}")).isEmpty)
    await running.server.shutdown()
  }

  @Test("when all connections are taken, the one that waits longest for a request is closed for a new one")
  func makingRoom() async throws {
    let metrics = PrometheusRegistry()
    let running = try await RunningServer.start(tenancy.node) {
      $0.maximumConnections = 1
      $0.metrics = metrics
    }
    for _ in 0..<3 {
      let waiting = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: running.address.ip.description, port: Int(running.address.port)).get()
      while !metrics.text.contains("meshd_dwn_connections 1\n") { try await Task.sleep(for: .milliseconds(2)) }
      let answer = try await running.exchange("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
      try await waiting.closeFuture.get()
      while !metrics.text.contains("meshd_dwn_connections 0\n") { try await Task.sleep(for: .milliseconds(2)) }
    }
    await running.server.shutdown()
  }

  @Test("several requests of one connection are answered in their order")
  func pipelining() async throws {
    let running = try await RunningServer.start(tenancy.node)
    let answer = try await running.exchange(
      "GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /else HTTP/1.1\r\nhost: x\r\n\r\n"
        + "GET /info HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    let lines = answer.split(separator: "\r\n").filter { $0.contains("HTTP/1.1 ") }
    #expect(lines.count == 3, "\(answer)")
    #expect(lines.map { $0.contains(" 200 ") } == [true, false, true], "\(answer)")
    await running.server.shutdown()
  }

  @Test("a port in use is an error that names the address and the flag")
  func portInUse() async throws {
    let running = try await RunningServer.start(tenancy.node)
    await #expect(throws: NodeError.addressInUse(address: running.address.description)) {
      _ = try await RunningServer.start(tenancy.node, on: running.address.description)
    }
    #expect(NodeError.addressInUse(address: "a").description.contains("--listen"))
    await #expect(throws: NodeError.addressNotHere(address: "192.0.2.1:1234")) {
      _ = try await RunningServer.start(tenancy.node, on: "192.0.2.1:1234")
    }
    await running.server.shutdown()
  }

  @Test("both wildcards share one port")
  func bothFamilies() async throws {
    let first = try await RunningServer.start(tenancy.node, on: "0.0.0.0:0")
    let second = try await RunningServer.start(tenancy.node, on: "[::]:\(first.address.port)")
    #expect(second.address.port == first.address.port)
    await first.server.shutdown()
    await second.server.shutdown()
  }

  @Test("after the shutdown nothing listens, and idle connections are gone")
  func shutdown() async throws {
    let running = try await RunningServer.start(tenancy.node)
    let endpoint = HTTPEndpoint(try running.url)
    let query = tenancy.alice.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick()).message.value
    #expect(try await endpoint.process(tenant: tenancy.alice.did, message: query, data: nil).status.code == 200)
    await running.server.shutdown()
    let later = HTTPEndpoint(try running.url)
    do {
      _ = try await later.process(tenant: tenancy.alice.did, message: query, data: nil)
      Issue.record("the server still answers")
    } catch {
      guard case .unreachable(_, let reason) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(reason.contains("refused"), "\(reason)")
    }
    await later.shutdown()
    await endpoint.shutdown()
  }

  @Test("a failure of the node is an internal error without its text")
  func internalError() async throws {
    let running = try await RunningServer.start(FailingEndpoint())
    let endpoint = HTTPEndpoint(try running.url)
    do {
      _ = try await endpoint.process(tenant: tenancy.alice.did, message: [:], data: nil)
      Issue.record("a reply came")
    } catch {
      guard case .refused(_, let reason) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(reason == "internal error (-32603)")
    }
    await endpoint.shutdown()
    await running.server.shutdown()
  }
}

private struct FailingEndpoint: DWNEndpoint {
  let name = "failing"

  func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply {
    throw .refused(name: name, reason: "a secret of the disk")
  }
}
