import NIOCore
import NIOPosix
import TestSupport
import Testing
import Wire

@testable import Engine
@testable import Traversal

@Suite("HTTP as routers speak it")
struct GatewayHTTPTests {
  private func body(_ text: String) -> String? {
    GatewayHTTP.body(of: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test("a body has the length that is said, or ends where the connection does, or comes in chunks")
  func bodies() {
    #expect(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc") == "ab")
    #expect(body("HTTP/1.0 200 OK\r\n\r\nabc") == "abc")
    #expect(
      body("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na;x=1\r\n0123456789\r\n0\r\n\r\n")
        == "abc0123456789")
  }

  @Test(
    "what is cut off, malformed, or says something else is no body",
    arguments: [
      "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
      "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ])
  func nonsense(_ text: String) {
    #expect(body(text) == nil)
  }

  /// What a request to a router that sends these bytes, again and again or once, ends with.
  private func exchange(sending text: String, isEndless: Bool = false, closes: Bool = true) async throws -> [UInt8]? {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer {
        $0.pipeline.addHandler(Sender(ByteBuffer(string: text), isEndless: isEndless, closes: closes))
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let port = UInt16(listener.localAddress?.port ?? 0)
    let gateway = try #require(IPAddress("127.0.0.1"))
    let request = PortMapper.HTTPRequest(id: 1, port: port, path: "/", soapAction: nil, body: [])
    let answer = await withCheckedContinuation { done in
      let didStart = onDetachedThread { done.resume(returning: GatewayHTTP.exchange(request, with: gateway)) }
      if !didStart { done.resume(returning: nil) }
    }
    try await listener.close()
    return answer
  }

  @Test("a router that answers is heard, and one that hangs up, stalls, trickles or pours is given up")
  func misbehaves() async throws {
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    #expect(try await exchange(sending: good) == Array("abc".utf8))
    #expect(try await exchange(sending: good, closes: false) == Array("abc".utf8), "it need not hang up")
    #expect(try await exchange(sending: "") == nil)
    #expect(try await exchange(sending: "", closes: false) == nil)
    #expect(try await exchange(sending: String(good.prefix(30)), closes: false) == nil)
    let page = String(repeating: "x", count: 10_000)
    #expect(try await exchange(sending: page, isEndless: true) == nil)
    #expect(try await exchange(sending: "HTTP/1.1 200 OK\r\n\r\n" + page, isEndless: true) == nil)
  }
}

/// Sends bytes to whoever asked.
private final class Sender: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let bytes: ByteBuffer
  private let isEndless: Bool
  private let closes: Bool

  init(_ bytes: ByteBuffer, isEndless: Bool, closes: Bool) {
    self.bytes = bytes
    self.isEndless = isEndless
    self.closes = closes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let (channel, sent) = (context.channel, context.eventLoop.makePromise(of: Void.self))
    if closes, !isEndless { sent.futureResult.whenComplete { _ in channel.close(promise: nil) } }
    context.writeAndFlush(wrapOutboundOut(bytes), promise: sent)
    if isEndless { channel.pour(bytes) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
