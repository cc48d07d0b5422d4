import DWN
import Identity
import Testing
import Wire

@testable import DWNNode

/// Protocols that hang their records below those of another one, and go by its roles (dwn-server 6.7, 7.1).
@Suite(.timeLimit(.minutes(10)))
struct CompositionTests {
  let tenancy: TestTenancy
  private var alice: Person { tenancy.alice }
  private var bob: Person { tenancy.bob }
  private var carol: Person { tenancy.carol }
  static let threads = "https://example.org/threads"
  static let comments = "https://example.org/comments"

  init() throws { tenancy = try TestTenancy() }

  private func definition(_ structure: String, uses: JSONObject) throws -> JSONValue {
    var definition = try tenancy.definition(structure, uri: Self.comments).object ?? [:]
    definition["uses"] = .object(uses)
    return .object(definition)
  }

  private func configure(_ definition: JSONValue) async throws -> String {
    try await tenancy.status(alice.signer.protocolsConfigure(definition, at: tenancy.tick()))
  }

  private func installThreads() async throws {
    let reply = try await tenancy.install(
      """
      {"thread": {"$actions": [{"who": "anyone", "can": ["create"]}], "member": {"$role": true}},
       "other": {"$actions": [{"who": "anyone", "can": ["create"]}]}}
      """, uri: Self.threads)
    #expect(reply.status.code == 202)
  }

  private func installComments() async throws {
    let comments = try definition(
      """
      {"thread": {"$ref": "threads:thread", "comment": {"$actions": [
         {"role": "threads:thread/member", "can": ["create", "read", "co-delete"]},
         {"who": "author", "of": "threads:thread", "can": ["create"]},
         {"who": "author", "of": "thread/comment", "can": ["create", "update"]}]}}}
      """, uses: ["threads": .string(Self.threads)])
    #expect(try await configure(comments) == "202")
  }

  private func write(
    _ author: Person, _ uri: String, _ path: ProtocolPath, below parent: RecordsWrite? = nil,
    to recipient: Person? = nil,
    role: String? = nil
  ) async throws -> (String, RecordsWrite) {
    var draft = tenancy.draft(path, below: parent, to: recipient)
    draft.protocolURI = uri
    let write = author.signer.recordsWrite(draft, at: tenancy.tick())
    let json = try role.map { try author.invoking($0, write.signed) } ?? write.message.value
    return (try await tenancy.status(json, data: draft.data), write)
  }

  @Test(
    "a composed definition names what it uses, and hangs its records below those of it at its own roots alone",
    arguments: [
      (#"{"a": {}}"#, ["1x": "https://example.org/threads"], "400 ProtocolsConfigureInvalidUsesAlias"),
      (#"{"a": {}}"#, ["x": "HTTPS://Example.org"], "400 ProtocolsConfigureInvalidUsesProtocolUrl"),
      (#"{"a": {}}"#, ["x": 1], "400 ProtocolsConfigureInvalidUsesProtocolUrl"),
      (#"{"a": {}}"#, ["x": "https://example.org/comments"], "400 ProtocolsConfigureInvalidUsesSelfReference"),
      (#"{"a": {}}"#, ["x": "https://example.org/absent"], "400 ProtocolsConfigureComposedProtocolNotInstalled"),
      (#"{"a": {}}"#, ["x": "https://example.org/threads"], "202"),
      (#"{"a": {}}"#, ["x": "https://identity.foundation/dwn/permissions"], "202"),
      (#"{"a": {"$ref": "y:thread"}}"#, ["x": "https://example.org/threads"], "400 ProtocolsConfigureInvalidRefAlias"),
      (#"{"a": {"$ref": "thread"}}"#, ["x": "https://example.org/threads"], "400 ProtocolsConfigureInvalidRefAlias"),
      (
        #"{"a": {"b": {"$ref": "x:thread"}}}"#, ["x": "https://example.org/threads"],
        "400 ProtocolsConfigureInvalidRefNotAtRoot"
      ),
      (
        #"{"a": {"$ref": "x:thread", "$size": {"max": 1}}}"#, ["x": "https://example.org/threads"],
        "400 ProtocolsConfigureInvalidRefNodeHasDirectives"
      ),
      (
        #"{"a": {"$actions": [{"role": "y:b", "can": ["read"]}]}}"#, ["x": "https://example.org/threads"],
        "400 ProtocolsConfigureInvalidCrossProtocolRole"
      ),
      (
        #"{"a": {"$actions": [{"who": "author", "of": "y:b", "can": ["read"]}]}}"#,
        ["x": "https://example.org/threads"], "400 ProtocolsConfigureInvalidCrossProtocolOf"
      ),
      (#"{"a": {"$ref": "x:thread/member"}}"#, ["x": "https://example.org/threads"], "202"),
    ] as [(String, JSONObject, String)])
  func definitions(structure: String, uses: JSONObject, expected: String) async throws {
    try await installThreads()
    #expect(try await configure(definition(structure, uses: uses)) == expected)
  }

  @Test("a record below one of another protocol needs that one as its parent")
  func parents() async throws {
    try await installThreads()
    try await installComments()
    let (_, thread) = try await write(bob, Self.threads, "thread")
    #expect(try await write(alice, Self.comments, "thread/comment", below: thread).0 == "202")
    let (_, other) = try await write(bob, Self.threads, "other")
    #expect(
      try await write(alice, Self.comments, "thread/comment", below: other).0
        == "400 ProtocolAuthorizationIncorrectProtocolPath")
    #expect(
      try await tenancy.install(#"{"thread": {}}"#).status.code == 202)
    let (_, stranger) = try await write(alice, TestTenancy.protocolURI, "thread")
    let missing = "400 ProtocolAuthorizationCrossProtocolParentNotFound"
    #expect(try await write(alice, Self.comments, "thread/comment", below: stranger).0 == missing)
    #expect(
      try await write(alice, Self.comments, "thread").0 == "400 ProtocolAuthorizationMissingRuleSet")
    let end = alice.signer.recordsDelete(thread.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(end) == "202")
    #expect(try await write(alice, Self.comments, "thread/comment", below: thread).0 == missing)
  }

  @Test("authors of ancestors and holders of roles of the other protocol act by the rules, others do not")
  func rights() async throws {
    try await installThreads()
    try await installComments()
    let (_, thread) = try await write(bob, Self.threads, "thread")
    let (_, second) = try await write(bob, Self.threads, "thread")
    #expect(try await write(bob, Self.comments, "thread/comment", below: thread).0 == "202")
    #expect(
      try await write(carol, Self.comments, "thread/comment", below: thread).0
        == "401 ProtocolAuthorizationActionNotAllowed")
    let role = "threads:thread/member"
    let unheld = "401 ProtocolAuthorizationMatchingRoleRecordNotFound"
    #expect(try await write(carol, Self.comments, "thread/comment", below: thread, role: role).0 == unheld)
    #expect(try await write(alice, Self.threads, "thread/member", below: thread, to: carol).0 == "202")
    #expect(try await write(carol, Self.comments, "thread/comment", below: thread, role: role).0 == "202")
    #expect(try await write(carol, Self.comments, "thread/comment", below: second, role: role).0 == unheld)
    for wrong in ["threads:thread", "nobody:thread/member", "thread/member", "threads:"] {
      #expect(
        try await write(carol, Self.comments, "thread/comment", below: thread, role: wrong).0
          == "401 ProtocolAuthorizationNotARole", "\(wrong)")
    }
    let filter = RecordsFilter(protocolURI: Self.comments, path: "thread/comment", contextID: thread.contextID)
    let query = carol.signer.recordsQuery(filter, at: tenancy.tick())
    #expect(try await tenancy.reply(try carol.invoking(role, query)).entries.count == 2)
    #expect(try await tenancy.send(query).entries.count == 1)
  }

  @Test("a prune reaches what other protocols have below a record")
  func pruning() async throws {
    try await installThreads()
    try await installComments()
    let (_, thread) = try await write(bob, Self.threads, "thread")
    #expect(try await write(alice, Self.comments, "thread/comment", below: thread).0 == "202")
    let prune = alice.signer.recordsDelete(thread.recordID, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(prune) == "202")
    #expect(try await tenancy.query(alice, RecordsFilter(protocolURI: Self.comments)).isEmpty)
  }
}
