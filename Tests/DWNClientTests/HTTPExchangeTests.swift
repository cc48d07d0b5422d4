import DWN
import DWNClient
import Identity
import Testing
import Wire

@Suite("Requests to a node over HTTP", .timeLimit(.minutes(10)))
struct HTTPExchangeTests {
  static let tenant = DID("did:example:alice")!

  @Test("a connection that the node closed without an answer is replaced, and the same bytes are sent again")
  func resent() async throws {
    let node = try await ScriptedNode.start([.hangUp, .reply(202)])
    let endpoint = HTTPEndpoint(try node.url)
    let reply = try await endpoint.process(tenant: Self.tenant, message: ["a": 1], data: [1, 2, 3])
    #expect(reply.status.code == 202)
    let requests = node.requests
    #expect(requests.count == 2)
    #expect(Set(requests.map(\.message)).count == 1)
    #expect(requests.allSatisfy { $0.body == [1, 2, 3] })
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test(
    "a message that is too long for a header goes into the body, where the node takes that; else it stays in the header"
  )
  func longMessages() async throws {
    let message: JSONValue = ["text": .string(String(repeating: "x", count: 20_000))]
    for takesBodies in [true, false] {
      let node = try await ScriptedNode.start([
        .body(200, takesBodies ? #"{"httpRpcFraming":["body-v1"]}"# : "{}"), .reply(202), .reply(202), .reply(202),
      ])
      let endpoint = HTTPEndpoint(try node.url)
      for _ in 0..<2 { _ = try? await endpoint.process(tenant: Self.tenant, message: message, data: [7, 8]) }
      _ = try? await endpoint.process(tenant: Self.tenant, message: ["a": 1], data: nil)
      let requests = node.requests
      #expect(requests.count == 4)
      #expect(requests.map(\.message.isEmpty) == [true, takesBodies, takesBodies, false])
      if takesBodies {
        let body = requests[1].body
        #expect(body[0] == 1 && body.suffix(2) == [7, 8])
        let length = body[1..<5].reduce(0) { $0 << 8 | Int($1) }
        #expect(try JSONValue(parsing: Array(body[5..<5 + length]))["params"]?["message"] == message)
        #expect(body.count == 5 + length + 2)
      }
      await endpoint.shutdown()
      try await node.stop()
    }
  }

  @Test("a gateway's 503 is asked again; a node that stays busy is unreachable after four attempts")
  func busy() async throws {
    let node = try await ScriptedNode.start([.status(503), .reply(200)])
    let endpoint = HTTPEndpoint(try node.url)
    #expect(try await endpoint.process(tenant: Self.tenant, message: [:], data: nil).status.code == 200)
    node.script(Array(repeating: .status(503), count: 10))
    await #expect(throws: EndpointError.unreachable(name: endpoint.name, reason: "HTTP status 503")) {
      try await endpoint.process(tenant: Self.tenant, message: [:], data: nil)
    }
    #expect(node.requests.count == 6)
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("a node that answers 429 for ever is asked four times, and the caller learns how long to wait")
  func limited() async throws {
    let node = try await ScriptedNode.start(Array(repeating: .limited(retryAfter: "0.01"), count: 100))
    let endpoint = HTTPEndpoint(try node.url)
    await #expect(throws: EndpointError.rateLimited(name: endpoint.name, retryAfter: .seconds(0.01))) {
      try await endpoint.process(tenant: Self.tenant, message: [:], data: nil)
    }
    #expect(node.requests.count == 4)
    node.script([.limited(retryAfter: "600")])
    await #expect(throws: EndpointError.rateLimited(name: endpoint.name, retryAfter: .seconds(600))) {
      try await endpoint.process(tenant: Self.tenant, message: [:], data: nil)
    }
    #expect(node.requests.count == 5)
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("when this host's addresses change, a request on a connection that leads nowhere is sent over a new one")
  func addressesChanged() async throws {
    let node = try await ScriptedNode.start([.silence, .reply(202)])
    let endpoint = HTTPEndpoint(try node.url)
    let sent = Task { try await endpoint.process(tenant: Self.tenant, message: [:], data: nil) }
    try await node.waitForRequests(1)
    endpoint.hostAddressesChanged()
    #expect(try await sent.value.status.code == 202)
    #expect(node.connections == 2)
    await endpoint.shutdown()
    endpoint.hostAddressesChanged()
    try await node.stop()
  }

  @Test("requests one after the other share a connection; many at once share eight")
  func shared() async throws {
    let node = try await ScriptedNode.start(Array(repeating: .reply(200), count: 1000))
    let endpoint = HTTPEndpoint(try node.url)
    for _ in 0..<5 { _ = try await endpoint.process(tenant: Self.tenant, message: [:], data: nil) }
    #expect(node.connections == 1)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<100 {
        group.addTask { _ = try await endpoint.process(tenant: Self.tenant, message: [:], data: nil) }
      }
      try await group.waitForAll()
    }
    #expect(node.connections <= 8)
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("a node is asked what it is; an answer that is none is said to be none")
  func information() async throws {
    let node = try await ScriptedNode.start([
      .body(200, #"{"server":"x","registrationRequirements":["terms-of-service"]}"#), .body(200, "<html>"),
      .status(404), .body(200, "{\"server\":\"" + String(repeating: "x", count: 100_000) + "\"}"),
    ])
    let endpoint = HTTPEndpoint(try node.url)
    #expect(try await endpoint.information().registration == [.termsOfService])
    for _ in 0..<3 {
      let error = await #expect(throws: EndpointError.self) { try await endpoint.information() }
      if case .notADWN = error {} else { Issue.record("\(String(describing: error))") }
    }
    await endpoint.shutdown()
    try await node.stop()
  }
}
