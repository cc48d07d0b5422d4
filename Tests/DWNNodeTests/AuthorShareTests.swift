import DWN
import DWNClient
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What each author may write to a tenant that is somebody else (dwn-server 13, fair shares).
@Suite(.timeLimit(.minutes(10)))
struct AuthorShareTests {
  /// A clock that stands still unless it is moved.
  private final class Uptime: Sendable {
    private let time = Mutex(Instant(nanoseconds: 1_000_000_000))
    var now: Instant { time.withLock { $0 } }
    func advance(_ duration: Duration) { time.withLock { $0 = $0 + duration } }
  }

  private static let structure = #"{"note": {"$actions": [{"who": "anyone", "can": ["create", "update", "delete"]}]}}"#
  private let uptime = Uptime()
  let tenancy: TestTenancy

  init() async throws {
    var limits = NodeLimits()
    limits.writesOfOthers = RateLimit(perSecond: 1, burst: 3)
    tenancy = try TestTenancy(limits: limits, uptime: { [uptime] in uptime.now })
    #expect(try await tenancy.install(Self.structure).status.code == 202)
  }

  private func notes(_ author: Person, _ count: Int) async throws -> Int {
    var taken = 0
    for _ in 0..<count {
      do {
        _ = try await tenancy.write(author, "note")
        taken += 1
      } catch EndpointError.rateLimited(_, let wait) {
        #expect(wait > .zero && wait <= .seconds(1))
      }
    }
    return taken
  }

  @Test("an author has a share of a tenant, each has one, and it comes back with time; the tenant needs none")
  func shares() async throws {
    #expect(try await notes(tenancy.bob, 5) == 3)
    #expect(try await notes(tenancy.carol, 5) == 3)
    #expect(try await notes(tenancy.alice, 20) == 20)
    uptime.advance(.seconds(2))
    #expect(try await notes(tenancy.bob, 5) == 2)
  }

  @Test("what is refused, and what is there already, costs an author nothing, whoever sends it")
  func refunds() async throws {
    let note = try await tenancy.write(tenancy.bob, "note")
    for _ in 0..<20 {
      #expect(try await tenancy.status(note.signed, data: Array("{}".utf8)) == "409")
      #expect(
        try await tenancy.attempt(tenancy.bob, tenancy.draft("nothing")) == "400 ProtocolAuthorizationInvalidType")
    }
    #expect(try await notes(tenancy.bob, 5) == 2)
  }

  @Test("deletes are counted too, and reading is not")
  func kinds() async throws {
    let note = try await tenancy.write(tenancy.bob, "note")
    let end = tenancy.bob.signer.recordsDelete(note.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(end) == "202")
    #expect(try await notes(tenancy.bob, 5) == 1)
    let all = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    for _ in 0..<20 { _ = try await tenancy.query(tenancy.bob, all) }
  }

  @Test("a share that is used up is answered with 429 and the time to wait, and counted")
  func overHTTP() async throws {
    let registry = PrometheusRegistry()
    let server = try await RunningServer.start(tenancy.node) { $0.metrics = registry }
    #expect(try await notes(tenancy.bob, 3) == 3)
    let draft = tenancy.draft("note")
    let note = tenancy.bob.signer.recordsWrite(draft, at: tenancy.tick())
    let call: JSONValue = [
      "jsonrpc": "2.0", "id": "1", "method": "dwn.processMessage",
      "params": ["target": .string(tenancy.alice.did.text), "message": note.message.value],
    ]
    let answer = try await server.exchange(
      "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ndwn-request: \(call.text)\r\ncontent-length: 2\r\n\r\n{}")
    #expect(answer.hasPrefix("HTTP/1.1 429 "))
    #expect(
      answer.contains("retry-after: 1\r\n") && answer.contains(#""retryAfterSec":1"#) && answer.contains("-50429"))
    #expect(registry.text.contains(#"meshd_dwn_refused_total{reason="author_rate"} 1"#))
    uptime.advance(.seconds(1))
    #expect(try await tenancy.status(note.signed, data: draft.data) == "202", "the same bytes, sent again")
    await server.server.shutdown()
  }
}
