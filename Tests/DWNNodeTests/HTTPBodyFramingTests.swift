import DWN
import Identity
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Requests whose JSON stands in the body (dwn-server 11.1).
@Suite(.timeLimit(.minutes(10)))
struct HTTPBodyFramingTests {
  private func frame(_ json: String, flag: UInt8, data: [UInt8] = [], length: Int? = nil) -> [UInt8] {
    let text = Array(json.utf8)
    let length = length ?? text.count
    return [flag] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * (3 - $0))) } + text + data
  }

  /// What becomes of a body that comes in pieces of a length.
  private func take(_ bytes: [UInt8], pieces: Int) -> (BodyIntake.Step, json: [UInt8]?, data: [UInt8]?) {
    var intake = BodyIntake(isFramed: true, limit: 10, storesBeyond: 4)
    var stored: [UInt8] = []
    func settle(_ step: BodyIntake.Step) -> BodyIntake.Step {
      var step = step
      while case .store(let piece) = step {
        stored += piece
        step = intake.stored()
      }
      return step
    }
    for start in stride(from: 0, to: bytes.count, by: pieces) {
      let step = settle(intake.receive(ByteBuffer(bytes: bytes[start..<min(start + pieces, bytes.count)])))
      guard step == .wait else { return (step, nil, nil) }
    }
    let step = settle(intake.end())
    return (step, intake.json, intake.hasData == true ? stored + intake.takeData() : nil)
  }

  @Test(
    "flag, length, JSON, data, however they are cut; the flag tells no data from data without bytes", arguments: 1...12)
  func split(pieces: Int) {
    let plain = take(frame("{}", flag: 0), pieces: pieces)
    #expect(plain.0 == .whole && plain.json == Array("{}".utf8) && plain.data == nil)
    #expect(take(frame("{}", flag: 1), pieces: pieces).data == [])
    for count in [1, 4, 5, 10] {
      let data = (0..<count).map { UInt8($0) }
      #expect(take(frame("{}", flag: 1, data: data), pieces: pieces).data == data)
    }
    #expect(take(frame("{}", flag: 1, data: [UInt8](repeating: 0, count: 11)), pieces: pieces).0 == .tooLarge)
  }

  @Test("lengths that lie, unknown flags and data that was not announced are refused", arguments: [1, 3, 100])
  func refused(pieces: Int) {
    for bytes in [
      [], [0, 0, 0], frame("{}", flag: 2), frame("{}", flag: 0, data: [1]), frame("{}", flag: 0, length: 3),
      frame("", flag: 0), frame("{}", flag: 1, length: BodyFraming.largestJSON + 1), frame("{}", flag: 0, length: -1),
    ] {
      #expect(take(bytes, pieces: pieces).0 == .malformed, "\(bytes)")
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
