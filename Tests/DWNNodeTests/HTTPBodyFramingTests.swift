import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Requests whose JSON stands in the body (dwn-server 11.1).
@Suite(.timeLimit(.minutes(1)))
struct HTTPBodyFramingTests {
  private func frame(_ json: String, flag: UInt8, data: [UInt8] = [], length: Int? = nil) -> [UInt8] {
    let text = Array(json.utf8)
    let length = length ?? text.count
    return [flag] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * (3 - $0))) } + text + data
  }

  @Test("flag, length, JSON, data; the flag tells no data from data without bytes")
  func split() throws {
    let plain = try #require(BodyFraming.split(frame("{}", flag: 0)))
    #expect(Array(plain.json) == Array("{}".utf8) && plain.data == nil)
    #expect(BodyFraming.split(frame("{}", flag: 1))?.data == [])
    #expect(BodyFraming.split(frame("{}", flag: 1, data: [1, 2]))?.data == [1, 2])
  }

  @Test("lengths that lie, unknown flags and data that was not announced are refused")
  func refused() {
    for bytes in [
      [], [0, 0, 0], frame("{}", flag: 2), frame("{}", flag: 0, data: [1]), frame("{}", flag: 0, length: 3),
      frame("", flag: 0), frame("{}", flag: 1, length: BodyFraming.largestJSON + 1), frame("{}", flag: 0, length: -1),
    ] {
      #expect(BodyFraming.split(bytes) == nil, "\(bytes)")
    }
  }

  @Test("the content type names it, with its version")
  func contentType() {
    #expect(BodyFraming.isNamed(by: "application/vnd.enbox.dwn-rpc; version=1"))
    #expect(BodyFraming.isNamed(by: "Application/vnd.Enbox.DWN-rpc;version=\"1\""))
    #expect(!BodyFraming.isNamed(by: "application/vnd.enbox.dwn-rpc"))
    #expect(!BodyFraming.isNamed(by: "application/vnd.enbox.dwn-rpc; version=2"))
    #expect(!BodyFraming.isNamed(by: "application/octet-stream"))
  }

  @Test("a record is written in this framing")
  func write() async throws {
    let tenancy = try TestTenancy()
    _ = try await tenancy.install(#"{"box": {}}"#)
    let running = try await RunningServer.start(tenancy.node)
    let draft = tenancy.draft("box", data: "hello")
    let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    let call: JSONValue = [
      "jsonrpc": "2.0", "id": "1", "method": "dwn.processMessage",
      "params": ["target": .string(tenancy.alice.did.text), "message": write.message.value],
    ]
    let body = String(decoding: frame(call.text, flag: 1, data: draft.data), as: UTF8.self)
    let head =
      "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
      + "content-type: application/vnd.enbox.dwn-rpc; version=1\r\ncontent-length: \(body.utf8.count)\r\n"
    #expect(try await running.exchange(head + "\r\n" + body).contains(#""code":202"#))
    let both = try await running.exchange(head + "dwn-request: {}\r\n\r\n" + body)
    #expect(both.hasPrefix("HTTP/1.1 400 "), "a request in both framings is none")
    #expect(
      try await running.exchange("GET /info HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").contains(#"["body-v1"]"#)
    )
    await running.server.shutdown()
  }
}
