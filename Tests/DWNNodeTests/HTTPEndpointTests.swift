import DWN
import Identity
import NIOCore
import NIOPosix
import TestSupport
import Testing
import Wire

@testable import DWNClient

/// What the client makes of addresses and of answers, also of those that no node would give.
@Suite(.timeLimit(.minutes(10)))
struct HTTPEndpointTests {
  @Test(
    "base URLs are brought to one spelling",
    arguments: [
      ("http://Example.ORG", "http://example.org"), ("HTTP://example.org:80/", "http://example.org"),
      ("https://example.org:443/dwn///", "https://example.org/dwn"),
      ("http://192.0.2.1:8787/", "http://192.0.2.1:8787"),
      ("http://[2001:DB8::1]:8787", "http://[2001:db8::1]:8787"), ("https://example.org:80", "https://example.org:80"),
    ])
  func urls(text: String, normal: String) throws {
    #expect(try EndpointURL(text).text == normal)
  }

  @Test(
    "other URLs are refused, with what is wrong",
    arguments: [
      ("", "is not a URL"), ("example.org", "not a URL"), ("ftp://example.org", "has the scheme ftp: an endpoint"),
      ("http://user@example.org", "user name"), ("http://user:pw@example.org", "password"),
      ("http://example.org?x=1", "query"), ("http://example.org/#a", "fragment"), ("http://", "not a URL"),
      ("http://example.org:0", "port"), ("http://example.org:70000", "port"), ("http://exa mple.org", "not a URL"),
      ("http://example.org:x", "not a URL"),
    ])
  func refusedURLs(text: String, words: String) {
    do {
      let url = try EndpointURL(text)
      Issue.record("accepted as \(url)")
    } catch {
      #expect(error.description.contains(words), "\(error)")
    }
  }

  private let call = JSONRPCCall(id: "7", tenant: DID("did:example:alice")!, message: [:])

  private func outcome(
    _ status: Int, _ body: String, header: [String] = [], retryAfter: String? = nil
  ) -> Result<Reply, EndpointError> {
    let answer = JSONRPCAnswer(status: status, reply: header, retryAfter: retryAfter, body: Array(body.utf8))
    do {
      return .success(try answer.reply(to: call, from: "n", now: WallTime(rfc3339: "2026-11-21T12:00:00Z")!))
    } catch {
      return .failure(error)
    }
  }

  private let good = #"{"jsonrpc":"2.0","id":"7","result":{"reply":{"status":{"code":200,"detail":"OK"}}}}"#

  @Test("with a dwn-response header the body is data, else it is the reply")
  func framing() throws {
    #expect(try outcome(200, good).get().data == nil)
    #expect(try outcome(200, "bytes", header: [good]).get().data == Array("bytes".utf8))
    #expect(try outcome(500, good).get().status.code == 200)
  }

  @Test("an answer is read as deep as the messages in it may be, and no deeper", arguments: [24, 25])
  func depth(levels: Int) {
    let message = String(repeating: #"{"a":"#, count: levels - 1) + "{}" + String(repeating: "}", count: levels - 1)
    let reply = #"{"status":{"code":200,"detail":"OK"},"entries":[{"initialWrite":\#(message)}]}"#
    let answer = outcome(200, #"{"jsonrpc":"2.0","id":"7","result":{"reply":\#(reply)}}"#)
    #expect((try? answer.get())?.status.code == (levels <= Message.maximumDepth ? 200 : nil))
  }

  @Test(
    "what no node would answer is no DWN's answer",
    arguments: [
      (200, "<html>"), (200, ""), (200, "[]"), (404, "not found"), (200, #"{"jsonrpc":"2.0","id":"7"}"#),
      (200, #"{"jsonrpc":"2.0","id":"8","result":{"reply":{"status":{"code":200}}}}"#),
      (200, #"{"jsonrpc":"2.0","id":"7","result":{"reply":{"status":{"code":1}}}}"#), (301, ""),
      (200, String(repeating: "[", count: 100_000)),
    ])
  func garbage(status: Int, body: String) {
    guard case .failure(.notADWN) = outcome(status, body) else {
      Issue.record("taken for an answer")
      return
    }
  }

  @Test("two reply headers are refused")
  func twoHeaders() {
    guard case .failure(.notADWN) = outcome(200, "", header: [good, good]) else {
      Issue.record("taken for an answer")
      return
    }
  }

  @Test("errors of JSON-RPC and of gateways are told apart")
  func errors() {
    #expect(
      outcome(500, #"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}"#)
        == .failure(.refused(name: "n", reason: "internal error (-32603)")))
    #expect(outcome(502, "Bad Gateway") == .failure(.unreachable(name: "n", reason: "HTTP status 502")))
  }

  @Test("how long to wait comes from the header, then from the error, then is a second")
  func rateLimits() {
    let error = #"{"jsonrpc":"2.0","id":"7","error":{"code":-50429,"message":"x","data":{"retryAfterSec":9}}}"#
    func waiting(_ seconds: Double) -> Result<Reply, EndpointError> {
      .failure(.rateLimited(name: "n", retryAfter: .seconds(seconds)))
    }
    #expect(outcome(429, "busy", retryAfter: "5") == waiting(5))
    #expect(outcome(429, "busy", retryAfter: "Sat, 21 Nov 2026 12:00:07 GMT") == waiting(7))
    #expect(outcome(429, error) == waiting(9))
    #expect(outcome(200, error) == waiting(9))
    #expect(outcome(429, "busy", retryAfter: "soon") == waiting(1))
    #expect(outcome(429, "busy", retryAfter: "1e300") == waiting(3600))
    #expect(outcome(429, "busy", retryAfter: "-4") == waiting(1))
  }

  @Test("a node that says nothing, too much, or hangs up is an error in time")
  func badServers() async throws {
    func failure(
      within timeout: Duration = .seconds(60), _ behaviour: @escaping @Sendable (any Channel) -> Void
    ) async throws -> EndpointError? {
      let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(AnsweringHandler(behaviour))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      let endpoint = HTTPEndpoint(
        try EndpointURL("http://127.0.0.1:\(server.localAddress?.port ?? 0)"),
        limits: .init(timeout: timeout, connectTimeout: .seconds(60), largestReply: 1000))
      var failure: EndpointError?
      do { _ = try await endpoint.process(tenant: call.tenant, message: [:], data: nil) } catch { failure = error }
      await endpoint.shutdown()
      try await server.close()
      return failure
    }
    guard case .timedOut = try await failure(within: .milliseconds(300), { _ in }) else {
      Issue.record("silence is a time-out")
      return
    }
    guard case .unreachable = try await failure({ $0.close(promise: nil) }) else {
      Issue.record("hanging up is unreachable")
      return
    }
    let flood = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + String(repeating: "x", count: 5000)
    guard case .notADWN = try await failure({ $0.writeAndFlush(ByteBuffer(string: flood), promise: nil) }) else {
      Issue.record("a flood is no answer")
      return
    }
  }

  @Test("a name that nobody knows and a port that nobody has are unreachable")
  func unreachable() async throws {
    for text in ["http://127.0.0.1:1", "http://nobody.invalid:8787"] {
      let endpoint = HTTPEndpoint(try EndpointURL(text), limits: .init(timeout: .seconds(5)))
      do {
        _ = try await endpoint.process(tenant: call.tenant, message: [:], data: nil)
        Issue.record("\(text) answered")
      } catch {
        guard case .unreachable(let name, _) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(name == text)
      }
      await endpoint.shutdown()
    }
  }

  @Test("an endpoint that is dropped without a shutdown does no harm")
  func dropped() throws {
    _ = HTTPEndpoint(try EndpointURL("http://127.0.0.1:1"))
  }
}

/// Does something once the first bytes of a request are there.
private final class AnsweringHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private var behaviour: (@Sendable (any Channel) -> Void)?

  init(_ behaviour: @escaping @Sendable (any Channel) -> Void) {
    self.behaviour = behaviour
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    behaviour?(context.channel)
    behaviour = nil
  }
}
