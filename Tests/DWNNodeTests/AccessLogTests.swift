import DWN
import Identity
import Logging
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a node says of each request: who, what kind, and what became of it; never what it says.
@Suite(.timeLimit(.minutes(10)))
struct AccessLogTests {
  /// Keeps what is logged.
  private final class Lines: Sendable {
    private let lines = Mutex<[(text: String, metadata: Logger.Metadata)]>([])
    func add(_ text: String, _ metadata: Logger.Metadata) { lines.withLock { $0.append((text, metadata)) } }
    func take() -> [(text: String, metadata: Logger.Metadata)] {
      lines.withLock { lines in
        defer { lines = [] }
        return lines
      }
    }
  }

  private struct Handler: LogHandler {
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.add("\(event.message)", event.metadata ?? [:]) }
  }

  private let tenancy: TestTenancy
  private let lines = Lines()

  init() async throws {
    tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"box": {}}"#).status.code == 202)
  }

  private var routes: NodeRoutes {
    let lines = lines
    return NodeRoutes(
      service: MessageService(
        endpoint: tenancy.node, rates: RateLimits(RateConfiguration()),
        metrics: ServerMetrics(factory: PrometheusRegistry()),
        log: Logger(label: "test", factory: { _ in Handler(lines: lines) }), accessLevel: .info),
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
    let parts = ["from", "method", "path", "kind", "status"].compactMap { line.metadata[$0].map { "\($0)" } }
    return ([line.text] + parts).joined(separator: " ")
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
}
