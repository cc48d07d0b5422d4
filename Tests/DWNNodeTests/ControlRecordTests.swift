import Cryptography
import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// The records that carry the keys of audiences, and the records that are encrypted to them (dwn-server 10, 6.2).
@Suite(.timeLimit(.minutes(10)))
struct ControlRecordTests {
  let tenancy: TestTenancy
  let random = SeededRandom(7)
  let room: RecordsWrite
  /// Of every path, as the definition has it.
  static let pathKey = X25519PrivateKey(random: SeededRandom(1))
  static let invalid = "400 EncryptionControlValidate"

  init() async throws {
    tenancy = try TestTenancy()
    let agreement: JSONObject = ["publicKeyJwk": PublicJWK.x25519(Self.pathKey.publicKey).json]
    let key = "\"$keyAgreement\": \(JSONValue.object(agreement).text)"
    var definition =
      try tenancy.definition(
        """
        {"room": {\(key), "$actions": [{"who": "anyone", "can": ["read"]}],
          "member": {\(key), "$role": true, "$actions": [{"who": "recipient", "of": "room", "can": ["create"]}]},
          "silent": {"$role": true},
          "note": {\(key), "$actions": [{"role": "room/member", "can": ["create", "read"]}]}}}
        """, types: ["note": #"{"encryptionRequired": true}"#]
      ).object ?? [:]
    definition["$keyAgreement"] = .object(agreement)
    let configure = tenancy.alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick())
    #expect(try await tenancy.status(configure) == "202")
    room = try await tenancy.write(tenancy.alice, "room", to: tenancy.bob)
  }

  private var members: AudienceName {
    get throws {
      try #require(
        AudienceName(
          protocolURI: TestTenancy.protocolURI, rolePath: "room/member", contextID: room.contextID))
    }
  }

  private func mint() throws -> (record: AudienceRecord, key: X25519PrivateKey) {
    try AudienceRecord.mint(try members, roleKey: Self.pathKey.publicKey, random: random)
  }

  private func delivery(_ key: X25519PrivateKey, to person: Person) throws -> RecordDraft {
    try DeliveryRecord(try members, key: key).draft(to: person.did, key: Self.pathKey.publicKey, random: random)
  }

  @Test("an audience's key comes first, then the role, then its delivery")
  func order() async throws {
    let (audience, key) = try mint()
    let delivery = try delivery(key, to: tenancy.carol)
    #expect(try await tenancy.attempt(tenancy.alice, delivery) == Self.invalid + "DeliveryAudienceMissing")
    #expect(try await tenancy.attempt(tenancy.alice, audience.draft) == "202")
    #expect(
      try await tenancy.attempt(tenancy.alice, delivery) == Self.invalid + "DeliveryRecipientRoleRecordMissing")
    _ = try await tenancy.write(tenancy.alice, "room/member", below: room, to: tenancy.carol)
    #expect(try await tenancy.attempt(tenancy.alice, delivery) == "202")
  }

  @Test("whoever may create the role makes its keys, and nobody else")
  func writers() async throws {
    #expect(try await tenancy.attempt(tenancy.bob, try mint().record.draft) == "202")
    #expect(
      try await tenancy.attempt(tenancy.carol, try mint().record.draft) == Self.invalid + "AudienceWriterUnauthorized")
  }

  @Test("an audience record that is not as it must be is refused")
  func audienceForm() async throws {
    let draft = try mint().record.draft
    func status(_ change: (inout RecordDraft) throws -> Void) async throws -> String {
      var changed = draft
      try change(&changed)
      return try await tenancy.attempt(tenancy.alice, changed)
    }
    #expect(try await status { $0.published = true } == Self.invalid + "UnexpectedRecord")
    #expect(try await status { $0.data = Array("{}".utf8) } == Self.invalid + "UnexpectedRecord")
    #expect(try await status { $0.schema = "https://example.org/s" } == Self.invalid + "UnexpectedRecord")
    #expect(try await status { $0.tags?["more"] = "x" } == Self.invalid + "UnexpectedRecord")
    #expect(try await status { $0.tags?["keyId"] = nil } == Self.invalid + "AudienceMissingRequiredTag")
    #expect(try await status { $0.tags?["keyId"] = "x" } == Self.invalid + "AudienceTagsMismatch")
    #expect(try await status { $0.tags?["contextId"] = "" } == Self.invalid + "AudienceContextIdInvalid")
    let silent = try #require(
      AudienceName(protocolURI: TestTenancy.protocolURI, rolePath: "room/silent", contextID: room.contextID))
    let keyless = try AudienceRecord.mint(silent, roleKey: Self.pathKey.publicKey, random: random).record.draft
    #expect(try await tenancy.attempt(tenancy.alice, keyless) == Self.invalid + "AudienceRolePathInvalid")
    let other = try AudienceRecord.mint(
      try members, roleKey: X25519PrivateKey(random: random).publicKey, random: random
    ).record.draft
    #expect(try await tenancy.attempt(tenancy.alice, other) == Self.invalid + "AudienceSealKeyIdMismatch")
    let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(write.signed) == Self.invalid + "UnexpectedRecord")
    #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
    #expect(try await tenancy.attempt(tenancy.alice, updating: write, data: "{}") == Self.invalid + "UnexpectedRecord")
  }

  @Test("of several keys of an audience the tenant's own and oldest is shown, another to who names it")
  func currentAudience() async throws {
    let foreign = try mint().record
    #expect(try await tenancy.attempt(tenancy.bob, foreign.draft) == "202")
    let first = try mint().record
    #expect(try await tenancy.attempt(tenancy.alice, first.draft) == "202")
    let second = try mint().record
    #expect(try await tenancy.attempt(tenancy.alice, second.draft) == "202")
    func found(_ filter: RecordsFilter) async throws -> [String?] {
      let reply = try await tenancy.send(tenancy.carol.signer.recordsQuery(filter, at: tenancy.tick()))
      return reply.entries.map { $0.message["descriptor"]?["tags"]?["keyId"]?.string }
    }
    #expect(try await found(EncryptionControl.audiences(try members)) == [first.keyID])
    #expect(try await found(EncryptionControl.audiences(try members, keyID: foreign.keyID)) == [foreign.keyID])
    let read = try await tenancy.send(
      tenancy.carol.signer.recordsRead(EncryptionControl.audiences(try members), at: tenancy.tick()))
    #expect(read.data == first.json.encoded)
    let all = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: EncryptionControl.audience)
    #expect(try await found(all) == [])
    #expect(try await tenancy.query(tenancy.alice, all).count == 1)
  }

  @Test("a delivery is read by its recipient, and an audience record by who names its audience")
  func readers() async throws {
    let (audience, key) = try mint()
    let published = tenancy.alice.signer.recordsWrite(audience.draft, at: tenancy.tick())
    #expect(try await tenancy.status(published.signed, data: audience.draft.data) == "202")
    _ = try await tenancy.write(tenancy.alice, "room/member", below: room, to: tenancy.carol)
    let draft = try delivery(key, to: tenancy.carol)
    let delivered = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(delivered.signed, data: draft.data) == "202")
    func read(_ reader: Person, _ record: RecordsWrite) async throws -> String {
      try await tenancy.status(
        reader.signer.recordsRead(RecordsFilter(recordID: record.recordID), at: tenancy.tick()))
    }
    #expect(try await read(tenancy.carol, delivered) == "200")
    #expect(try await read(tenancy.bob, delivered) == "401 EncryptionControlReadUnauthorized")
    #expect(try await read(tenancy.carol, published) == "401 EncryptionControlReadUnauthorized")
    #expect(try await read(tenancy.alice, published) == "200")
  }

  @Test(
    "a grant shows and makes the keys of the roles it covers; what is delivered to others, a delegate of the tenant alone sees"
  )
  func granted() async throws {
    let (audience, key) = try mint()
    #expect(try await tenancy.attempt(tenancy.alice, audience.draft) == "202")
    _ = try await tenancy.write(tenancy.alice, "room/member", below: room, to: tenancy.bob)
    #expect(try await tenancy.attempt(tenancy.alice, try delivery(key, to: tenancy.bob)) == "202")

    let uri = TestTenancy.protocolURI
    let all = RecordsFilter(protocolURI: uri)
    let deliveries = RecordsFilter(protocolURI: uri, path: EncryptionControl.delivery)
    let audiences = RecordsFilter(protocolURI: uri, path: EncryptionControl.audience)
    let (alice, bob, carol) = (tenancy.alice, tenancy.bob, tenancy.carol)
    func found(
      _ filter: RecordsFilter, by reader: Person, grant: HeldGrant? = nil, delegate: (Person, HeldGrant)? = nil
    ) async throws -> Int {
      var counts: [Int] = []
      for body in [
        MessageBody.recordsQuery(RecordsQuery(filter, permissionGrantID: grant?.id)),
        MessageBody.recordsCount(RecordsCount(filter, permissionGrantID: grant?.id)),
      ] {
        let signed = tenancy.request(reader, body)
        let json = try delegate.map { try tenancy.delegating(signed, to: $0.0, by: $0.1) } ?? signed.message.value
        let reply = try await tenancy.reply(json)
        #expect(reply.status.code == 200, "\(reply.status)")
        counts.append(reply.members["count"]?.integer.map { Int($0) } ?? reply.entries.count)
      }
      #expect(counts[0] == counts[1])
      return counts[0]
    }
    let read = try await tenancy.grant(.records("Read"), to: carol)
    // The room and the member, and the audience's key; not what is Bob's.
    #expect(try await found(all, by: carol, grant: read) == 3)
    #expect(try await found(audiences, by: carol, grant: read) == 1)
    #expect(try await found(deliveries, by: carol, grant: read) == 0)
    #expect(try await found(deliveries, by: bob) == 1)
    let delegated = tenancy.makeGrant(.records("Read"), to: carol, delegated: true)
    #expect(try await found(deliveries, by: alice, delegate: (carol, delegated)) == 1)
    #expect(try await found(all, by: alice, delegate: (carol, delegated)) == 4)
    // Whoever may create the role lists its keys, and nobody else does.
    #expect(try await found(audiences, by: bob) == 1)
    #expect(try await found(audiences, by: carol) == 0)

    let writing = try await tenancy.grant(.records("Write", at: "room/member"), to: carol)
    let elsewhere = try await tenancy.grant(.records("Write", at: "room/note"), to: carol)
    var second = try mint().record.draft
    second.permissionGrantID = elsewhere.id
    #expect(try await tenancy.attempt(carol, second) == Self.invalid + "AudienceWriterUnauthorized")
    second.permissionGrantID = writing.id
    #expect(try await tenancy.attempt(carol, second) == "202")
  }

  @Test("a record that must be encrypted is encrypted to its path and to every role that reads it")
  func envelopes() async throws {
    let (audience, key) = try mint()
    let role = V1Envelope.Scheme.roleAudience(protocolURI: TestTenancy.protocolURI, rolePath: "room/member")
    func status(_ recipients: [V1Envelope.Recipient]) async throws -> String {
      let (envelope, ciphertext) = try V1Envelope.seal(Array("hello".utf8), to: recipients, random: random)
      var draft = tenancy.draft("room/note", below: room)
      draft.encryption = envelope.json
      draft.data = ciphertext
      return try await tenancy.attempt(tenancy.alice, draft)
    }
    let own = V1Envelope.Recipient(Self.pathKey.publicKey, .protocolPath)
    let readers = V1Envelope.Recipient(key.publicKey, role)
    let refused = "400 ProtocolAuthorizationEncryption"
    #expect(try await status([readers]) == refused + "ProtocolPathEntryMissing")
    #expect(try await status([own]) == refused + "RoleAudienceEntryMissing")
    #expect(try await status([own, readers]) == refused + "RoleAudienceMissing")
    #expect(try await tenancy.attempt(tenancy.alice, audience.draft) == "202")
    #expect(try await status([own, readers]) == "202")
  }
}
