import DWN
import DWNClient
import Identity
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Which connections may stay open (dwn-server 12).
@Suite(.timeLimit(.minutes(10)))
struct WebSocketPlacesTests {
  private let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy()
    let definition = #"{"room": {"$actions": [{"who": "anyone", "can": ["read"]}]}}"#
    #expect(try await tenancy.install(definition).status.code == 202)
  }

  private static let get = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
  private static let ping: JSONValue = ["jsonrpc": "2.0", "id": "p", "method": "rpc.ping"]

  /// A subscription to what anybody may read; signed by nobody if there is no `person`.
  private func subscribe(by person: Person?) throws -> JSONValue {
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "room")
    let signed = (person ?? tenancy.bob).signer.recordsSubscribe(filter, at: tenancy.tick()).message.value
    var message = try #require(signed.object)
    if person == nil { message["authorization"] = nil }
    return [
      "jsonrpc": "2.0", "id": "1", "method": "rpc.subscribe.dwn.processMessage", "subscription": ["id": "s"],
      "params": ["target": .string(tenancy.alice.did.text), "message": .object(message)],
    ]
  }

  /// A connection with a subscription, if any, that stays open while `body` runs; whether it is still open then.
  private func following(
    _ running: RunningServer, _ subscription: JSONValue?, while body: () async throws -> Void
  ) async throws -> Bool {
    var isOpen = false
    try await RawWebSocket.with(running) { socket in
      if let subscription {
        try await socket.send(subscription)
        let reply = try await socket.answer()
        #expect(reply["result"]?["reply"]?["status"]?["code"] == 200, "\(reply)")
      }
      try await body()
      try? await socket.send(Self.ping)
      isOpen = (try? await socket.answer())?["result"]?["ok"] == true
    }
    return isOpen
  }

  /// What somebody reads who asks for one connection more and does not get it.
  private func refusal(_ running: RunningServer) async -> String {
    let error = await #expect(throws: TestTenancy.Unexpected.self) { try await RawWebSocket.with(running) { _ in } }
    return error?.text ?? ""
  }

  @Test("hundreds stay open while requests, which have places of their own, are answered")
  func apart() async throws {
    let registry = PrometheusRegistry()
    let running = try await RunningServer.start(tenancy.node) {
      $0.maximumConnections = 16
      $0.metrics = registry
    }
    try await withThrowingTaskGroup { group in
      for _ in 0..<200 {
        group.addTask {
          // Those who come at once take the places of each other until they are through, and come again.
          while !Task.isCancelled {
            try? await RawWebSocket.with(running) { socket in
              while try await socket.receive() != nil {}
            }
            try? await Task.sleep(for: .milliseconds(10))
          }
        }
      }
      while !registry.text.contains("meshd_dwn_websockets 200\n") { try await Task.sleep(for: .milliseconds(20)) }
      for _ in 0..<10 { #expect(try await running.exchange(Self.get).hasPrefix("HTTP/1.1 200 ")) }
      group.cancelAll()
      await running.server.shutdown()
    }
  }

  @Test("one without a subscription, or with one that nobody signed, gives way to a new one", arguments: [false, true])
  func givingWay(subscribes: Bool) async throws {
    let running = try await RunningServer.start(tenancy.node) { $0.webSocket.connections = 1 }
    let isOpen = try await following(running, subscribes ? subscribe(by: nil) : nil) {
      let isOpen = try await following(running, nil) {}
      #expect(isOpen)
    }
    #expect(!isOpen)
    await running.server.shutdown()
  }

  @Test("who follows by a right stays; the next hears that there is no place, and requests are answered")
  func rights() async throws {
    let running = try await RunningServer.start(tenancy.node) { $0.webSocket.connections = 2 }
    let isOpen = try await following(running, subscribe(by: tenancy.alice)) {
      // A signature alone, which anybody can make, keeps the place for no longer than others wait.
      let isOpen = try await following(running, subscribe(by: tenancy.bob)) {
        let isOpen = try await following(running, subscribe(by: tenancy.alice)) {
          let answer = await refusal(running)
          #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains("retry-after: 5"), "\(answer)")
          let endpoint = HTTPEndpoint(try running.url)
          do {
            _ = try await endpoint.subscribe(tenant: tenancy.alice.did, message: [:])
            Issue.record("a subscription was opened")
          } catch let error as EndpointError {
            guard case .unreachable = error else { throw error }
          }
          let query = tenancy.alice.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick()).message.value
          let status = try await endpoint.process(tenant: tenancy.alice.did, message: query, data: nil).status
          #expect(status.code == 200)
          await endpoint.shutdown()
        }
        #expect(isOpen)
      }
      #expect(!isOpen)
    }
    #expect(isOpen)
    await running.server.shutdown()
  }

  @Test("a subscription that ends gives the right to the place back")
  func ending() async throws {
    let running = try await RunningServer.start(tenancy.node) { $0.webSocket.connections = 1 }
    try await RawWebSocket.with(running) { socket in
      try await socket.send(subscribe(by: tenancy.alice))
      _ = try await socket.answer()
      let answer = await refusal(running)
      #expect(answer.hasPrefix("HTTP/1.1 503 "), "\(answer)")
      try await socket.send(
        ["jsonrpc": "2.0", "id": "2", "method": "rpc.subscribe.close", "subscription": ["id": "s"]])
      _ = try await socket.answer()
      try await RawWebSocket.with(running) { _ in }
      let code = try await socket.closeCode()
      #expect(code == 1001)
    }
    await running.server.shutdown()
  }

  @Test("a network and a site have no more than theirs, also behind a proxy")
  func shares() async throws {
    let running = try await RunningServer.start(tenancy.node) {
      $0.trustedProxies = [IPPrefix("127.0.0.0/8")!]
      $0.webSocket.connectionsPerNetwork = 1
      $0.webSocket.connectionsPerSite = 2
    }
    func hold(_ address: String, while body: () async throws -> Void) async throws -> Bool {
      var isOpen = false
      try await RawWebSocket.with(running, from: address) { socket in
        try await socket.send(subscribe(by: tenancy.alice))
        _ = try await socket.answer()
        try await body()
        try await socket.send(Self.ping)
        isOpen = (try? await socket.answer())?["result"]?["ok"] == true
      }
      return isOpen
    }
    func isRefused(_ address: String) async -> Bool {
      do { return try await !hold(address) {} } catch { return error is TestTenancy.Unexpected }
    }
    let isOpen = try await hold("192.0.2.1") {
      #expect(await isRefused("192.0.2.1"))
      let second = try await hold("192.0.2.2") {
        #expect(await isRefused("192.0.2.3"))
        let elsewhere = try await hold("198.51.100.1") {}
        #expect(elsewhere)
      }
      #expect(second)
    }
    #expect(isOpen)
    await running.server.shutdown()
  }

  @Test("who asks for a connection that stays open beyond its rate gets 429")
  func rate() async throws {
    let running = try await RunningServer.start(tenancy.node) {
      $0.rates = RateConfiguration(perAddress: RateLimit(perSecond: 0.01, burst: 1), exemptsLoopback: false)
    }
    try await RawWebSocket.with(running) { _ in }
    let answer = await refusal(running)
    #expect(answer.hasPrefix("HTTP/1.1 429 "), "\(answer)")
    await running.server.shutdown()
  }

  @Test(
    "the files that a process may have open are shared out: requests keep their places, WebSockets get the rest",
    arguments: [
      (256, 64, 128), (1_024, 256, 512), (4_096, 512, 3_072), (32_768, 512, 20_000), (1 << 20, 512, 20_000),
    ])
  func files(files: Int, requests: Int, webSockets: Int) {
    var configuration = ServerConfiguration(listen: [])
    configuration.fit(inFiles: files, webSockets: 20_000)
    #expect(configuration.maximumConnections == requests)
    #expect(configuration.webSocket.connections == webSockets)
    #expect(configuration.maximumConnectionsPerNetwork <= configuration.maximumConnectionsPerSite)
    var exact = ServerConfiguration(listen: [])
    exact.fit(inFiles: ServerConfiguration.files(forWebSockets: 50_000), webSockets: 50_000)
    #expect(exact.webSocket.connections == 50_000)
  }
}
