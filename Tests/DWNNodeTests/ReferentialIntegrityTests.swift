import DWN
import Foundation
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// The table of dwn-server 6.2, row by row. The tenant writes, so that authorization plays no part.
@Suite(.timeLimit(.minutes(10)))
struct ReferentialIntegrityTests {
  let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy()
    let reply = try await tenancy.install(
      """
      {"root": {"$actions": [{"who": "anyone", "can": ["read"]}],
        "plain": {},
        "typed": {},
        "secret": {},
        "member": {"$role": true},
        "sized": {"$size": {"min": 3, "max": 5}},
        "tagged": {"$tags": {"$requiredTags": ["kind"], "kind": {"type": "string", "enum": ["a", "b"]}}},
        "fixed": {"$immutable": true},
        "squashed": {"$squash": true},
        "few": {"$recordLimit": {"max": 2, "strategy": "reject"},
          "part": {"$recordLimit": {"max": 2, "strategy": "reject"}}},
        "recent": {"$recordLimit": {"max": 2, "strategy": "purgeOldest"}}}}
      """,
      types: [
        "typed": #"{"schema": "https://example.org/schema", "dataFormats": ["application/json"]}"#,
        "secret": #"{"encryptionRequired": false}"#,
      ])
    #expect(reply.status.code == 202, "\(reply.status)")
  }

  private func root() async throws -> RecordsWrite { try await tenancy.write(tenancy.alice, "root") }

  @Test("a protocol that is not installed takes nothing")
  func protocolNotInstalled() async throws {
    var draft = tenancy.draft("root")
    draft.protocolURI = "https://example.org/other"
    #expect(try await tenancy.attempt(tenancy.alice, draft) == "400 ProtocolAuthorizationProtocolNotFound")
  }

  @Test("a type that is not declared is refused")
  func undeclaredType() async throws {
    #expect(
      try await tenancy.attempt(tenancy.alice, tenancy.draft("nothing")) == "400 ProtocolAuthorizationInvalidType")
  }

  @Test("schema and data format are those of the type")
  func typeForm() async throws {
    let root = try await root()
    let wrong = tenancy.draft("root/typed", below: root, schema: "https://example.org/elsewhere")
    #expect(try await tenancy.attempt(tenancy.alice, wrong) == "400 ProtocolAuthorizationInvalidSchema")
    var format = tenancy.draft("root/typed", below: root, schema: "https://example.org/schema")
    format.dataFormat = "text/plain"
    #expect(try await tenancy.attempt(tenancy.alice, format) == "400 ProtocolAuthorizationIncorrectDataFormat")
    let right = tenancy.draft("root/typed", below: root, schema: "https://example.org/schema")
    #expect(try await tenancy.attempt(tenancy.alice, right) == "202")
  }

  @Test("a type that must be encrypted takes no clear text")
  func encryptionRequired() async throws {
    let uri = "https://example.org/secret"
    let key =
      #"{"rootKeyId": "a", "publicKeyJwk": {"kty": "OKP", "crv": "X25519", "x": "n4zSUj1Wf3YHBZlAkRI_LrpXq9P9MaPR32eEwdpjAU8"}}"#
    let reply = try await tenancy.install(
      #"{"note": {"$encryption": \#(key)}}"#, types: ["note": #"{"encryptionRequired": true}"#], uri: uri)
    #expect(reply.status.code == 202, "\(reply.status)")
    var draft = tenancy.draft("note")
    draft.protocolURI = uri
    #expect(try await tenancy.attempt(tenancy.alice, draft) == "400 ProtocolAuthorizationEncryptionRequired")
    draft.encryption = ["recipients": ["x"]]
    #expect(try await tenancy.attempt(tenancy.alice, draft) == "202")
  }

  @Test("encryption where it is not required is taken")
  func encryptionAllowed() async throws {
    var draft = tenancy.draft("root")
    draft.encryption = ["recipients": ["x"]]
    #expect(try await tenancy.attempt(tenancy.alice, draft) == "202")
  }

  @Test("a record below another has a parent, which is here and alive and stands right above")
  func parent() async throws {
    let root = try await root()
    let elsewhere = ContextID(root: RecordID("bafyreifygrvbscmdvrhkbvmrrjge7ogpozgdiyfes5k5fufh2rh2xz6wd4")!)
    var orphan = tenancy.draft("root/plain")
    orphan.parent = elsewhere
    #expect(try await tenancy.attempt(tenancy.alice, orphan) == "400 ProtocolAuthorizationParentRecordNotFound")
    let plain = try await tenancy.write(tenancy.alice, "root/plain", below: root)
    var misplaced = tenancy.draft("root/plain")
    misplaced.parent = plain.contextID
    // Two segments of path and three of context contradict each other before any rule is asked.
    misplaced.path = "root/plain/plain"
    #expect(try await tenancy.attempt(tenancy.alice, misplaced) == "400 ProtocolAuthorizationMissingRuleSet")

    let delete = tenancy.alice.signer.recordsDelete(root.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    let late = tenancy.draft("root/plain", below: root)
    #expect(try await tenancy.attempt(tenancy.alice, late) == "400 ProtocolAuthorizationParentRecordNotFound")
  }

  @Test("a parent at another path than the one above is refused")
  func wrongParentPath() async throws {
    let reply = try await tenancy.install(
      #"{"a": {"c": {}}, "b": {"c": {}}}"#, uri: "https://example.org/two")
    #expect(reply.status.code == 202)
    var parent = tenancy.draft("a")
    parent.protocolURI = "https://example.org/two"
    let a = tenancy.alice.signer.recordsWrite(parent, at: tenancy.tick())
    #expect(try await tenancy.status(a.signed, data: parent.data) == "202")
    var child = tenancy.draft("b/c", below: a)
    child.protocolURI = "https://example.org/two"
    #expect(try await tenancy.attempt(tenancy.alice, child) == "400 ProtocolAuthorizationIncorrectProtocolPath")
  }

  @Test("a role record has a recipient, who holds the role once below each parent")
  func roles() async throws {
    let root = try await root()
    let nobody = tenancy.draft("root/member", below: root)
    #expect(try await tenancy.attempt(tenancy.alice, nobody) == "400 ProtocolAuthorizationRoleMissingRecipient")
    let bob = try await tenancy.write(tenancy.alice, "root/member", below: root, to: tenancy.bob)
    let again = tenancy.draft("root/member", below: root, to: tenancy.bob, data: "[]")
    #expect(try await tenancy.attempt(tenancy.alice, again) == "400 ProtocolAuthorizationDuplicateRoleRecipient")
    #expect(try await tenancy.attempt(tenancy.alice, updating: bob, data: "[1]") == "202")
    _ = try await tenancy.write(tenancy.alice, "root/member", below: try await self.root(), to: tenancy.bob)
    _ = try await tenancy.write(tenancy.alice, "root/member", below: root, to: tenancy.carol)

    let delete = tenancy.alice.signer.recordsDelete(bob.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await tenancy.attempt(tenancy.alice, again) == "202")
  }

  @Test(
    "$size bounds the data",
    arguments: [
      ("12", "400 ProtocolAuthorizationMinSizeInvalid"), ("123", "202"), ("12345", "202"),
      ("123456", "400 ProtocolAuthorizationMaxSizeInvalid"),
    ])
  func size(data: String, status: String) async throws {
    let root = try await root()
    #expect(try await tenancy.attempt(tenancy.alice, tenancy.draft("root/sized", below: root, data: data)) == status)
  }

  @Test(
    "$tags bounds the tags",
    arguments: [
      ("", "400 ProtocolAuthorizationTagsInvalidSchema"), (#"{"kind": "a"}"#, "202"),
      (#"{"kind": "c"}"#, "400 ProtocolAuthorizationTagsInvalidSchema"),
      (#"{"kind": "a", "other": 1}"#, "400 ProtocolAuthorizationTagsInvalidSchema"),
    ])
  func tags(tags: String, status: String) async throws {
    let root = try await root()
    let draft = tenancy.draft("root/tagged", below: root, tags: (try? JSONValue(parsing: tags))?.object)
    #expect(try await tenancy.attempt(tenancy.alice, draft) == status)
  }

  @Test("$immutable forbids later writes")
  func immutable() async throws {
    let root = try await root()
    let fixed = try await tenancy.write(tenancy.alice, "root/fixed", below: root)
    #expect(
      try await tenancy.attempt(tenancy.alice, updating: fixed, data: "[]")
        == "400 ProtocolAuthorizationImmutableRecord")
  }

  @Test("squash needs $squash; the record that it made can be updated")
  func squash() async throws {
    let root = try await root()
    let plain = tenancy.draft("root/plain", below: root, squash: true)
    #expect(try await tenancy.attempt(tenancy.alice, plain) == "400 ProtocolAuthorizationSquashNotEnabled")
    let record = try await tenancy.write(tenancy.alice, "root/squashed", below: root, squash: true)
    #expect(try await tenancy.attempt(tenancy.alice, updating: record, data: "[]") == "202")
    let other = try await tenancy.write(tenancy.alice, "root/squashed", below: root)
    var later = RecordDraft(updating: other, data: [0x31])
    later.squash = true
    #expect(try await tenancy.attempt(tenancy.alice, later) == "400 ProtocolAuthorizationSquashNotInitialWrite")
  }

  @Test("$recordLimit with purgeOldest keeps the newest")
  func recordLimit() async throws {
    let root = try await root()
    for number in 1...4 { _ = try await tenancy.write(tenancy.alice, "root/recent", below: root, data: "\(number)") }
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "root/recent", contextID: root.contextID)
    #expect(try await tenancy.query(tenancy.alice, filter) == ["3", "4"])
  }

  @Test("$recordLimit with reject takes all and shows the oldest, and the next once there is room")
  func occupancy() async throws {
    let root = try await root()
    var written: [RecordsWrite] = []
    for number in 1...4 {
      written.append(try await tenancy.write(tenancy.alice, "root/few", below: root, data: "\(number)"))
    }
    _ = try await tenancy.write(tenancy.alice, "root/few", below: try await self.root(), data: "elsewhere")
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "root/few", contextID: root.contextID)
    #expect(try await tenancy.query(tenancy.alice, filter) == ["1", "2"])
    func read(_ write: RecordsWrite) async throws -> String {
      try await tenancy.status(
        tenancy.alice.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick()))
    }
    #expect(try await read(written[1]) == "200")
    #expect(try await read(written[2]) == "404")
    let above = tenancy.alice.signer.recordsQuery(
      RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "root/few/part", contextID: root.contextID),
      at: tenancy.tick())
    #expect(try await tenancy.status(above) == "400 RecordsRecordLimitAncestorScopeUnsupported")
    let delete = tenancy.alice.signer.recordsDelete(written[0].recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await tenancy.query(tenancy.alice, filter) == ["2", "3"])
    #expect(try await read(written[2]) == "200")
  }

  @Test("data beyond the node's own bound is refused whatever the protocol says")
  func largestData() async throws {
    let small = try TestTenancy(limits: NodeLimits(largestData: 10))
    #expect(try await small.install(#"{"root": {}}"#).status.code == 202)
    #expect(
      try await small.attempt(small.alice, small.draft("root", data: "12345678901"))
        == "413 RecordDataSizeLimitExceeded")
    #expect(try await small.attempt(small.alice, small.draft("root", data: "1234567890")) == "202")
  }
}
