import DWN
import Foundation
import Identity
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a browser sees of a node without a signature: what is published, and nothing else (dwn-server 11.4).
@Suite(.timeLimit(.minutes(10)))
struct PublicRoutesTests {
  private let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy()
    _ = try await tenancy.install(#"{"page": {"part": {}}}"#)
  }

  private func get(_ running: RunningServer, _ path: String) async throws -> String {
    try await running.exchange(
      "GET /\(tenancy.alice.did.text)/\(path) HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
  }

  @Test("a published record is read by its id and by its path, with its media type and what the node says of it")
  func records() async throws {
    let running = try await RunningServer.start(tenancy.node)
    let shown = try await tenancy.write(tenancy.alice, "page", published: true, data: #"{"a":1}"#)
    let hidden = try await tenancy.write(tenancy.alice, "page", data: #"{"secret":1}"#)
    let part = try await tenancy.write(tenancy.alice, "page/part", below: shown, published: true, data: #""part""#)
    let uri = Base64.encode(Array(TestTenancy.protocolURI.utf8))
    for (path, data) in [
      ("records/\(shown.recordID)", #"{"a":1}"#), ("read/records/\(shown.recordID)", #"{"a":1}"#),
      ("read/protocols/\(uri)/page", #"{"a":1}"#), ("read/protocols/\(uri)/page/part", #""part""#),
    ] {
      let answer = try await get(running, path)
      #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("\r\n\r\n\(data)"), "\(path): \(answer)")
      #expect(answer.contains("content-type: application/json\r\n") && answer.contains("dwn-response: {"))
      #expect(answer.contains("content-security-policy: sandbox"))
    }
    _ = part
    for path in [
      "records/\(hidden.recordID)", "records/x", "records", "read", "read/protocols/\(uri)/nothing",
      "read/protocols/!", "else", "",
    ] {
      let answer = try await get(running, path)
      #expect(answer.hasPrefix("HTTP/1.1 4") && !answer.contains("secret"), "\(path): \(answer)")
    }
    await running.server.shutdown()
  }

  @Test("a record's media type cannot smuggle in headers, nor be a page that acts for the server")
  func mediaType() async throws {
    let running = try await RunningServer.start(tenancy.node)
    var draft = tenancy.draft("page", published: true, data: "<script>")
    draft.dataFormat = "text/html\r\nset-cookie: a=b"
    let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    if try await tenancy.send(write.signed, data: draft.data).status.code == 202 {
      let answer = try await get(running, "records/\(write.recordID)")
      #expect(!answer.contains("\r\nset-cookie"), "\(answer)")
      #expect(answer.contains("content-type: application/octet-stream\r\n"))
    }
    await running.server.shutdown()
  }

  @Test("published definitions and records are listed and filtered by a query string")
  func queries() async throws {
    let running = try await RunningServer.start(tenancy.node)
    for number in 0..<3 { _ = try await tenancy.write(tenancy.alice, "page", published: true, data: "\(number)") }
    _ = try await tenancy.write(tenancy.alice, "page", data: #"{"secret":1}"#)
    let uri = TestTenancy.protocolURI.replacing("/", with: "%2F").replacing(":", with: "%3a")
    let all = try await get(running, "query?filter.protocol=\(uri)&filter.protocolPath=page")
    #expect(all.components(separatedBy: #""recordId""#).count == 4 && !all.contains("secret"), "\(all)")
    let two = try await get(
      running, "query?filter.protocol=\(uri)&pagination.limit=2&dateSort=createdDescending")
    #expect(two.components(separatedBy: #""recordId""#).count == 3 && two.contains(#""cursor""#), "\(two)")
    let protocols = try await get(running, "query/protocols")
    #expect(protocols.contains("\r\n\r\n[{") && protocols.contains(TestTenancy.protocolURI), "\(protocols)")
    let encoded = Base64.encode(Array(TestTenancy.protocolURI.utf8))
    #expect(try await get(running, "read/protocols/\(encoded)").contains("ProtocolsConfigure") == false)
    #expect(try await get(running, "read/protocols/\(encoded)").contains(#""interface":"Protocols""#))
    for query in ["x", "else=1", "filter..a=1", "filter=%ff", "a.b.c.d.e=1"] {
      #expect(try await get(running, "query?" + query).hasPrefix("HTTP/1.1 400"), "\(query)")
    }
    await running.server.shutdown()
  }
}
