import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// The messages of upstream's own client, in the order in which a network comes into being (dwn-conformance 5).
@Suite(
  .enabled(if: Fixtures.have("mesh/dwn-messages-v1.json"), Comment(rawValue: Fixtures.skipped)),
  .timeLimit(.minutes(10)))
struct UpstreamScriptTests {
  /// The status of every message, by its name.
  private func play(_ file: String) async throws -> [String: String] {
    let messages = try Fixtures.json(file)["messages"]?.array ?? []
    let tenant = try #require(messages.first?["target"]?.string.flatMap { DID($0) })
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("script-\(UUID().uuidString)")
    let node = try DWNNode(databasePath: folder.appendingPathComponent("node.sqlite").path, tenants: [tenant])
    var statuses: [String: String] = [:]
    for entry in messages {
      let name = entry["name"]?.string ?? "?"
      let data = entry["httpBody_b64u"]?.string.flatMap { Base64.decode($0) }
      let reply = try await node.process(tenant: tenant, message: try #require(entry["message"]), data: data)
      let code = reply.status.detail.split(separator: ":").first.map(String.init) ?? ""
      statuses[name] = reply.status.isSuccess ? "\(reply.status.code)" : "\(reply.status.code) \(code)"
    }
    await node.close()
    try? FileManager.default.removeItem(at: folder)
    return statuses
  }

  @Test("a network of version 1 comes into being, with its audiences, and is read by its machines")
  func version1() async throws {
    for (name, status) in try await play("mesh/dwn-messages-v1.json") where !name.hasPrefix("RecordsSubscribe") {
      let isRead = name.hasPrefix("RecordsRead") || name.contains("Query")
      #expect(status == (isRead ? "200" : "202"), "\(name)")
    }
  }

  @Test("of a network of the JWE time all is taken but the two writes that invoke a role where a machine is meant")
  func jwe() async throws {
    for (name, status) in try await play("mesh/dwn-messages-jwe.json") {
      if name.contains("by node-a (role network/node)") {
        #expect(status == "401 ProtocolAuthorizationActionNotAllowed", "\(name)")
      } else {
        #expect(status == (name.contains("Query") ? "200" : "202"), "\(name)")
      }
    }
  }
}
