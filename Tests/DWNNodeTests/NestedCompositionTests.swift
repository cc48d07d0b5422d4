import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Protocols that hang their records below nested records of another one: a context then has more segments than its path has levels
/// (dwn-server 6.7).
@Suite(.timeLimit(.minutes(10)))
struct NestedCompositionTests {
  let tenancy: TestTenancy
  private var alice: Person { tenancy.alice }
  private var bob: Person { tenancy.bob }
  private var carol: Person { tenancy.carol }

  static let forums = "https://example.org/forums"
  static let comments = "https://example.org/comments"
  static let marks = "https://example.org/marks"

  /// `forum/thread` of the forums is the root of the comments, and `thread/comment` of those is the root of the marks.
  private static let structures = [
    forums: """
    {"forum": {"$actions": [{"who": "anyone", "can": ["create"]}],
      "thread": {"$actions": [{"who": "anyone", "can": ["create"]}], "member": {"$role": true}}}}
    """,
    comments: """
    {"thread": {"$ref": "forums:forum/thread",
      "comment": {"$actions": [
        {"role": "forums:forum/thread/member", "can": ["create", "read", "co-delete"]},
        {"who": "author", "of": "forums:forum", "can": ["create"]},
        {"who": "author", "of": "thread", "can": ["read"]}]},
      "helper": {"$role": true},
      "hint": {"$actions": [{"role": "thread/helper", "can": ["create", "read"]}]},
      "state": {"$squash": true}, "newest": {"$recordLimit": {"max": 1, "strategy": "purgeOldest"}},
      "first": {"$recordLimit": {"max": 1, "strategy": "reject"}}}}
    """,
    marks: #"{"comment": {"$ref": "comments:thread/comment", "mark": {}}}"#,
  ]

  let forum: RecordsWrite
  let thread: RecordsWrite

  init() async throws {
    tenancy = try TestTenancy()
    for uri in [Self.forums, Self.comments, Self.marks] {
      #expect(try await Self.install(try #require(Self.structures[uri]), uri, tenancy) == "202")
    }
    forum = try await Self.write(tenancy, tenancy.bob, Self.forums, "forum")
    thread = try await Self.write(tenancy, tenancy.carol, Self.forums, "forum/thread", below: forum)
  }

  private static func install(_ structure: String, _ uri: String, _ tenancy: TestTenancy) async throws -> String {
    var definition = try tenancy.definition(structure, uri: uri).object ?? [:]
    definition["uses"] = ["forums": .string(forums), "comments": .string(comments)]
    if uri == comments { definition["uses"] = ["forums": .string(forums)] }
    if uri == forums { definition["uses"] = nil }
    return try await tenancy.status(tenancy.alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick()))
  }

  private static func draft(
    _ tenancy: TestTenancy, _ uri: String, _ path: ProtocolPath, below parent: RecordsWrite? = nil,
    to recipient: Person? = nil, data: String = "{}"
  ) -> RecordDraft {
    var draft = tenancy.draft(path, below: parent, to: recipient, data: data)
    draft.protocolURI = uri
    return draft
  }

  /// What must be accepted.
  private static func write(
    _ tenancy: TestTenancy, _ author: Person, _ uri: String, _ path: ProtocolPath, below parent: RecordsWrite? = nil,
    to recipient: Person? = nil, data: String = "{}"
  ) async throws -> RecordsWrite {
    let draft = draft(tenancy, uri, path, below: parent, to: recipient, data: data)
    let write = author.signer.recordsWrite(draft, at: tenancy.tick())
    let status = try await tenancy.status(write.signed, data: draft.data)
    guard status == "202" else { throw TestTenancy.Unexpected(text: "\(path): \(status)") }
    return write
  }

  private func write(
    _ author: Person, _ path: ProtocolPath, in uri: String = comments, below parent: RecordsWrite? = nil,
    to recipient: Person? = nil, data: String = "{}"
  ) async throws -> RecordsWrite {
    try await Self.write(tenancy, author, uri, path, below: parent, to: recipient, data: data)
  }

  private func attempt(
    _ author: Person, _ path: ProtocolPath, in uri: String = comments, below parent: RecordsWrite, role: String? = nil
  ) async throws -> String {
    let draft = Self.draft(tenancy, uri, path, below: parent)
    let write = author.signer.recordsWrite(draft, at: tenancy.tick())
    return try await tenancy.status(
      role.map { try author.invoking($0, write.signed) } ?? write.message.value, data: draft.data)
  }

  private func status(_ filter: RecordsFilter, _ reader: Person, role: String? = nil) async throws -> String {
    let query = reader.signer.recordsQuery(filter, at: tenancy.tick())
    return try await tenancy.status(role.map { try reader.invoking($0, query) } ?? query.message.value)
  }

  private func filter(_ path: ProtocolPath, below context: ContextID?, uri: String = comments) -> RecordsFilter {
    RecordsFilter(protocolURI: uri, path: path, contextID: context)
  }

  @Test("a context has all segments of the other protocol's record, over any number of protocols")
  func depths() async throws {
    let comment = try await write(alice, "thread/comment", below: thread)
    #expect(comment.contextID.segments == [forum.recordID, thread.recordID, comment.recordID])
    let mark = try await write(alice, "comment/mark", in: Self.marks, below: comment)
    #expect(mark.contextID.depth == 4 && mark.path.depth == 2)
  }

  @Test("the parent is a record of the other protocol at the path that is named, with its whole context")
  func parents() async throws {
    #expect(
      try await attempt(alice, "thread/comment", below: forum) == "400 ProtocolAuthorizationIncorrectProtocolPath")
    #expect(
      try await attempt(alice, "comment/mark", in: Self.marks, below: thread)
        == "400 ProtocolAuthorizationCrossProtocolParentNotFound")
    var shortened = Self.draft(tenancy, Self.comments, "thread/comment")
    shortened.parent = ContextID(root: thread.recordID)
    #expect(try await tenancy.attempt(alice, shortened) == "400 ProtocolAuthorizationIncorrectContextId")
    let elsewhere = try await write(bob, "forum", in: Self.forums)
    shortened.parent = ContextID(elsewhere.contextID, thread.recordID)
    #expect(try await tenancy.attempt(alice, shortened) == "400 ProtocolAuthorizationIncorrectContextId")
    let end = alice.signer.recordsDelete(thread.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(end) == "202")
    #expect(
      try await attempt(alice, "thread/comment", below: thread)
        == "400 ProtocolAuthorizationCrossProtocolParentNotFound")
  }

  @Test("authors of all ancestors, and holders of the other protocol's nested roles, act by the rules")
  func rights() async throws {
    let refused = "401 ProtocolAuthorizationActionNotAllowed"
    #expect(try await attempt(bob, "thread/comment", below: thread) == "202", "the forum is bob's")
    #expect(try await attempt(carol, "thread/comment", below: thread) == refused)
    let role = "forums:forum/thread/member"
    let unheld = "401 ProtocolAuthorizationMatchingRoleRecordNotFound"
    #expect(try await attempt(carol, "thread/comment", below: thread, role: role) == unheld)
    _ = try await write(alice, "forum/thread/member", in: Self.forums, below: thread, to: carol)
    #expect(try await attempt(carol, "thread/comment", below: thread, role: role) == "202")
    let other = try await write(bob, "forum/thread", in: Self.forums, below: forum)
    #expect(try await attempt(carol, "thread/comment", below: other, role: role) == unheld)

    let comment = try await write(alice, "thread/comment", below: thread)
    func read(_ reader: Person) async throws -> String {
      try await tenancy.status(
        reader.signer.recordsRead(RecordsFilter(recordID: comment.recordID), at: tenancy.tick()))
    }
    #expect(try await read(carol) == "200", "the thread is carol's")
    #expect(try await read(bob) == refused)
    let query = filter("thread/comment", below: thread.contextID)
    #expect(try await status(query, carol, role: role) == "200")
    #expect(
      try await status(filter("thread/comment", below: forum.contextID), carol, role: role)
        == "401 ProtocolAuthorizationMissingContextId")
    let end = carol.signer.recordsDelete(comment.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(try carol.invoking(role, end)) == "202")
  }

  @Test("a role below another protocol's nested record holds there and nowhere else")
  func ownRole() async throws {
    let other = try await write(bob, "forum/thread", in: Self.forums, below: forum)
    _ = try await write(alice, "thread/helper", below: thread, to: carol)
    let role = "thread/helper"
    #expect(try await attempt(carol, "thread/hint", below: thread, role: role) == "202")
    #expect(
      try await attempt(carol, "thread/hint", below: other, role: role)
        == "401 ProtocolAuthorizationMatchingRoleRecordNotFound")
    #expect(try await status(filter("thread/hint", below: thread.contextID), carol, role: role) == "200")
    let again = Self.draft(tenancy, Self.comments, "thread/helper", below: thread, to: carol)
    #expect(try await tenancy.attempt(alice, again) == "400 ProtocolAuthorizationDuplicateRoleRecipient")
  }

  @Test(
    "queries, counts and subscriptions below any ancestor find what is there, in every order",
    arguments: [DateSort.createdAscending, .createdDescending, .updatedAscending, .updatedDescending])
  func queries(sort: DateSort) async throws {
    let other = try await write(bob, "forum/thread", in: Self.forums, below: forum)
    let follower = try await tenancy.subscribe(alice, filter("thread/comment", below: forum.contextID))
    for (parent, text) in [(thread, "1"), (other, "2"), (thread, "3")] {
      _ = try await write(alice, "thread/comment", below: parent, data: text)
    }
    func found(_ filter: RecordsFilter) async throws -> [String] {
      let query = alice.signer.recordsQuery(filter, sort: sort, at: tenancy.tick())
      let reply = try await tenancy.send(query)
      let count = try await tenancy.send(alice.signer.recordsCount(filter, at: tenancy.tick()))
      #expect(count.members["count"]?.integer == Int64(reply.entries.count))
      return reply.entries.map { String(decoding: $0.data ?? [], as: UTF8.self) }
    }
    func inOrder(_ texts: [String]) -> [String] { sort.isAscending ? texts : texts.reversed() }
    #expect(try await found(filter("thread/comment", below: forum.contextID)) == inOrder(["1", "2", "3"]))
    #expect(try await found(filter("thread/comment", below: thread.contextID)) == inOrder(["1", "3"]))
    let byParent = RecordsFilter(protocolURI: Self.comments, path: "thread/comment", parentID: other.recordID)
    #expect(try await found(byParent) == ["2"])
    #expect(try await follower.next(3) == ["1", "2", "3"])
    follower.source.close()
  }

  @Test("a filter's context is no deeper than the records of its path")
  func nesting() async throws {
    let comment = try await write(alice, "thread/comment", below: thread)
    let mark = try await write(alice, "comment/mark", in: Self.marks, below: comment)
    let tooDeep = "400 RecordsQueryNestedProtocolPathContextIdInvalid"
    #expect(try await status(filter("thread/comment", below: comment.contextID), alice) == "200")
    #expect(try await status(filter("thread/comment", below: mark.contextID), alice) == tooDeep)
    #expect(try await status(filter("thread/comment", below: nil), alice) == tooDeep)
    #expect(try await status(filter("comment/mark", below: mark.contextID, uri: Self.marks), alice) == "200")
    #expect(try await status(filter("forum/thread", below: comment.contextID, uri: Self.forums), alice) == tooDeep)
    #expect(
      try await status(filter("forum/thread", below: comment.contextID, uri: "https://x.org/y"), alice) == tooDeep)
    let anywhere = RecordsFilter(path: "thread/comment", contextID: comment.contextID)
    #expect(try await status(anywhere, alice) == tooDeep, "without a protocol there is nothing but the path to go by")
  }

  @Test("a limit on records, and a squash, are about siblings; what they show and erase is below one parent")
  func siblings() async throws {
    let other = try await write(bob, "forum/thread", in: Self.forums, below: forum)
    for path in ["thread/first", "thread/newest", "thread/state"] as [ProtocolPath] {
      for text in ["1", "2"] {
        for parent in [thread, other] { _ = try await write(alice, path, below: parent, data: text) }
      }
    }
    var squash = Self.draft(tenancy, Self.comments, "thread/state", below: thread, data: "3")
    squash.squash = true
    #expect(try await tenancy.attempt(alice, squash) == "202")
    func shown(_ path: ProtocolPath, below parent: RecordsWrite) async throws -> [String] {
      try await tenancy.query(alice, filter(path, below: parent.contextID))
    }
    #expect(try await shown("thread/first", below: thread) == ["1"])
    #expect(try await shown("thread/newest", below: thread) == ["2"])
    #expect(try await shown("thread/state", below: thread) == ["3"])
    #expect(try await shown("thread/state", below: other) == ["1", "2"])
    #expect(
      try await status(filter("thread/first", below: forum.contextID), alice)
        == "400 RecordsRecordLimitAncestorScopeUnsupported")
  }

  @Test("a prune of any ancestor takes what other protocols have below it, a delete leaves it")
  func pruning() async throws {
    let comment = try await write(alice, "thread/comment", below: thread)
    _ = try await write(alice, "comment/mark", in: Self.marks, below: comment)
    func left() async throws -> Int {
      var count = 0
      for uri in [Self.comments, Self.marks] {
        count += try await tenancy.query(alice, RecordsFilter(protocolURI: uri)).count
      }
      return count
    }
    let delete = alice.signer.recordsDelete(thread.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await left() == 2)
    let prune = alice.signer.recordsDelete(forum.recordID, prune: true, at: tenancy.tick())
    #expect(try await tenancy.status(prune) == "202")
    #expect(try await left() == 0)
  }

  @Test("records outlive the definition by which they stood deeper")
  func redefinition() async throws {
    _ = try await write(alice, "thread/comment", below: thread, data: "deep")
    let flat = #"{"thread": {"$ref": "forums:forum", "comment": {}}}"#
    #expect(try await Self.install(flat, Self.comments, tenancy) == "202")
    _ = try await write(alice, "thread/comment", below: forum, data: "flat")
    for context in [forum.contextID, thread.contextID] {
      let found = try await tenancy.query(alice, filter("thread/comment", below: context))
      #expect(found == (context == forum.contextID ? ["deep", "flat"] : ["deep"]))
    }
  }

  @Test("protocols that are each other's base hold no records, and ask for no end of definitions")
  func circle() async throws {
    let round = """
      {"forum": {"$actions": [{"who": "anyone", "can": ["create"]}]},
       "comment": {"$ref": "comments:thread/comment", "thread": {}}}
      """
    var definition = try tenancy.definition(round, uri: Self.forums).object ?? [:]
    definition["uses"] = ["comments": .string(Self.comments)]
    let forums = alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick())
    #expect(try await tenancy.status(forums) == "202")
    let back = """
      {"thread": {"$ref": "forums:comment/thread", "comment": {}, "helper": {"$role": true},
        "hint": {"$actions": [{"role": "thread/helper", "can": ["read"]}]}}}
      """
    #expect(try await Self.install(back, Self.comments, tenancy) == "202")
    #expect(
      try await attempt(alice, "thread/comment", below: thread) == "400 ProtocolAuthorizationIncorrectProtocolPath")
    #expect(
      try await status(filter("thread/hint", below: thread.contextID), bob, role: "thread/helper")
        == "401 ProtocolAuthorizationMissingContextId")
  }

  @Test(
    "an encrypted record below another protocol's nested one is encrypted to the role's audience in its own context")
  func encryption() async throws {
    let pathKey = X25519PrivateKey(random: SeededRandom(1))
    let agreement: JSONObject = ["publicKeyJwk": PublicJWK.x25519(pathKey.publicKey).json]
    let key = "\"$keyAgreement\": \(JSONValue.object(agreement).text)"
    var definition =
      try tenancy.definition(
        """
        {"thread": {"$ref": "forums:forum/thread", "helper": {\(key), "$role": true},
          "hint": {\(key), "$actions": [{"role": "thread/helper", "can": ["create", "read"]}]}}}
        """, types: ["hint": #"{"encryptionRequired": true}"#], uri: "https://example.org/sealed"
      ).object ?? [:]
    definition["$keyAgreement"] = .object(agreement)
    definition["uses"] = ["forums": .string(Self.forums)]
    let configure = alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick())
    #expect(try await tenancy.status(configure) == "202")

    let uri = "https://example.org/sealed"
    let random = SeededRandom(7)
    let other = try await write(bob, "forum/thread", in: Self.forums, below: forum)
    func audience(_ context: ContextID) throws -> AudienceName {
      try #require(AudienceName(protocolURI: uri, rolePath: "thread/helper", contextID: context))
    }
    let stray = try AudienceRecord.mint(audience(forum.contextID), roleKey: pathKey.publicKey, random: random)
    #expect(
      try await tenancy.attempt(alice, stray.record.draft) == "400 EncryptionControlValidateAudienceContextIdInvalid")
    let minted = try AudienceRecord.mint(audience(thread.contextID), roleKey: pathKey.publicKey, random: random)
    #expect(try await tenancy.attempt(alice, minted.record.draft) == "202")
    _ = try await write(alice, "thread/helper", in: uri, below: thread, to: carol)
    let (envelope, ciphertext) = try V1Envelope.seal(
      Array("hello".utf8),
      to: [
        V1Envelope.Recipient(pathKey.publicKey, .protocolPath),
        V1Envelope.Recipient(
          minted.key.publicKey, .roleAudience(protocolURI: uri, rolePath: "thread/helper")),
      ], random: random)
    for (parent, expected) in [(thread, "202"), (other, "400 ProtocolAuthorizationEncryptionRoleAudienceMissing")] {
      var hint = Self.draft(tenancy, uri, "thread/hint", below: parent)
      hint.encryption = envelope.json
      hint.data = ciphertext
      #expect(try await tenancy.attempt(alice, hint) == expected)
    }
    let delivery = try DeliveryRecord(audience(thread.contextID), key: minted.key)
      .draft(to: carol.did, key: pathKey.publicKey, random: random)
    #expect(try await tenancy.attempt(alice, delivery) == "202")
  }
}

extension Person {
  /// The message with a role in what is signed, be it one of another protocol.
  func invoking(_ role: String, _ message: SignedMessage) throws -> JSONValue {
    var json = message.message.json
    let signature = try GeneralJWS(json["authorization"]?["signature"] ?? .null)
    var payload = try JSONValue(parsing: signature.payloadBytes).object ?? [:]
    payload["protocolRole"] = .string(role)
    json["authorization"] = [
      "signature": GeneralJWS.sign(JSONValue.object(payload).encoded, with: signer.identity).json
    ]
    return .object(json)
  }
}
