import Testing
import Traversal
import Wire

@testable import Engine

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
}
