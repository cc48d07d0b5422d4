import DWN
import Identity
import Testing
import Wire

@testable import DWNNode

/// What the holder of a grant may do at the node of whoever gave it (dwn-server 8.2 to 8.4).
@Suite(.timeLimit(.minutes(10)))
struct GrantTests {
  let tenancy: TestTenancy
  private var alice: Person { tenancy.alice }
  private var bob: Person { tenancy.bob }
  private var carol: Person { tenancy.carol }

  init() async throws {
    tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"a": {"b": {}}, "c": {}}"#).status.code == 202)
  }

  private func draft(
    _ path: ProtocolPath, below parent: RecordsWrite? = nil, by grant: HeldGrant? = nil, published: Bool? = nil
  ) -> RecordDraft {
    var draft = tenancy.draft(path, below: parent, published: published)
    draft.permissionGrantID = grant?.id
    return draft
  }

  private func write(
    _ author: Person, _ draft: RecordDraft, at time: WallTime? = nil
  ) async throws -> String {
    try await tenancy.status(author.signer.recordsWrite(draft, at: time ?? tenancy.tick()).signed, data: draft.data)
  }

  @Test("a grant to write covers its protocol, or one path of it, or what lies below one record")
  func writeScopes() async throws {
    let root = try await tenancy.write(alice, "a")
    let other = try await tenancy.write(alice, "a")
    let stem = "401 RecordsGrantAuthorization"
    let all = try await tenancy.grant(.records("Write"), to: bob)
    #expect(try await write(bob, draft("a", by: all)) == "202")
    #expect(try await write(bob, draft("a/b", below: root, by: all)) == "202")

    let path = try await tenancy.grant(.records("Write", at: "a"), to: bob)
    #expect(try await write(bob, draft("a", by: path)) == "202")
    #expect(try await write(bob, draft("c", by: path)) == stem + "ScopeProtocolPathMismatch")
    #expect(try await write(bob, draft("a/b", below: root, by: path)) == stem + "ScopeProtocolPathMismatch")

    let context = try await tenancy.grant(.records("Write", in: root.contextID), to: bob)
    #expect(try await write(bob, draft("a/b", below: root, by: context)) == "202")
    #expect(try await write(bob, draft("a/b", below: other, by: context)) == stem + "ScopeContextIdMismatch")

    let foreign = try await tenancy.grant(
      PermissionScope(.records, "Write", protocolURI: "https://example.org/other"), to: bob)
    #expect(try await write(bob, draft("a", by: foreign)) == stem + "ScopeProtocolMismatch")
  }

  @Test("a grant may want what is written to be published, or not to be")
  func publication() async throws {
    let required = try await tenancy.grant(.records("Write"), to: bob, publication: .required)
    let prohibited = try await tenancy.grant(.records("Write"), to: bob, publication: .prohibited)
    let stem = "401 RecordsGrantAuthorizationConditionPublication"
    #expect(try await write(bob, draft("a", by: required)) == stem + "Required")
    #expect(try await write(bob, draft("a", by: required, published: true)) == "202")
    #expect(try await write(bob, draft("a", by: prohibited, published: true)) == stem + "Prohibited")
    #expect(try await write(bob, draft("a", by: prohibited)) == "202")
  }

  @Test("a grant is for its holder, from the tenant, for its time, and for what it says")
  func baseChecks() async throws {
    let stem = "401 GrantAuthorization"
    let early = tenancy.tick()
    let end = early + .milliseconds(100)
    let grant = try await tenancy.grant(.records("Write"), to: bob, expires: end)
    #expect(try await write(bob, draft("a", by: grant)) == "202")
    #expect(try await write(carol, draft("a", by: grant)) == stem + "NotGrantedToAuthor")
    #expect(try await write(bob, draft("a", by: grant), at: early) == stem + "GrantNotYetActive")
    #expect(try await write(bob, draft("a", by: grant), at: end) == stem + "GrantExpired")

    var unknown = tenancy.draft("a")
    unknown.permissionGrantID = RecordID("bafynothing")
    #expect(try await write(bob, unknown) == stem + "GrantMissing")
    let record = try await tenancy.write(alice, "a", to: bob)
    unknown.permissionGrantID = record.recordID
    #expect(try await write(bob, unknown) == stem + "GrantMissing")

    let read = try await tenancy.grant(.records("Read"), to: bob)
    #expect(try await write(bob, draft("a", by: read)) == stem + "MethodMismatch")
    let configure = try await tenancy.grant(PermissionScope(.protocols, "Configure"), to: bob)
    #expect(try await write(bob, draft("a", by: configure)) == stem + "InterfaceMismatch")

    // A grant of somebody else that the tenant keeps.
    let foreign = tenancy.makeGrant(.records("Write"), to: bob, from: carol)
    #expect(try await tenancy.status(tenancy.owning(foreign.write.signed, by: alice), data: foreign.data) == "202")
    #expect(try await write(bob, draft("a", by: foreign)) == stem + "NotGrantedForTenant")

    let gone = tenancy.request(alice, .recordsDelete(RecordsDelete(grant.id, prune: true)))
    #expect(try await tenancy.status(gone) == "202")
    #expect(try await write(bob, draft("a", by: grant)) == stem + "GrantMissing")
  }

  @Test("a revocation ends a grant from its own time on, and what was let in by it after that goes")
  func revocation() async throws {
    let grant = try await tenancy.grant(.records("Write"), to: bob)
    let removing = try await tenancy.grant(.records("Delete"), to: bob)
    func written(_ name: String) async throws -> RecordsWrite {
      var draft = draft("a", by: grant)
      draft.data = Array("\"\(name)\"".utf8)
      let write = bob.signer.recordsWrite(draft, at: tenancy.tick())
      #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
      return write
    }
    let before = try await written("before")
    let time = tenancy.tick()
    let after = try await written("after")
    var update = RecordDraft(updating: before, data: Array("\"changed\"".utf8))
    update.permissionGrantID = grant.id
    let later = bob.signer.recordsWrite(update, at: tenancy.tick())
    #expect(try await tenancy.status(later.signed, data: update.data) == "202")
    var inner = draft("a/b", below: after, by: grant)
    inner.data = Array("1".utf8)
    let below = bob.signer.recordsWrite(inner, at: tenancy.tick())
    #expect(try await tenancy.status(below.signed, data: inner.data) == "202")
    let unharmed = try await tenancy.write(alice, "c")
    #expect(try await tenancy.query(alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)).count == 4)

    #expect(try await tenancy.store(tenancy.revocation(of: grant, at: time)) == "202")
    #expect(try await tenancy.query(alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)).count == 1)
    for (record, status) in [(after, "404"), (below, "404"), (unharmed, "200")] {
      let read = tenancy.request(alice, .recordsRead(RecordsRead(RecordsFilter(recordID: record.recordID))))
      #expect(try await tenancy.status(read) == status)
    }
    #expect(try await write(bob, draft("a", by: grant)) == "401 GrantAuthorizationGrantRevoked")
    // By its own time stamp this came before. Upstream takes it, too.
    #expect(try await write(bob, draft("a", by: grant), at: before.timestamp + .microseconds(1)) == "202")
    let delete = tenancy.request(
      bob, .recordsDelete(RecordsDelete(unharmed.recordID, prune: false, permissionGrantID: removing.id)))
    #expect(try await tenancy.status(delete) == "202")
  }

  @Test("a definition that a revoked grant let in gives way to the one before")
  func revokedDefinition() async throws {
    let grant = try await tenancy.grant(
      PermissionScope(.protocols, "Configure", protocolURI: TestTenancy.protocolURI), to: bob)
    let time = tenancy.tick()
    let definition = try tenancy.definition(#"{"x": {}}"#).object ?? [:]
    let swap = tenancy.request(bob, .protocolsConfigure(ProtocolsConfigure(definition, permissionGrantID: grant.id)))
    #expect(try await tenancy.status(swap) == "202")
    #expect(try await write(alice, draft("x")) == "202")
    #expect(try await tenancy.store(tenancy.revocation(of: grant, at: time)) == "202")
    #expect(try await write(alice, draft("x")) == "400 ProtocolAuthorizationInvalidType")
    #expect(try await write(alice, draft("a")) == "202")
    let query = try await tenancy.send(tenancy.request(carol, .protocolsQuery(ProtocolsQuery())))
    #expect(query.entries.map { $0.message["descriptor"]?["definition"]?["structure"]?["a"] != nil } == [true])
  }

  @Test(
    "a grant to read covers reads, queries and counts within its scope, and no key of an audience that is for others")
  func reading() async throws {
    let root = try await tenancy.write(alice, "a")
    let item = try await tenancy.write(alice, "a/b", below: root)
    let other = try await tenancy.write(alice, "c")
    let all = try await tenancy.grant(.records("Read"), to: bob)
    let path = try await tenancy.grant(.records("Read", at: "c"), to: bob)
    let context = try await tenancy.grant(.records("Read", in: root.contextID), to: bob)
    let older = try await tenancy.grant(.records("Query"), to: bob)
    func read(_ record: RecordsWrite, by grant: HeldGrant?) async throws -> String {
      let filter = RecordsFilter(recordID: record.recordID)
      return try await tenancy.status(
        tenancy.request(bob, .recordsRead(RecordsRead(filter, permissionGrantID: grant?.id))))
    }
    let stem = "401 RecordsGrantAuthorization"
    #expect(try await read(root, by: nil) == "401 ProtocolAuthorizationActionRulesNotFound")
    #expect(try await read(root, by: all) == "200")
    #expect(try await read(other, by: path) == "200")
    #expect(try await read(root, by: path) == stem + "ScopeProtocolPathMismatch")
    #expect(try await read(item, by: context) == "200")
    #expect(try await read(other, by: context) == stem + "ScopeContextIdMismatch")
    #expect(try await read(root, by: older) == "401 GrantAuthorizationMethodMismatch")

    func query(_ filter: RecordsFilter, by grant: HeldGrant?) async throws -> (String, Int) {
      let query = try await tenancy.send(
        tenancy.request(bob, .recordsQuery(RecordsQuery(filter, permissionGrantID: grant?.id))))
      if grant?.id != older.id {
        let count = try await tenancy.send(
          tenancy.request(bob, .recordsCount(RecordsCount(filter, permissionGrantID: grant?.id))))
        #expect(count.status.code == query.status.code)
        #expect(count.members["count"]?.integer.map { Int($0) } ?? 0 == query.entries.count)
      }
      return (TestTenancy.name(query.status), query.entries.count)
    }
    let uri = TestTenancy.protocolURI
    let mismatch = (stem + "QueryOrSubscribeProtocolScopeMismatch", 0)
    #expect(try await query(RecordsFilter(protocolURI: uri), by: nil) == ("200", 0))
    #expect(try await query(RecordsFilter(protocolURI: uri), by: all) == ("200", 3))
    #expect(try await query(RecordsFilter(protocolURI: uri), by: older) == ("200", 3))
    #expect(try await query(RecordsFilter(path: "c"), by: all) == mismatch)
    #expect(try await query(RecordsFilter(protocolURI: uri, path: "c"), by: path) == ("200", 1))
    #expect(try await query(RecordsFilter(protocolURI: uri), by: path) == mismatch)
    #expect(try await query(RecordsFilter(protocolURI: uri, contextID: root.contextID), by: context) == ("200", 2))
    #expect(try await query(RecordsFilter(protocolURI: uri, contextID: other.contextID), by: context) == mismatch)
    #expect(try await query(RecordsFilter(protocolURI: uri), by: context) == mismatch)
  }

  @Test("a grant to delete is no grant to write, and the reverse")
  func deleting() async throws {
    let record = try await tenancy.write(alice, "a")
    let delete = try await tenancy.grant(.records("Delete", at: "a"), to: bob)
    let write = try await tenancy.grant(.records("Write"), to: bob)
    let elsewhere = try await tenancy.grant(
      PermissionScope(.records, "Delete", protocolURI: "https://example.org/other"), to: bob)
    func attempt(_ grant: HeldGrant) async throws -> String {
      try await tenancy.status(
        tenancy.request(
          bob, .recordsDelete(RecordsDelete(record.recordID, prune: true, permissionGrantID: grant.id))))
    }
    #expect(try await attempt(write) == "401 GrantAuthorizationMethodMismatch")
    #expect(try await attempt(elsewhere) == "401 RecordsGrantAuthorizationDeleteProtocolScopeMismatch")
    #expect(try await attempt(delete) == "202")
  }

  @Test("a record that its author wrote by a grant is written on by another one")
  func updates() async throws {
    let first = try await tenancy.grant(.records("Write"), to: bob)
    let second = try await tenancy.grant(.records("Write"), to: bob)
    let start = draft("a", by: first)
    let record = bob.signer.recordsWrite(start, at: tenancy.tick())
    #expect(try await tenancy.status(record.signed, data: start.data) == "202")
    var update = RecordDraft(updating: record, data: Array("2".utf8))
    update.permissionGrantID = nil
    #expect(try await write(bob, update) == "401 ProtocolAuthorizationActionRulesNotFound")
    update.permissionGrantID = second.id
    #expect(try await write(bob, update) == "202")
  }

  @Test("protocols are installed and asked for by a grant for them")
  func protocols() async throws {
    let uri = "https://example.org/second"
    let scoped = try await tenancy.grant(PermissionScope(.protocols, "Configure", protocolURI: uri), to: bob)
    let query = try await tenancy.grant(PermissionScope(.protocols, "Query", protocolURI: uri), to: bob)
    func configure(_ uri: String, by grant: HeldGrant?) async throws -> String {
      let definition = try tenancy.definition(#"{"a": {}}"#, uri: uri, published: false).object ?? [:]
      return try await tenancy.status(
        tenancy.request(bob, .protocolsConfigure(ProtocolsConfigure(definition, permissionGrantID: grant?.id))))
    }
    #expect(try await configure(uri, by: nil) == "401 ProtocolsConfigureAuthorizationFailed")
    #expect(try await configure(uri, by: query) == "401 GrantAuthorizationMethodMismatch")
    #expect(
      try await configure("https://example.org/third", by: scoped)
        == "401 ProtocolsGrantAuthorizationScopeProtocolMismatch")
    #expect(try await configure(uri, by: scoped) == "202")
    func ask(_ uri: String?, by grant: HeldGrant?) async throws -> (String, Int) {
      let reply = try await tenancy.send(
        tenancy.request(bob, .protocolsQuery(ProtocolsQuery(protocolURI: uri, permissionGrantID: grant?.id))))
      return (TestTenancy.name(reply.status), reply.entries.count)
    }
    #expect(try await ask(uri, by: nil) == ("200", 0))
    #expect(try await ask(uri, by: query) == ("200", 1))
    #expect(try await ask(nil, by: query) == ("401 ProtocolsGrantAuthorizationQueryProtocolScopeMismatch", 0))
  }
}
