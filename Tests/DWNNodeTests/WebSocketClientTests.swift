import DWN
import DWNClient
import Identity
import Synchronization
import Testing
import Wire

@testable import DWNNode

/// Our client's subscriptions against our server, with a node behind it that tells what a test puts in.
@Suite("Subscriptions of a client", .timeLimit(.minutes(10)))
struct WebSocketClientTests {
  static let tenant = DID("did:example:alice")!

  private static func event(_ position: UInt64) -> SubscriptionFrame {
    let message: JSONValue = ["descriptor": ["interface": "Records", "at": .integer(Int64(position))]]
    return .event(
      SubscriptionEvent(
        cursor: token(position), entry: ReplyEntry(message: message, data: [1, 2, 3]), messageCID: CID(of: message),
        protocolURI: "https://example.org/p"))
  }

  private static func token(_ position: UInt64) -> ProgressToken {
    ProgressToken(streamID: "s", epoch: "e", position: FeedPosition(position))
  }

  @Test("frames arrive as the node told them, acknowledgements reach it, and closing ends its subscription")
  func wholeWay() async throws {
    let frames = (1...3).map { Self.event($0) } + [.endOfStored(Self.token(3))]
    let node = ScriptedEndpoint(frames: frames)
    let running = try await RunningServer.start(node)
    let endpoint = HTTPEndpoint(try running.url)
    let (reply, opened) = try await endpoint.subscribe(tenant: Self.tenant, message: ["descriptor": [:]])
    #expect(reply.status.code == 200)
    let source = try #require(opened)
    for frame in frames { #expect(try await source.next() == frame) }
    source.acknowledge(Self.token(3))
    let told = try #require(node.sources.withLock { $0.first })
    while told.acknowledged.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
    #expect(told.acknowledged == [Self.token(3)])
    source.close()
    while !told.isClosed { try await Task.sleep(for: .milliseconds(5)) }
    await endpoint.shutdown()
    await running.server.shutdown()
  }

  @Test("a refusal of the node is its reply; a server that shuts down ends the subscriptions with an error")
  func ends() async throws {
    let refusing = try await RunningServer.start(ScriptedEndpoint(reply: Reply(.init(401, "no such role"))))
    let first = HTTPEndpoint(try refusing.url)
    let (reply, frames) = try await first.subscribe(tenant: Self.tenant, message: ["descriptor": [:]])
    #expect(reply.status.code == 401 && frames == nil)
    await first.shutdown()
    await refusing.server.shutdown()
    let running = try await RunningServer.start(ScriptedEndpoint())
    let second = HTTPEndpoint(try running.url)
    let source = try #require(try await second.subscribe(tenant: Self.tenant, message: ["descriptor": [:]]).frames)
    await running.server.shutdown()
    await #expect(throws: EndpointError.self) { try await source.next() }
    await second.shutdown()
  }
}
