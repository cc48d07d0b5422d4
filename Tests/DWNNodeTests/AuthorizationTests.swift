import DWN
import Foundation
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Who may do what by the rules of a protocol (dwn-server 6.3, 6.4), and who is a tenant.
@Suite(.timeLimit(.minutes(10)))
struct AuthorizationTests {
  let tenancy: TestTenancy
  static let refused = "401 ProtocolAuthorizationActionNotAllowed"

  init() async throws {
    tenancy = try TestTenancy()
    let reply = try await tenancy.install(
      """
      {"inbox": {"$actions": [{"who": "anyone", "can": ["create"]},
          {"who": "author", "of": "inbox", "can": ["create", "read", "update", "delete"]},
          {"who": "recipient", "can": ["co-update"]}]},
       "closed": {},
       "group": {"$actions": [{"who": "anyone", "can": ["read"]}],
         "member": {"$role": true, "$actions": [{"who": "author", "of": "group", "can": ["create", "co-delete"]}]},
         "note": {"$actions": [{"role": "group/member", "can": ["create", "read", "co-update", "co-delete"]},
             {"who": "recipient", "of": "group", "can": ["create", "update"]}]},
         "mail": {"$squash": true, "$actions": [{"who": "anyone", "can": ["squash"]}]},
         "branch": {"$actions": [{"who": "recipient", "of": "group", "can": ["create", "prune", "co-prune"]}],
           "leaf": {"$actions": [{"who": "recipient", "of": "group/branch", "can": ["create", "delete"]}]}}}}
      """)
    #expect(reply.status.code == 202, "\(reply.status)")
  }

  @Test("a DID that the node does not serve is refused with 401, whatever it asks")
  func tenantGate() async throws {
    let message = tenancy.bob.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick())
    let reply = try await tenancy.node.process(tenant: tenancy.bob.did, message: message.message.value, data: nil)
    #expect(reply.status == Reply.Status(401, "Not a registered tenant."))
  }

  @Test("changes must be signed")
  func unsigned() async throws {
    var json = tenancy.alice.signer.recordsDelete(RecordID("abc")!, prune: false, at: tenancy.tick()).message.json
    json["authorization"] = nil
    let reply = try await tenancy.node.process(tenant: tenancy.alice.did, message: .object(json), data: nil)
    #expect(reply.status.code == 400)
  }

  @Test("anyone may do what anyone can, and nothing beside")
  func anyone() async throws {
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("inbox")) == "202")
    #expect(
      try await tenancy.attempt(tenancy.bob, tenancy.draft("closed"))
        == "401 ProtocolAuthorizationActionRulesNotFound")
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("group")) == Self.refused)
  }

  @Test(
    "what anyone may create is bounded, until the tenant deals with some; the tenant's own and other places are not touched"
  )
  func room() async throws {
    let tenancy = try TestTenancy(limits: NodeLimits(recordsByAnyone: 2))
    let installed = try await tenancy.install(
      """
      {"box": {"$actions": [{"who": "anyone", "can": ["create"]}, {"who": "author", "of": "box", "can": ["create", "delete"]}]},
       "bag": {"$actions": [{"who": "anyone", "can": ["create"]}]}}
      """)
    #expect(installed.status.code == 202)
    let first = try await tenancy.write(tenancy.bob, "box")
    let second = try await tenancy.write(tenancy.carol, "box")
    let refusal = "429 RecordsWriteQuotaExceeded"
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("box")) == refusal)
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("bag")) == "202")
    #expect(try await tenancy.attempt(tenancy.alice, tenancy.draft("box")) == "202")

    let withdrawn = tenancy.carol.signer.recordsDelete(second.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(withdrawn) == "202")
    #expect(try await tenancy.attempt(tenancy.carol, tenancy.draft("box")) == refusal)
    let handled = tenancy.alice.signer.recordsDelete(first.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(handled) == "202")
    #expect(try await tenancy.attempt(tenancy.carol, tenancy.draft("box")) == "202")
  }

  @Test("what strangers take back themselves, and what they announce without data, holds no place for ever")
  func hiddenRoom() async throws {
    let clock = Mutex(WallTime(microseconds: 1_800_000_000_000_000))
    let tenancy = try TestTenancy(
      limits: NodeLimits(recordsByAnyone: 2), nodeTime: { clock.withLock { $0 } })
    let installed = try await tenancy.install(
      """
      {"box": {"$actions": [{"who": "anyone", "can": ["create"]}, {"who": "author", "of": "box", "can": ["create", "delete"]}]}}
      """)
    #expect(installed.status.code == 202)
    let empty = tenancy.bob.signer.recordsWrite(tenancy.draft("box"), at: tenancy.tick())
    #expect(try await tenancy.status(empty.signed) == "400 RecordsWriteMissingDataInPrevious")
    let own = tenancy.alice.signer.recordsWrite(tenancy.draft("box"), at: tenancy.tick())
    #expect(try await tenancy.status(own.signed) == "204", "the tenant's own may wait for its data")
    for _ in 0..<2 {
      let letter = try await tenancy.write(tenancy.bob, "box")
      let end = tenancy.bob.signer.recordsDelete(letter.recordID, prune: false, at: tenancy.tick())
      #expect(try await tenancy.status(end) == "202")
    }
    #expect(try await tenancy.attempt(tenancy.carol, tenancy.draft("box")) == "429 RecordsWriteQuotaExceeded")
    clock.withLock { $0 = $0 + .seconds(31 * 86_400) }
    #expect(try await tenancy.attempt(tenancy.carol, tenancy.draft("box")) == "202")
  }

  @Test("who holds a role is told to those alone who may give it")
  func holders() async throws {
    let tenancy = try TestTenancy()
    let installed = try await tenancy.install(
      #"{"room": {"member": {"$role": true, "$actions": [{"who": "author", "of": "room", "can": ["create"]}]}}}"#)
    #expect(installed.status.code == 202)
    let room = try await tenancy.write(tenancy.alice, "room")
    _ = try await tenancy.write(tenancy.alice, "room/member", below: room, to: tenancy.carol)
    for person in [tenancy.bob, tenancy.carol] {
      let draft = tenancy.draft("room/member", below: room, to: person)
      #expect(try await tenancy.attempt(tenancy.bob, draft) == Self.refused)
    }
    let again = tenancy.draft("room/member", below: room, to: tenancy.carol)
    #expect(try await tenancy.attempt(tenancy.alice, again) == "400 ProtocolAuthorizationDuplicateRoleRecipient")
  }

  @Test("one author has a share of the room that anyone has: beyond it is refused, and others still have theirs")
  func share() async throws {
    var limits = NodeLimits()
    limits.recordsByStranger = 2
    let tenancy = try TestTenancy(limits: limits)
    let installed = try await tenancy.install(
      """
      {"box": {"$actions": [{"who": "anyone", "can": ["create"]}, {"who": "author", "of": "box", "can": ["create", "update"]}]},
       "bag": {"$actions": [{"who": "anyone", "can": ["create"]}]}}
      """)
    #expect(installed.status.code == 202)
    let first = try await tenancy.write(tenancy.bob, "box")
    _ = try await tenancy.write(tenancy.bob, "box")
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("box")) == "429 RecordsWriteQuotaExceeded")
    #expect(try await tenancy.attempt(tenancy.bob, updating: first, data: "[1]") == "202")
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("bag")) == "202")
    #expect(try await tenancy.attempt(tenancy.carol, tenancy.draft("box")) == "202")
    let handled = tenancy.alice.signer.recordsDelete(first.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(handled) == "202")
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("box")) == "202")
  }

  @Test("the author of a record updates and deletes it, another author does not")
  func author() async throws {
    let letter = try await tenancy.write(tenancy.bob, "inbox")
    #expect(try await tenancy.attempt(tenancy.bob, updating: letter, data: "[1]") == "202")
    #expect(try await tenancy.attempt(tenancy.carol, updating: letter, data: "[2]") == Self.refused)
    let stranger = tenancy.carol.signer.recordsDelete(letter.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(stranger) == Self.refused)
    let pruning = tenancy.bob.signer.recordsDelete(letter.recordID, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(pruning) == Self.refused)
    let own = tenancy.bob.signer.recordsDelete(letter.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(own) == "202")
  }

  @Test("the recipient of a record co-updates it")
  func recipient() async throws {
    let letter = try await tenancy.write(tenancy.bob, "inbox", to: tenancy.carol)
    #expect(try await tenancy.attempt(tenancy.carol, updating: letter, data: "[1]") == "202")
  }

  @Test("author and recipient of an ancestor act below it, others do not")
  func ancestors() async throws {
    let group = try await tenancy.write(tenancy.alice, "group", to: tenancy.bob)
    let branch = try await tenancy.write(tenancy.bob, "group/branch", below: group, to: tenancy.carol)
    #expect(
      try await tenancy.attempt(tenancy.carol, tenancy.draft("group/branch", below: group, to: tenancy.carol))
        == Self.refused)
    let leaf = try await tenancy.write(tenancy.carol, "group/branch/leaf", below: branch)
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("group/branch/leaf", below: branch)) == Self.refused)
    let other = tenancy.bob.signer.recordsDelete(leaf.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(other) == Self.refused)
    let own = tenancy.carol.signer.recordsDelete(leaf.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(own) == "202")
    let prune = tenancy.bob.signer.recordsDelete(branch.recordID, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(prune) == "202")
  }

  @Test("a role allows what its rule says while its record lives, and only in its context")
  func roles() async throws {
    let group = try await tenancy.write(tenancy.alice, "group", to: tenancy.carol)
    let other = try await tenancy.write(tenancy.alice, "group")
    let membership = try await tenancy.write(tenancy.alice, "group/member", below: group, to: tenancy.bob)
    let note = try await tenancy.write(tenancy.bob, "group/note", below: group, role: "group/member")
    #expect(
      try await tenancy.attempt(tenancy.bob, tenancy.draft("group/note", below: other, role: "group/member"))
        == "401 ProtocolAuthorizationMatchingRoleRecordNotFound")
    #expect(
      try await tenancy.attempt(tenancy.carol, tenancy.draft("group/note", below: group, role: "group/member"))
        == "401 ProtocolAuthorizationMatchingRoleRecordNotFound")
    #expect(
      try await tenancy.attempt(tenancy.bob, tenancy.draft("group/note", below: group, role: "group/note"))
        == "401 ProtocolAuthorizationNotARole")
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("group/note", below: group)) == Self.refused)
    #expect(try await tenancy.attempt(tenancy.bob, updating: note, data: "[1]", role: "group/member") == "202")

    let end = tenancy.alice.signer.recordsDelete(membership.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(end) == "202")
    #expect(
      try await tenancy.attempt(tenancy.bob, updating: note, data: "[2]", role: "group/member")
        == "401 ProtocolAuthorizationMatchingRoleRecordNotFound")
  }

  @Test("whoever invokes a role is judged by the role's rules alone")
  func roleHidesOtherRules() async throws {
    let group = try await tenancy.write(tenancy.alice, "group", to: tenancy.bob)
    _ = try await tenancy.write(tenancy.alice, "group/member", below: group, to: tenancy.bob)
    #expect(
      try await tenancy.attempt(tenancy.bob, tenancy.draft("group/branch", below: group, role: "group/member"))
        == Self.refused)
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("group/branch", below: group)) == "202")
  }

  @Test("squash is allowed by squash or by create")
  func squash() async throws {
    let group = try await tenancy.write(tenancy.alice, "group")
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("group/mail", below: group, squash: true)) == "202")
    #expect(try await tenancy.attempt(tenancy.bob, tenancy.draft("group/mail", below: group)) == Self.refused)
  }

  @Test("reading by id follows publication, authorship, receipt, and then the rules")
  func reading() async throws {
    func read(_ reader: Person, _ write: RecordsWrite, role: ProtocolPath? = nil) async throws -> String {
      try await tenancy.status(
        reader.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick(), role: role))
    }
    let group = try await tenancy.write(tenancy.alice, "group")
    #expect(try await read(tenancy.carol, group) == "200")
    let closed = try await tenancy.write(tenancy.alice, "closed", to: tenancy.bob)
    #expect(try await read(tenancy.bob, closed) == "200")
    #expect(try await read(tenancy.carol, closed) == "401 ProtocolAuthorizationActionRulesNotFound")
    let open = try await tenancy.write(tenancy.alice, "closed", published: true)
    #expect(try await read(tenancy.carol, open) == "200")
    _ = try await tenancy.write(tenancy.alice, "group/member", below: group, to: tenancy.bob)
    let note = try await tenancy.write(tenancy.alice, "group/note", below: group)
    #expect(try await read(tenancy.bob, note, role: "group/member") == "200")
    #expect(try await read(tenancy.bob, note) == Self.refused)

    var unsigned = tenancy.bob.signer.recordsRead(RecordsFilter(recordID: group.recordID), at: tenancy.tick()).message
      .json
    unsigned["authorization"] = nil
    let reply = try await tenancy.node.process(tenant: tenancy.alice.did, message: .object(unsigned), data: nil)
    #expect(reply.status.code == 200)
  }

  @Test("a read of a deleted record is a 404 that carries the delete and the first write, for those who could read it")
  func readingDeleted() async throws {
    let record = try await tenancy.write(tenancy.alice, "closed", to: tenancy.bob)
    #expect(try await tenancy.attempt(tenancy.alice, updating: record, data: "[9]") == "202")
    let delete = tenancy.alice.signer.recordsDelete(record.recordID, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    let request = RecordsFilter(recordID: record.recordID)
    let reply = try await tenancy.send(tenancy.bob.signer.recordsRead(request, at: tenancy.tick()))
    #expect(reply.status.code == 404)
    #expect(reply.entry?.message == delete.message.value)
    #expect(reply.entry?.initialWrite == record.message.value)
    let stranger = try await tenancy.send(tenancy.carol.signer.recordsRead(request, at: tenancy.tick()))
    #expect(stranger.status.code == 401)
    #expect(stranger.entry == nil)
  }

  @Test("nothing visible is an empty answer; a role that is not held is a 401")
  func queries() async throws {
    let group = try await tenancy.write(tenancy.alice, "group")
    _ = try await tenancy.write(tenancy.alice, "group/note", below: group, data: "1")
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "group/note", contextID: group.contextID)
    #expect(try await tenancy.query(tenancy.bob, filter) == [])
    let invoked = tenancy.bob.signer.recordsQuery(filter, at: tenancy.tick(), role: "group/member")
    #expect(try await tenancy.status(invoked) == "401 ProtocolAuthorizationMatchingRoleRecordNotFound")
    _ = try await tenancy.write(tenancy.alice, "group/member", below: group, to: tenancy.bob)
    #expect(try await tenancy.query(tenancy.bob, filter, role: "group/member") == ["1"])
    let branches = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "group/branch", contextID: group.contextID)
    let unreadable = tenancy.bob.signer.recordsQuery(branches, at: tenancy.tick(), role: "group/member")
    #expect(try await tenancy.status(unreadable) == Self.refused)
    let contextless = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "group")
    let noContext = tenancy.bob.signer.recordsQuery(contextless, at: tenancy.tick(), role: "group/member")
    #expect(try await tenancy.status(noContext) == "401 ProtocolAuthorizationMissingContextId")
  }

  @Test("a query that no answer could be right for is refused")
  func malformedQueries() async throws {
    let nested = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "group/note")
    #expect(
      try await tenancy.status(tenancy.alice.signer.recordsQuery(nested, at: tenancy.tick()))
        == "400 RecordsQueryNestedProtocolPathContextIdInvalid")
    let pathless = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    #expect(
      try await tenancy.status(tenancy.bob.signer.recordsQuery(pathless, at: tenancy.tick(), role: "group/member"))
        == "400 RecordsQueryFilterMissingRequiredProperties")
    var unpublished = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    unpublished.published = false
    #expect(
      try await tenancy.status(
        tenancy.alice.signer.recordsQuery(unpublished, sort: .publishedAscending, at: tenancy.tick()))
        == "400 RecordsQueryParseFilterPublishedSortInvalid")
    var unsigned = tenancy.bob.signer.recordsQuery(unpublished, at: tenancy.tick()).message.json
    unsigned["authorization"] = nil
    let reply = try await tenancy.node.process(tenant: tenancy.alice.did, message: .object(unsigned), data: nil)
    #expect(reply.status.code == 401)
  }
}
