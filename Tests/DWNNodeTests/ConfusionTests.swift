import DWN
import Foundation
import Identity
import Testing
import Wire

@testable import DWNNode

/// Good signatures in the wrong place: at another tenant, under other words, once more, or under names that look alike.
@Suite(.timeLimit(.minutes(10)))
struct ConfusionTests {
  let tenancy: TestTenancy
  private var alice: Person { tenancy.alice }
  private var bob: Person { tenancy.bob }
  private var carol: Person { tenancy.carol }
  static let uri = TestTenancy.protocolURI
  static let structure =
    #"{"box": {"$actions": [{"who": "anyone", "can": ["create"]}, {"who": "author", "of": "box", "can": ["create", "update"]}]}, "private": {}}"#

  init() async throws {
    tenancy = try TestTenancy()
    #expect(try await tenancy.install(Self.structure).status.code == 202)
  }

  @Test("what a tenant signed for its own node says nothing as the tenant of another")
  func otherTenant() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("confusion-\(UUID().uuidString)")
    let node = try DWNNode(
      databasePath: folder.appendingPathComponent("node.sqlite").path, tenants: [alice.did, bob.did])
    func send(_ json: JSONValue, to tenant: Person, data: [UInt8]? = nil) async throws -> String {
      TestTenancy.name(try await node.process(tenant: tenant.did, message: json, data: data).status)
    }
    func send(_ message: SignedMessage, to tenant: Person, data: [UInt8]? = nil) async throws -> String {
      try await send(message.message.value, to: tenant, data: data)
    }
    let definition = try tenancy.definition(Self.structure)
    let configure = alice.signer.protocolsConfigure(definition, at: tenancy.tick())
    #expect(try await send(configure, to: alice) == "202")
    #expect(try await send(configure, to: bob) == "401 ProtocolsConfigureAuthorizationFailed")
    #expect(try await send(bob.signer.protocolsConfigure(definition, at: tenancy.tick()), to: bob) == "202")

    let draft = tenancy.draft("private")
    let secret = alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await send(secret.signed, to: alice, data: draft.data) == "202")
    #expect(
      try await send(secret.signed, to: bob, data: draft.data) == "401 ProtocolAuthorizationActionRulesNotFound")
    let read = alice.signer.recordsRead(RecordsFilter(recordID: secret.recordID), at: tenancy.tick())
    #expect(try await send(read, to: alice) == "200")
    #expect(try await send(read, to: bob) == "404")
    let delete = alice.signer.recordsDelete(secret.recordID, prune: true, at: tenancy.tick())
    #expect(try await send(delete, to: bob) == "404")

    // Bob keeps Alice's record as his own; what she says of hers does not reach it.
    #expect(try await send(tenancy.owning(secret.signed, by: bob), to: bob, data: draft.data) == "202")
    #expect(try await send(delete, to: bob) == "401 ProtocolAuthorizationActionRulesNotFound")
    let grant = tenancy.makeGrant(.records("Write"), to: carol)
    #expect(try await send(grant.write.signed, to: alice, data: grant.data) == "202")
    #expect(
      try await send(grant.write.signed, to: bob, data: grant.data) == "401 ProtocolAuthorizationActionNotAllowed")
    var granted = tenancy.draft("private")
    granted.permissionGrantID = grant.id
    let use = carol.signer.recordsWrite(granted, at: tenancy.tick())
    #expect(try await send(use.signed, to: bob, data: granted.data) == "401 GrantAuthorizationGrantMissing")
    #expect(try await send(tenancy.owning(grant.write.signed, by: bob), to: bob, data: grant.data) == "202")
    #expect(try await send(use.signed, to: bob, data: granted.data) == "401 GrantAuthorizationNotGrantedForTenant")
    #expect(try await send(use.signed, to: alice, data: granted.data) == "202")
    await node.close()
    try? FileManager.default.removeItem(at: folder)
  }

  @Test("a signature holds for its own words alone")
  func otherWords() async throws {
    let record = try await tenancy.write(alice, "private")
    let delete = alice.signer.recordsDelete(record.recordID, prune: false, at: tenancy.tick())
    let read = alice.signer.recordsRead(RecordsFilter(recordID: record.recordID), at: tenancy.tick())
    var swapped = delete.message.json
    swapped["authorization"] = read.message.json["authorization"]
    #expect(try await tenancy.status(.object(swapped)) == "400 AuthenticateDescriptorCidMismatch")
    var pruning = delete.message.json
    var descriptor = pruning["descriptor"]?.object ?? [:]
    descriptor["prune"] = true
    pruning["descriptor"] = .object(descriptor)
    #expect(try await tenancy.status(.object(pruning)) == "400 AuthenticateDescriptorCidMismatch")

    // An owner's form of payload is no author's: it names no record.
    let letter = bob.signer.recordsWrite(tenancy.draft("box"), at: tenancy.tick())
    let owned = tenancy.owning(letter.signed, by: alice)
    var claimed = letter.message.json
    claimed["authorization"] = ["signature": owned["authorization"]?["ownerSignature"] ?? .null]
    #expect(try await tenancy.status(.object(claimed), data: Array("{}".utf8)) == "400 SchemaValidatorFailure")
    #expect(try await tenancy.query(alice, RecordsFilter(protocolURI: Self.uri)).count == 1)
  }

  @Test("a stranger's name beside the author's makes no other message of a stored one, and none of a new one")
  func twins() async throws {
    let draft = tenancy.draft("box")
    let letter = bob.signer.recordsWrite(draft, at: tenancy.tick())
    let signed = tenancy.owning(letter.signed, by: carol)
    #expect(try await tenancy.status(signed, data: draft.data) == "401 RecordsWriteOwnerAndTenantMismatch")
    #expect(try await tenancy.status(letter.signed, data: draft.data) == "202")
    #expect(try await tenancy.status(signed, data: draft.data) == "409")
    #expect(try await tenancy.status(tenancy.owning(letter.signed, by: alice), data: draft.data) == "409")
  }

  @Test("what was replaced or ended does not come back")
  func replays() async throws {
    let first = try await tenancy.write(bob, "box", data: "1")
    var messages = [(first.signed, Array("1".utf8))]
    for text in ["2", "3"] {
      let draft = RecordDraft(updating: first, data: Array(text.utf8))
      let write = bob.signer.recordsWrite(draft, at: tenancy.tick())
      #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
      messages.append((write.signed, draft.data))
    }
    for (message, data) in messages { #expect(try await tenancy.status(message, data: data) == "409") }
    #expect(try await tenancy.query(bob, RecordsFilter(protocolURI: Self.uri)) == ["3"])
    let end = alice.signer.recordsDelete(first.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(end) == "202")
    for (message, data) in messages { #expect(try await tenancy.status(message, data: data) == "409") }
    #expect(try await tenancy.status(end) == "409")
    #expect(try await tenancy.query(bob, RecordsFilter(protocolURI: Self.uri)).isEmpty)
  }

  @Test(
    "ids, paths and texts that only look like others are refused",
    arguments: [
      ("recordId", "bafy\u{0}"), ("recordId", "bafy\u{661}"), ("recordId", ""), ("contextId", "a//b"),
      ("contextId", "a/\u{0}"), ("contextId", "a/../b"), ("contextId", "\u{435}"), ("protocolPath", "box\u{0}"),
      ("protocolPath", "bo\u{445}"), ("protocolPath", "box/"), ("protocolPath", "$encryption/other"),
      ("recipient", "did:web:ex\u{0}ample"), ("recipient", "did:web:\u{435}xample"), ("recipient", "did:web:a#0"),
      ("protocol", "https://example.org/test\u{0}"), ("protocol", "https://ex\u{430}mple.org/test"),
      ("dataFormat", "application/json\u{0}"), ("parentId", "a/b"), ("dateCreated", "2026-01-01T00:00:00.000000z"),
    ])
  func lookalikes(member: String, value: String) async throws {
    let draft = tenancy.draft("box")
    var json = bob.signer.recordsWrite(draft, at: tenancy.tick()).message.json
    if json.contains(member) {
      json[member] = .string(value)
    } else {
      var descriptor = json["descriptor"]?.object ?? [:]
      descriptor[member] = .string(value)
      json["descriptor"] = .object(descriptor)
    }
    let status = try await tenancy.status(.object(json), data: draft.data)
    #expect(status.hasPrefix("400 ") && !status.contains("DescriptorCid"), "\(status)")
  }

  @Test("a tag is not taken for another that goes on after a NUL")
  func tags() async throws {
    _ = try await tenancy.write(alice, "private", tags: ["kind": "a"])
    var json = alice.signer.recordsWrite(tenancy.draft("private", tags: ["kind": "a"]), at: tenancy.tick()).message.json
    var descriptor = json["descriptor"]?.object ?? [:]
    descriptor["tags"] = ["kind": "a\u{0}b"]
    json["descriptor"] = .object(descriptor)
    #expect(try await tenancy.status(.object(json), data: Array("{}".utf8)) == "400 SchemaValidatorFailure")
    let filter = RecordsFilter(protocolURI: Self.uri, tags: ["kind": .equals("a\u{0}")])
    #expect(
      try await tenancy.status(tenancy.request(alice, .recordsQuery(RecordsQuery(filter))))
        == "400 SchemaValidatorFailure")
  }

  @Test("a signed payload that says one thing twice says nothing")
  func doubledPayload() async throws {
    let draft = tenancy.draft("box")
    let write = bob.signer.recordsWrite(draft, at: tenancy.tick())
    var json = write.message.json
    let cid = write.message.descriptorCID.text
    let payload =
      #"{"descriptorCid":"bafyother","recordId":"\#(write.recordID)","contextId":"\#(write.contextID)","descriptorCid":"\#(cid)"}"#
    json["authorization"] = ["signature": GeneralJWS.sign(Array(payload.utf8), with: bob.signer.identity).json]
    #expect(
      try await tenancy.status(.object(json), data: draft.data) == "400 JwsDecodePlainObjectPayloadInvalid")
  }
}
