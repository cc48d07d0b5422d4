import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What is left of records that were deleted, and what it counts for (dwn-server 13).
@Suite(.timeLimit(.minutes(10)))
struct RemainsTests {
  private static let structure = """
    {"role": {"$role": true}, "box": {"item": {},
      "note": {"$actions": [{"who": "anyone", "can": ["create", "update", "delete"]}]}}}
    """
  private let tenancy: TestTenancy

  init() throws { tenancy = try TestTenancy() }

  /// A node whose tenants all have a quota.
  private func node(_ quota: TenantQuota) async throws -> DWNNode {
    var limits = NodeLimits()
    limits.quota = quota
    limits.writesOfOthers = nil
    let path = tenancy.folder.appendingPathComponent("\(UUID().uuidString).sqlite").path
    let node = try DWNNode(databasePath: path, tenants: .open, limits: limits)
    let definition = try tenancy.definition(Self.structure)
    let configure = tenancy.alice.signer.protocolsConfigure(definition, at: tenancy.tick())
    #expect(try await send(configure, node) == "202")
    return node
  }

  private func send(_ message: SignedMessage, _ node: DWNNode, data: [UInt8]? = nil) async throws -> String {
    let reply = try await node.process(tenant: tenancy.alice.did, message: message.message.value, data: data)
    return reply.status.isSuccess
      ? "\(reply.status.code)" : "\(reply.status.code) \(reply.status.detail.prefix { $0 != ":" })"
  }

  private func write(
    _ node: DWNNode, _ path: ProtocolPath, below parent: RecordsWrite? = nil, to recipient: Person? = nil,
    by author: Person? = nil
  ) async throws -> (status: String, RecordsWrite) {
    let draft = tenancy.draft(path, below: parent, to: recipient)
    let write = (author ?? tenancy.alice).signer.recordsWrite(draft, at: tenancy.tick())
    return (try await send(write.signed, node, data: draft.data), write)
  }

  private func delete(_ node: DWNNode, _ record: RecordsWrite, prune: Bool = false) async throws -> String {
    try await send(tenancy.alice.signer.recordsDelete(record.recordID, prune: prune, at: tenancy.tick()), node)
  }

  @Test("a tenant that has reached its quota writes again once it deleted something", arguments: [false, true])
  func again(prune: Bool) async throws {
    let node = try await node(TenantQuota(messages: 6, bytes: 1 << 20))
    for _ in 0..<10 {
      var boxes: [RecordsWrite] = []
      for _ in 0..<5 {
        let (status, box) = try await write(node, "box")
        #expect(status == "202")
        boxes.append(box)
      }
      #expect(try await write(node, "box").status == "429 TenantMessageQuotaExceeded")
      for box in boxes { #expect(try await delete(node, box, prune: prune) == "202") }
    }
    await node.close()
  }

  @Test("strangers' records that were dealt with and deleted take nobody's place, and none of them is taken again")
  func strangers() async throws {
    let node = try await node(TenantQuota(messages: 20, bytes: 60_000))
    let (_, box) = try await write(node, "box")
    var notes: [RecordsWrite] = []
    var refusal = ""
    for number in 0..<200 where refusal.isEmpty {
      let (status, note) = try await write(node, "box/note", below: box, by: Person("stranger\(number % 7)"))
      guard status == "202" else {
        refusal = status
        break
      }
      notes.append(note)
      #expect(try await delete(node, note) == "202")
    }
    #expect(notes.count > 20, "more than there may be at once")
    #expect(refusal == "429 TenantStorageQuotaExceeded", "what is left of them is bounded, too")
    for note in notes { #expect(try await send(note.signed, node, data: Array("{}".utf8)).hasPrefix("4")) }
    #expect(try await delete(node, box, prune: true) == "202")
    let (_, other) = try await write(node, "box")
    #expect(try await write(node, "box/note", below: other, by: Person("stranger")).status == "202")
    await node.close()
  }

  @Test("a role that the tenant took away is never given back by a copy, and a tenant with too many deletes prunes")
  func ownRecords() async throws {
    let node = try await node(TenantQuota(messages: 100, bytes: 60_000))
    let (_, role) = try await write(node, "role", to: tenancy.bob)
    #expect(try await delete(node, role) == "202")
    let (_, box) = try await write(node, "box")
    var refusal = ""
    for _ in 0..<100 where refusal.isEmpty {
      let (status, item) = try await write(node, "box/item", below: box)
      guard status == "202" else {
        refusal = status
        break
      }
      #expect(try await delete(node, item) == "202")
    }
    #expect(refusal == "429 TenantStorageQuotaExceeded")
    #expect(try await send(role.signed, node, data: Array("{}".utf8)).hasPrefix("4"))
    #expect(try await delete(node, box, prune: true) == "202")
    #expect(try await write(node, "box").status == "202")
    #expect(try await send(role.signed, node, data: Array("{}".utf8)).hasPrefix("4"))
    await node.close()
  }
}
