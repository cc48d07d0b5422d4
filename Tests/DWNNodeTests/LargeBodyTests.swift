import DWN
import DWNClient
import Foundation
import Identity
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Data larger than the memory that the server has for bodies, in and out over HTTP (dwn-server 11.1, 13).
@Suite(.timeLimit(.minutes(10)))
struct LargeBodyTests {
  private let tenancy: TestTenancy
  private let text = String(repeating: "0123456789abcdef", count: 200_000)

  init() async throws {
    tenancy = try TestTenancy(limits: NodeLimits(largestData: 4 << 20))
    #expect(
      try await tenancy.install(#"{"blob": {"$actions": [{"who": "anyone", "can": ["read"]}]}}"#).status.code == 202)
  }

  /// A server with room for 1.5 MB of bodies in memory.
  private func start(_ change: (inout ServerConfiguration) -> Void = { _ in }) async throws -> RunningServer {
    try await RunningServer.start(tenancy.node) {
      $0.bodyBudget = 3 << 19
      change(&$0)
    }
  }

  private func write(_ data: String) -> RecordsWrite {
    tenancy.alice.signer.recordsWrite(tenancy.draft("blob", data: data), at: tenancy.tick())
  }

  private func call(_ write: RecordsWrite, tenant: DID? = nil) -> String {
    let call: JSONValue = [
      "jsonrpc": "2.0", "id": "1", "method": "dwn.processMessage",
      "params": ["target": .string((tenant ?? tenancy.alice.did).text), "message": write.message.value],
    ]
    return call.text
  }

  private func head(_ more: String...) -> String {
    "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + more.map { $0 + "\r\n" }.joined() + "\r\n"
  }

  /// Large data that is on the disk, whether a message names it or not.
  private var files: Int {
    (try? FileManager.default.contentsOfDirectory(atPath: DataFolder.path(of: tenancy.databasePath)))?.count ?? 0
  }

  private func noFiles() async throws -> Bool {
    for _ in 0..<400 where files > 0 { try await Task.sleep(for: .milliseconds(20)) }
    return files == 0
  }

  @Test(
    "large data goes in and out, in each framing, with a length and without", arguments: ["header", "chunks", "body"])
  func roundTrip(framing: String) async throws {
    let running = try await start()
    let write = write(text)
    let json = call(write)
    let request =
      switch framing {
      case "header": head("dwn-request: \(json)", "content-length: \(text.utf8.count)") + text
      case "chunks":
        head("dwn-request: \(json)", "transfer-encoding: chunked") + String(text.utf8.count, radix: 16) + "\r\n" + text
          + "\r\n0\r\n\r\n"
      default:
        head(
          "content-type: application/vnd.enbox.dwn-rpc; version=1",
          "content-length: \(5 + json.utf8.count + text.utf8.count)")
          + String(
            decoding: [1] + (0..<4).map { UInt8(truncatingIfNeeded: json.utf8.count >> (8 * (3 - $0))) }, as: UTF8.self)
          + json + text
      }
    guard framing != "body" || json.utf8.count & 0x80 == 0 else {
      // The length would not be ASCII, which the text of this test is.
      return await running.server.shutdown()
    }
    let answer = try await running.exchange(request)
    #expect(answer.contains(#""code":202"#), "\(answer.prefix(500))")
    #expect(files == 1)
    let endpoint = HTTPEndpoint(try running.url)
    let read = tenancy.bob.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick())
    let reply = try await endpoint.process(tenant: tenancy.alice.did, message: read.message.value, data: nil)
    #expect(reply.entry?.data == Array(text.utf8))
    await endpoint.shutdown()
    await running.server.shutdown()
  }

  @Test("a body that stops half-way leaves nothing, be the connection closed or silent")
  func half() async throws {
    let running = try await start { $0.idleTimeout = .milliseconds(300) }
    let request = head("dwn-request: \(call(write(text)))", "content-length: \(text.utf8.count)") + text.prefix(2 << 20)
    let answer = try await running.exchange(request)
    #expect(answer.hasPrefix("HTTP/1.1 408 "), "\(answer.prefix(200))")
    #expect(try await noFiles())
    _ = try? await running.exchange(request, limit: .milliseconds(200))
    #expect(try await noFiles())
    await running.server.shutdown()
  }

  @Test("a body that crawls is heard no longer than a small one, until its signature shows whose it is")
  func crawling() async throws {
    let tenancy = try TestTenancy(limits: NodeLimits(largestData: 100 << 20))
    let running = try await RunningServer.start(tenancy.node) {
      $0.largestBody = 100 << 20
      $0.bodyTimeout = .milliseconds(100)
      $0.slowestRate = 1 << 20
    }
    let request = head("dwn-request: \(call(write(text)))", "content-length: \(90 << 20)") + text.prefix(2 << 10)
    let answer = try await running.exchange(request, limit: .seconds(45))
    #expect(answer.hasPrefix("HTTP/1.1 408 "), "\(answer.prefix(200))")
    await running.server.shutdown()
  }

  @Test("a length or a size that lies is refused, and leaves nothing")
  func lies() async throws {
    let running = try await start()
    let write = write(text)
    for sent in [text + "more", String(text.dropLast(3)), "x" + text.dropFirst()] {
      let answer = try await running.exchange(
        head("dwn-request: \(call(write))", "content-length: \(sent.utf8.count)") + sent)
      #expect(answer.contains("RecordsWriteData"), "\(answer.prefix(500))")
      #expect(try await noFiles())
    }
    let long = try await running.exchange(
      head("dwn-request: \(call(write))", "content-length: \((4 << 20) + 1)"))
    #expect(long.hasPrefix("HTTP/1.1 413 "), "\(long.prefix(200))")
    await running.server.shutdown()
  }

  @Test("data for somebody who is no tenant, or of no write, is refused before it has come")
  func early() async throws {
    let running = try await start()
    let length = "content-length: \(text.utf8.count)"
    let stranger = try await running.exchange(
      head("dwn-request: \(call(write(text), tenant: tenancy.bob.did))", length) + text.prefix(600_000))
    #expect(stranger.contains("Not a registered tenant."), "\(stranger.prefix(500))")
    let nothing = try await running.exchange(
      head("dwn-request: {}", length) + text.prefix(600_000))
    #expect(nothing.contains("-32600"), "\(nothing.prefix(500))")
    #expect(files == 0)
    await running.server.shutdown()
  }
}
