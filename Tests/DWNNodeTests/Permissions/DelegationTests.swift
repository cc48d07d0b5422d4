import Cryptography
import DWN
import Identity
import Testing
import Wire

@testable import DWNNode

/// Who acts in somebody else's name, and what a tenant takes for its own (dwn-messages 4.4, 4.5; dwn-server 3.3, 8).
@Suite(.timeLimit(.minutes(10)))
struct DelegationTests {
  let tenancy: TestTenancy
  private var alice: Person { tenancy.alice }
  private var bob: Person { tenancy.bob }
  private var carol: Person { tenancy.carol }
  static let uri = TestTenancy.protocolURI

  init() async throws {
    tenancy = try TestTenancy()
    let installed = try await tenancy.install(
      """
      {"inbox": {"$actions": [{"who": "anyone", "can": ["create"]},
         {"who": "author", "of": "inbox", "can": ["create", "update"]}]}, "private": {}}
      """)
    #expect(installed.status.code == 202)
  }

  /// A write that `delegate` signs for `author`.
  private func write(
    _ path: ProtocolPath, for author: Person, by delegate: Person, _ grant: HeldGrant,
    updating earlier: RecordsWrite? = nil, published: Bool? = nil
  ) async throws -> (String, RecordsWrite) {
    var draft = earlier.map { RecordDraft(updating: $0, data: Array("2".utf8)) } ?? tenancy.draft(path)
    draft.published = published
    let write = author.signer.recordsWrite(draft, at: tenancy.tick())
    let json = try tenancy.delegating(write.signed, to: delegate, by: grant)
    return (try await tenancy.status(json, data: draft.data), write)
  }

  private func delegated(
    _ person: Person, _ body: MessageBody, by delegate: Person, _ grant: HeldGrant
  ) async throws -> Reply {
    try await tenancy.reply(try tenancy.delegating(tenancy.request(person, body), to: delegate, by: grant))
  }

  @Test("the tenant's delegate does what the grant covers, and no more, whatever the protocol says")
  func tenantsDelegate() async throws {
    let all = tenancy.makeGrant(.records("Write"), to: bob, delegated: true)
    let inbox = tenancy.makeGrant(.records("Write", at: "inbox"), to: bob, delegated: true)
    let (status, record) = try await write("private", for: alice, by: bob, all)
    #expect(status == "202")
    #expect(try await write("private", for: alice, by: bob, all, updating: record).0 == "202")
    #expect(try await write("inbox", for: alice, by: bob, inbox).0 == "202")
    let mismatch = "401 RecordsGrantAuthorizationScopeProtocolPathMismatch"
    #expect(try await write("private", for: alice, by: bob, inbox).0 == mismatch)

    let reading = tenancy.makeGrant(.records("Read"), to: bob, delegated: true)
    let filter = RecordsFilter(protocolURI: Self.uri)
    #expect(try await delegated(alice, .recordsQuery(RecordsQuery(filter)), by: bob, reading).entries.count == 2)
    let narrow = tenancy.makeGrant(.records("Read", at: "inbox"), to: bob, delegated: true)
    let beyond = try await delegated(alice, .recordsQuery(RecordsQuery(filter)), by: bob, narrow)
    #expect(
      TestTenancy.name(beyond.status) == "401 RecordsGrantAuthorizationQueryOrSubscribeProtocolScopeMismatch")
    let read = RecordsRead(RecordsFilter(recordID: record.recordID))
    #expect(try await delegated(alice, .recordsRead(read), by: bob, reading).status.code == 200)
    #expect(TestTenancy.name(try await delegated(alice, .recordsRead(read), by: bob, narrow).status) == mismatch)
    let delete = RecordsDelete(record.recordID, prune: false)
    #expect(
      TestTenancy.name(try await delegated(alice, .recordsDelete(delete), by: bob, reading).status)
        == "401 GrantAuthorizationMethodMismatch")
    let deleting = tenancy.makeGrant(.records("Delete"), to: bob, delegated: true)
    #expect(try await delegated(alice, .recordsDelete(delete), by: bob, deleting).status.code == 202)
    let definition = try tenancy.definition(#"{"x": {}}"#).object ?? [:]
    let configure = tenancy.makeGrant(PermissionScope(.protocols, "Configure"), to: bob, delegated: true)
    let configured = try await delegated(
      alice, .protocolsConfigure(ProtocolsConfigure(definition)), by: bob, configure)
    #expect(configured.status.code == 202)
  }

  @Test("somebody else's delegate counts as that somebody, and the tenant's rules hold")
  func othersDelegate() async throws {
    let grant = tenancy.makeGrant(.records("Write"), to: bob, from: carol, delegated: true)
    let (status, letter) = try await write("inbox", for: carol, by: bob, grant)
    #expect(status == "202")
    #expect(try await write("private", for: carol, by: bob, grant).0 == "401 ProtocolAuthorizationActionRulesNotFound")
    // The record is Carol's: she changes it herself, and Bob does not in his own name.
    #expect(try await tenancy.attempt(carol, updating: letter, data: "3") == "202")
    #expect(try await tenancy.attempt(bob, updating: letter, data: "4").hasPrefix("401"))
    let reading = tenancy.makeGrant(.records("Read"), to: bob, from: carol, delegated: true)
    let query = RecordsQuery(RecordsFilter(protocolURI: Self.uri))
    #expect(try await delegated(carol, .recordsQuery(query), by: bob, reading).entries.count == 1)
  }

  @Test("a carried grant must be delegated, the signer's, the one that was signed for, in force, and genuine")
  func carriedGrants() async throws {
    let stem = "400 RecordsAuthorDelegatedGrant"
    let plain = tenancy.makeGrant(.records("Write"), to: bob)
    #expect(try await write("private", for: alice, by: bob, plain).0 == stem + "NotADelegatedGrant")
    let grant = tenancy.makeGrant(.records("Write"), to: bob, delegated: true)
    #expect(
      try await write("private", for: alice, by: carol, grant).0 == stem + "GrantedToAndOwnerSignatureMismatch")
    let past = tenancy.makeGrant(.records("Write"), to: bob, delegated: true, expires: tenancy.tick())
    #expect(try await write("private", for: alice, by: bob, past).0 == "401 GrantAuthorizationGrantExpired")

    let draft = tenancy.draft("private")
    let good = try tenancy.delegating(
      alice.signer.recordsWrite(draft, at: tenancy.tick()).signed, to: bob, by: grant)
    func changed(_ change: (inout JSONObject) -> Void) async throws -> String {
      var json = good.object ?? [:]
      var authorization = json["authorization"]?.object ?? [:]
      change(&authorization)
      json["authorization"] = .object(authorization)
      return try await tenancy.status(.object(json), data: draft.data)
    }
    // Without the grant the record is not Bob's: its id is not that of an initial write of his.
    #expect(try await changed { $0["authorDelegatedGrant"] = nil } == stem + "AndIdExistenceMismatch")
    let other = tenancy.makeGrant(.records("Write"), to: bob, delegated: true)
    #expect(try await changed { $0["authorDelegatedGrant"] = other.carried } == stem + "CidMismatch")
    // A grant that somebody made up in Alice's name: its id is signed for, its own signature does not hold.
    let forged = forge(grant, as: carol)
    let claim = try tenancy.delegating(
      alice.signer.recordsWrite(draft, at: tenancy.tick()).signed, to: bob, by: forged)
    #expect(try await tenancy.status(claim, data: draft.data) == "401 GeneralJwsVerifierInvalidSignature")
    #expect(try await changed { _ in } == "202")
  }

  /// The same grant with a signature of somebody else under the grantor's name.
  private func forge(_ grant: HeldGrant, as forger: Person) -> HeldGrant {
    var json = grant.write.message.json
    var jws = json["authorization"]?["signature"]?.object ?? [:]
    let header: JSONValue = ["alg": "EdDSA", "kid": .string(alice.signer.identity.signingKeyID)]
    let protected = Base64.encode(header.encoded)
    let input = Array((protected + "." + (jws["payload"]?.string ?? "")).utf8)
    jws["signatures"] = [
      [
        "protected": .string(protected),
        "signature": .string(Base64.encode(forger.signer.identity.signingKey.sign(input))),
      ]
    ]
    json["authorization"] = ["signature": .object(jws)]
    return ForgedGrant.held(.object(json), grant)
  }

  @Test("a revocation at the tenant ends a carried grant, and so does the end of its record")
  func revokedDelegation() async throws {
    let grant = tenancy.makeGrant(.records("Write"), to: bob, delegated: true)
    #expect(try await tenancy.store(grant) == "202")
    let (status, record) = try await write("private", for: alice, by: bob, grant)
    #expect(status == "202")
    let time = record.timestamp
    #expect(try await tenancy.store(tenancy.revocation(of: grant, at: time + .microseconds(1))) == "202")
    #expect(try await write("private", for: alice, by: bob, grant).0 == "401 GrantAuthorizationGrantRevoked")
    #expect(try await tenancy.query(alice, RecordsFilter(protocolURI: Self.uri)).count == 1)

    let second = tenancy.makeGrant(.records("Write"), to: bob, delegated: true)
    #expect(try await tenancy.store(second) == "202")
    #expect(try await write("private", for: alice, by: bob, second).0 == "202")
    let gone = tenancy.request(alice, .recordsDelete(RecordsDelete(second.id, prune: false)))
    #expect(try await tenancy.status(gone) == "202")
    #expect(try await write("private", for: alice, by: bob, second).0 == "401 GrantAuthorizationGrantMissing")
  }

  @Test("a tenant keeps a record of somebody else by its owner signature, itself or by a delegate; nobody else does")
  func owners() async throws {
    let narrow = tenancy.makeGrant(.records("Write", at: "inbox"), to: bob, delegated: true)
    let grant = tenancy.makeGrant(.records("Write"), to: bob, delegated: true)
    let draft = tenancy.draft("private")
    let write = carol.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(write.signed, data: draft.data) == "401 ProtocolAuthorizationActionRulesNotFound")
    #expect(
      try await tenancy.status(tenancy.owning(write.signed, by: bob), data: draft.data)
        == "401 RecordsWriteOwnerAndTenantMismatch")
    #expect(
      try await tenancy.status(tenancy.owning(write.signed, by: bob, grant: narrow), data: draft.data)
        == "401 RecordsGrantAuthorizationScopeProtocolPathMismatch")
    #expect(
      try await tenancy.status(tenancy.owning(write.signed, by: bob, grant: grant), data: draft.data) == "202")
    let second = carol.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(tenancy.owning(second.signed, by: alice), data: draft.data) == "202")
    let found = try await tenancy.send(
      tenancy.request(alice, .recordsQuery(RecordsQuery(RecordsFilter(protocolURI: Self.uri)))))
    #expect(found.entries.count == 2)
    // The author still sees it as its own.
    #expect(try await tenancy.query(carol, RecordsFilter(protocolURI: Self.uri)).count == 2)
  }

  @Test("an attestation is one signature over the descriptor that the author signed for, and makes the record findable")
  func attestation() async throws {
    let draft = tenancy.draft("inbox", published: true)
    let plain = carol.signer.recordsWrite(draft, at: tenancy.tick())
    func attested(
      by attester: Person, payload: JSONObject? = nil, signedFor: Bool = true, twice: Bool = false
    ) throws -> JSONValue {
      var json = plain.message.json
      let content = payload ?? ["descriptorCid": .string(plain.message.descriptorCID.text)]
      var attestation = GeneralJWS.sign(JSONValue.object(content).encoded, with: attester.signer.identity).json
      if twice, var object = attestation.object, let one = object["signatures"]?.array {
        object["signatures"] = .array(one + one)
        attestation = .object(object)
      }
      json["attestation"] = attestation
      let signature = try GeneralJWS(json["authorization"]?["signature"] ?? .null)
      var own = try JSONValue(parsing: signature.payloadBytes).object ?? [:]
      if signedFor { own["attestationCid"] = .string(CID(of: attestation).text) }
      json["authorization"] = [
        "signature": GeneralJWS.sign(JSONValue.object(own).encoded, with: carol.signer.identity).json
      ]
      return .object(json)
    }
    func status(_ json: JSONValue) async throws -> String { try await tenancy.status(json, data: draft.data) }
    let stem = "400 RecordsWriteAttestationIntegrity"
    #expect(try await status(attested(by: bob, twice: true)) == stem + "MoreThanOneSignature")
    #expect(try await status(attested(by: bob, payload: ["descriptorCid": "x"])) == stem + "DescriptorCidMismatch")
    #expect(
      try await status(
        attested(
          by: bob, payload: ["descriptorCid": .string(plain.message.descriptorCID.text), "more": 1]))
        == stem + "InvalidPayloadProperty")
    #expect(
      try await status(attested(by: bob, signedFor: false))
        == "400 RecordsWriteValidateIntegrityAttestationMismatch")
    #expect(try await status(attested(by: bob)) == "202")
    var filter = RecordsFilter(protocolURI: Self.uri)
    filter.attester = bob.did
    #expect(try await tenancy.query(alice, filter).count == 1)
    filter.attester = carol.did
    #expect(try await tenancy.query(alice, filter).isEmpty)
  }
}

/// A grant whose record does not verify.
private enum ForgedGrant {
  static func held(_ json: JSONValue, _ genuine: HeldGrant) -> HeldGrant {
    guard let claimed = try? ClaimedMessage(Message(json)), let write = try? RecordsWrite(unverified: claimed) else {
      return genuine
    }
    return HeldGrant(write: write, data: genuine.data)
  }
}
