import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// How much one author may have stored at a tenant that is somebody else (dwn-server 13, fair shares).
@Suite(.timeLimit(.minutes(10)))
struct GuestShareTests {
  private static let structure = """
    {"box": {"note": {"$actions": [{"who": "anyone", "can": ["create", "update", "delete"]}]}}}
    """

  /// What guests of the tenant have room for, all together.
  private func tenancy(messages: Int, bytes: Int = 1 << 30) async throws -> (TestTenancy, box: RecordsWrite) {
    var limits = NodeLimits()
    limits.guestsOfNamed = TenantQuota(messages: messages, bytes: bytes)
    limits.recordsByStranger = .max
    let tenancy = try TestTenancy(limits: limits)
    #expect(try await tenancy.install(Self.structure).status.code == 202)
    return (tenancy, try await tenancy.write(tenancy.alice, "box"))
  }

  /// Writes notes until one is refused.
  private func fill(
    _ tenancy: TestTenancy, _ box: RecordsWrite, _ author: Person, data: String = "{}"
  ) async throws -> (notes: [RecordsWrite], refusal: String) {
    var notes: [RecordsWrite] = []
    while notes.count < 1000 {
      let draft = tenancy.draft("box/note", below: box, data: data)
      let write = author.signer.recordsWrite(draft, at: tenancy.tick())
      let status = try await tenancy.status(write.signed, data: draft.data)
      guard status == "202" else { return (notes, status) }
      notes.append(write)
    }
    return (notes, "none")
  }

  @Test(
    "one author alone has half of the guests' room, and however many fill their part, the next one finds some"
  )
  func messages() async throws {
    let (tenancy, box) = try await tenancy(messages: 60)
    var counts: [Int] = []
    for name in ["bob", "carol", "dave", "erin"] {
      let (notes, refusal) = try await fill(tenancy, box, Person(name))
      #expect(refusal == "429 TenantMessageQuotaExceeded")
      counts.append(notes.count)
    }
    #expect(counts == [30, 15, 7, 4])
    #expect(try await tenancy.attempt(tenancy.alice, tenancy.draft("box")) == "202", "the tenant has its own room")
  }

  @Test("the same holds for bytes; what an author takes away gives room again, to all")
  func bytes() async throws {
    let (tenancy, box) = try await tenancy(messages: 1000, bytes: 600_000)
    let data = "\"" + String(repeating: "x", count: 20_000) + "\""
    let (bobs, refusal) = try await fill(tenancy, box, tenancy.bob, data: data)
    #expect(refusal == "429 TenantStorageQuotaExceeded")
    #expect((12...14).contains(bobs.count), "half of 29 messages, each with its text")
    let more = data + String(repeating: " ", count: 20_000)
    #expect(try await tenancy.attempt(tenancy.bob, updating: bobs[0], data: more) == "429 TenantStorageQuotaExceeded")
    #expect(try await tenancy.attempt(tenancy.bob, updating: bobs[0], data: "{}") == "202", "it got smaller")
    let carols = try await fill(tenancy, box, tenancy.carol, data: data).notes
    #expect((6...8).contains(carols.count))
    for note in bobs[1...8] {
      let end = tenancy.bob.signer.recordsDelete(note.recordID, prune: false, at: tenancy.tick())
      #expect(try await tenancy.status(end) == "202")
    }
    #expect(try await fill(tenancy, box, tenancy.carol, data: data).notes.count >= 2)
  }

  @Test("after a restart each author has what it had, and no more")
  func reopened() async throws {
    let (tenancy, box) = try await tenancy(messages: 20)
    let notes = try await fill(tenancy, box, tenancy.bob).notes
    #expect(notes.count == 10)
    await tenancy.node.close()
    var limits = NodeLimits()
    limits.guestsOfNamed = TenantQuota(messages: 20, bytes: 1 << 30)
    let again = try DWNNode(databasePath: tenancy.databasePath, tenants: [tenancy.alice.did], limits: limits)
    let draft = tenancy.draft("box/note", below: box)
    for (author, code) in [(tenancy.bob, 429), (tenancy.carol, 202)] {
      let write = author.signer.recordsWrite(draft, at: tenancy.tick())
      let reply = try await again.process(tenant: tenancy.alice.did, message: write.message.value, data: draft.data)
      #expect(reply.status.code == code, "\(reply.status)")
    }
    await again.close()
  }
}
