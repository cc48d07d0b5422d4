import DWN
import Identity
import Testing
import Wire

@testable import DWNNode

/// Which requests, grants and revocations a node takes (dwn-server 8.1), and which grant keys (10.5).
@Suite(.timeLimit(.minutes(10)))
struct PermissionRecordTests {
  let tenancy: TestTenancy

  init() throws { tenancy = try TestTenancy() }

  static let scope = PermissionScope.records("Read").json
  static let request: JSONValue = ["delegated": false, "scope": scope]
  static let grant: JSONValue = ["dateExpires": "2100-01-01T00:00:00.000000Z", "scope": scope]

  @Test("anyone asks, the tenant grants and revokes, and nobody else does")
  func whoWrites() async throws {
    let bob = tenancy.bob
    #expect(
      try await tenancy.store(tenancy.permission("request", by: bob, to: tenancy.alice, data: Self.request)) == "202")
    let grant = tenancy.makeGrant(.records("Read"), to: bob)
    #expect(try await tenancy.store(grant) == "202")
    let refused = "401 ProtocolAuthorizationActionNotAllowed"
    #expect(try await tenancy.store(tenancy.makeGrant(.records("Read"), to: bob, from: bob)) == refused)
    let revocation = tenancy.permission("grant/revocation", by: bob, below: grant.write, data: [:])
    #expect(try await tenancy.store(revocation) == refused)
    #expect(try await tenancy.store(tenancy.revocation(of: grant)) == "202")
  }

  @Test("nobody has to install the protocol, and a definition of it that somebody installs means nothing")
  func builtIn() async throws {
    let installed = try await tenancy.install(
      #"{"grant": {"$actions": [{"who": "anyone", "can": ["create"]}]}}"#, uri: PermissionsProtocol.uri)
    #expect(installed.status.code == 202)
    let grant = tenancy.makeGrant(.records("Read"), to: tenancy.bob, from: tenancy.carol)
    #expect(try await tenancy.store(grant) == "401 ProtocolAuthorizationActionNotAllowed")
  }

  @Test(
    "what a request or a grant says must be complete, and agree with its tag",
    arguments: [
      ("request", request, uri, "202"),
      ("grant", grant, uri, "202"),
      ("request", grant, uri, "400 SchemaValidatorFailure"),
      ("grant", request, uri, "400 SchemaValidatorFailure"),
      ("grant", with("dateExpires", "tomorrow"), uri, "400 SchemaValidatorFailure"),
      ("grant", with("scope", ["interface": "Records", "method": "Read"]), nil, "400 SchemaValidatorFailure"),
      (
        "grant", with("scope", ["interface": "Records", "method": "Fly", "protocol": .string(uri)]), uri,
        "400 SchemaValidatorFailure"
      ),
      ("grant", with("scope", ["interface": "Messages", "method": "Read"]), nil, "202"),
      ("grant", with("conditions", ["publication": "Perhaps"]), uri, "400 SchemaValidatorFailure"),
      ("grant", with("conditions", ["publication": "Required"]), uri, "202"),
      ("grant", with("connectSession", ["any": 1]), uri, "202"),
      ("grant", grant, nil, "400 PermissionsProtocolValidateScopeMissingProtocolTag"),
      ("grant", grant, "https://example.org/other", "400 PermissionsProtocolValidateScopeProtocolMismatch"),
      ("request", request, nil, "400 PermissionsProtocolValidateScopeMissingProtocolTag"),
      (
        "grant", with("scope", ["interface": "Records", "method": "Read", "protocol": "Example.org"]), uri,
        "400 UrlProtocolNotNormalized"
      ),
      ("grant", narrow, uri, "400 PermissionsProtocolValidateScopeContextIdProhibitedProperties"),
      ("other", grant, uri, "400 ProtocolAuthorizationInvalidType"),
      ("revocation", [:], uri, "400 ProtocolAuthorizationMissingRuleSet"),
      (
        "grant", with("description", .string(String(repeating: "x", count: 10_000))), uri,
        "400 ProtocolAuthorizationMaxSizeInvalid"
      ),
    ] as [(String, JSONValue, String?, String)])
  func contents(path: String, data: JSONValue, tag: String?, expected: String) async throws {
    let path = try #require(ProtocolPath(path))
    let record = tenancy.permission(path, by: tenancy.alice, to: tenancy.bob, protocolTag: tag, data: data)
    #expect(try await tenancy.store(record) == expected)
  }

  static let uri = TestTenancy.protocolURI
  static func with(_ name: String, _ value: JSONValue) -> JSONValue {
    var object = grant.object ?? [:]
    object[name] = value
    return .object(object)
  }
  static let narrow = with(
    "scope",
    [
      "interface": "Records", "method": "Read", "protocol": .string(uri), "protocolPath": "a", "contextId": "b",
    ])

  @Test("a revocation ends a grant that is here, and says which protocol it is about")
  func revocations() async throws {
    let grant = try await tenancy.grant(.records("Read"), to: tenancy.bob)
    let mismatch = "400 PermissionsProtocolValidateRevocationProtocolTagMismatch"
    for tag in [nil, "https://example.org/other"] {
      let revocation = tenancy.permission(
        "grant/revocation", by: tenancy.alice, below: grant.write, protocolTag: tag, data: [:])
      #expect(try await tenancy.store(revocation) == mismatch)
    }
    let unknown = tenancy.makeGrant(.records("Read"), to: tenancy.bob)
    #expect(
      try await tenancy.store(tenancy.revocation(of: unknown)) == "400 ProtocolAuthorizationParentRecordNotFound")
    #expect(try await tenancy.store(tenancy.revocation(of: grant)) == "202")
  }

  @Test("a grant key comes from whoever gave the grant, goes to its holder, and opens no more than the grant is for")
  func grantKeys() async throws {
    let (alice, bob, carol) = (tenancy.alice, tenancy.bob, tenancy.carol)
    let grant = try await tenancy.grant(.records("Read", at: "a"), to: bob)
    let wrapping: JSONValue = ["format": "enbox/wrapped-grant-key@1"]
    func store(
      by author: Person = alice, to recipient: Person? = bob, _ changes: KeyValuePairs<String, JSONValue?> = [:],
      path: ProtocolPath = "grantKey", data: JSONValue = wrapping, at time: WallTime? = nil
    ) async throws -> String {
      var tags: JSONObject = [
        "grantId": .string(grant.id.text), "protocol": .string(Self.uri), "keyId": "k", "protocolPath": "a",
      ]
      for (name, value) in changes { tags[name] = value }
      let draft = RecordDraft(
        protocolURI: EncryptionProtocol.uri, path: path, schema: GrantKey.schema, recipient: recipient?.did, tags: tags,
        data: data.encoded)
      return try await tenancy.status(
        author.signer.recordsWrite(draft, at: time ?? tenancy.tick()).signed, data: draft.data)
    }
    let stem = "400 EncryptionProtocolValidate"
    #expect(try await store() == "202")
    #expect(try await store(path: "wrappedGrantKey") == "202")
    #expect(try await store(["protocolPath": "a/b"]) == "202")
    #expect(try await store(data: [:]) == stem + "EncryptedDeliveryMissingEncryption")
    #expect(try await store(["keyId": nil]) == stem + "GrantKeyMissingRequiredTag")
    #expect(try await store(["other": "x"]) == stem + "SchemaUnexpectedRecord")
    #expect(try await store(by: carol) == stem + "GrantKeyAuthorMismatch")
    #expect(try await store(to: carol) == stem + "GrantKeyRecipientMismatch")
    #expect(try await store(to: nil) == stem + "GrantKeyRecipientMismatch")
    #expect(try await store(["protocolPath": "b"]) == stem + "GrantKeyGrantScopeMismatch")
    #expect(try await store(["protocolPath": nil]) == stem + "GrantKeyGrantScopeMismatch")
    #expect(try await store(["protocol": "https://example.org/other"]) == stem + "GrantKeyGrantScopeMismatch")
    #expect(try await store(["grantId": "bafyother"]) == "400 GrantAuthorizationGrantMissing")
    #expect(
      try await store(at: WallTime(timestamp: "2101-01-01T00:00:00.000000Z")) == "400 GrantAuthorizationGrantExpired")
    #expect(try await tenancy.store(tenancy.revocation(of: grant)) == "202")
    #expect(try await store() == "400 GrantAuthorizationGrantRevoked")
  }
}
