import Cryptography
import Identity
import TestSupport
import Testing
import Wire

@testable import DWN

@Suite("Control records of encryption v1")
struct ControlRecordTests {
  private let workshop = MessageWorkshop()
  private let random = SeededRandom(77)
  private let uri = "https://example.com/chat"
  private let member: ProtocolPath = "room/member"

  private var tree: KeyTree { KeyTree(workshop.identity) }

  private func agreement(_ path: ProtocolPath) -> JSONValue {
    ["publicKeyJwk": PublicJWK.x25519(tree.typeKey(protocolURI: uri, path: path).publicKey).json]
  }

  /// A room with members, and an administrator's role at the root.
  private func definition() throws -> ProtocolDefinition {
    try ProtocolDefinition([
      "protocol": .string(uri), "published": true,
      "$keyAgreement": agreement("room"),
      "types": ["room": [:], "member": [:], "admin": [:], "note": [:]],
      "structure": [
        "admin": ["$role": true, "$keyAgreement": agreement("admin")],
        "room": [
          "$keyAgreement": agreement("room"), "member": ["$role": true, "$keyAgreement": agreement(member)],
          "note": ["$keyAgreement": agreement("room/note")],
        ],
      ],
    ])
  }

  private func name(_ role: ProtocolPath, _ context: String?) throws -> AudienceName {
    try #require(AudienceName(protocolURI: uri, rolePath: role, contextID: context.flatMap { ContextID($0) }))
  }

  private func audience(_ role: ProtocolPath, _ context: String?) throws -> RecordDraft {
    try AudienceRecord.mint(
      try name(role, context), roleKey: tree.typeKey(protocolURI: uri, path: role).publicKey, random: random
    ).record.draft
  }

  private func delivery() throws -> RecordDraft {
    try DeliveryRecord(try name(member, "bafyroom"), key: X25519PrivateKey(random: random)).draft(
      to: workshop.stranger.did,
      key: KeyTree(workshop.stranger).typeKey(protocolURI: uri, path: member).publicKey, random: random)
  }

  private func checkAudience(_ draft: RecordDraft) throws -> AudienceRecord {
    let write = workshop.signer.recordsWrite(draft, at: workshop.time)
    return try EncryptionControl.checkAudience(write, data: draft.data, definition: try definition())
  }

  private func checkDelivery(_ draft: RecordDraft) throws -> EncryptionControl.DeliveryClaim {
    try EncryptionControl.checkDelivery(
      workshop.signer.recordsWrite(draft, at: workshop.time), definition: try definition())
  }

  private func code(_ body: () throws -> some Any) -> String? {
    do {
      _ = try body()
      return nil
    } catch let error as DWNError {
      return error.status == 400 ? error.code : "\(error.status)"
    } catch { return "\(error)" }
  }

  @Test("an audience record that was minted is admitted, at the root and below a context")
  func audiences() throws {
    #expect(try checkAudience(audience(member, "bafyroom")).name == name(member, "bafyroom"))
    #expect(try checkAudience(audience("admin", nil)).name.contextID == nil)
  }

  @Test("every rule for audience records has its code")
  func audienceCodes() throws {
    let good = try audience(member, "bafyroom")
    func changed(_ change: (inout RecordDraft) throws -> Void) -> String? {
      code {
        var draft = good
        try change(&draft)
        return try checkAudience(draft)
      }
    }
    func payload(_ place: String, _ value: JSONValue?, tag: String? = nil) -> String? {
      changed { draft in
        draft.data = workshop.changing(try JSONValue(parsing: draft.data), place, to: value).encoded
        if let tag { draft.tags?[tag] = value }
      }
    }
    let prefix = "EncryptionControlValidate"
    #expect(changed { $0.tags?["keyId"] = nil } == prefix + "AudienceMissingRequiredTag")
    #expect(changed { $0.tags = nil } == prefix + "AudienceMissingRequiredTag")
    #expect(changed { $0.tags?["more"] = "x" } == prefix + "UnexpectedRecord")
    #expect(changed { $0.tags?["contextId"] = "bafyother" } == prefix + "AudienceTagsMismatch")
    #expect(changed { $0.tags?["contextId"] = "" } == prefix + "AudienceContextIdInvalid")
    #expect(changed { $0.published = true } == prefix + "UnexpectedRecord")
    #expect(changed { $0.schema = "https://example.com/other" } == prefix + "UnexpectedRecord")
    #expect(changed { $0.encryption = try delivery().encryption } == prefix + "UnexpectedRecord")
    #expect(changed { $0.data = Array("[]".utf8) } == prefix + "UnexpectedRecord")
    #expect(changed { $0.data = [UInt8](repeating: 0x20, count: 30_001) } == prefix + "UnexpectedRecord")
    #expect(payload("more", "x") == prefix + "UnexpectedRecord")
    #expect(payload("publicKeyJwk/d", "AAAA") == prefix + "UnexpectedRecord")
    #expect(payload("sealedPrivateKey/derivationScheme", "protocolPath") == prefix + "UnexpectedRecord")
    #expect(payload("rolePath", "room/note", tag: "rolePath") == prefix + "AudienceRolePathInvalid")
    let other = PublicJWK.x25519(X25519PrivateKey(random: random).publicKey)
    #expect(payload("keyId", .string(other.thumbprint), tag: "keyId") == prefix + "AudienceKeyIdMismatch")
    #expect(payload("sealedPrivateKey/keyId", .string(other.thumbprint)) == prefix + "AudienceSealKeyIdMismatch")
    let write = workshop.signer.recordsWrite(good, at: workshop.time)
    let update = workshop.signer.recordsWrite(
      RecordDraft(updating: write, data: good.data), at: workshop.time + .seconds(1))
    #expect(
      code { try EncryptionControl.checkAudience(update, data: good.data, definition: definition()) }
        == prefix + "UnexpectedRecord")
  }

  @Test("a delivery is admitted with what the node still has to look up, and every rule has its code")
  func deliveries() throws {
    let good = try delivery()
    let claim = try checkDelivery(good)
    #expect(claim.name == (try name(member, "bafyroom")) && claim.recipient == workshop.stranger.did)
    #expect(claim.keyID == good.tags?["keyId"]?.string)
    func changed(_ change: (inout RecordDraft) -> Void) -> String? {
      code {
        var draft = good
        change(&draft)
        return try checkDelivery(draft)
      }
    }
    let prefix = "EncryptionControlValidate"
    #expect(changed { $0.encryption = nil } == prefix + "UnexpectedRecord")
    #expect(changed { $0.encryption = ["recipients": [1]] } == prefix + "UnexpectedRecord")
    #expect(changed { $0.recipient = nil } == prefix + "DeliveryRecipientMissing")
    #expect(changed { $0.tags?["recipientAuthority"] = nil } == prefix + "DeliveryMissingRequiredTag")
    #expect(changed { $0.tags?["recipientAuthority"] = "anyone" } == prefix + "DeliveryRecipientAuthorityInvalid")
    #expect(changed { $0.tags?["protocol"] = "https://example.com/other" } == prefix + "DeliveryTagsMismatch")
    #expect(changed { $0.tags?["rolePath"] = "room/note" } == prefix + "DeliveryTagsMismatch")
    #expect(changed { $0.tags?["contextId"] = "" } == prefix + "DeliveryTagsMismatch")
    #expect(changed { $0.tags?["more"] = 1 } == prefix + "UnexpectedRecord")
  }

  @Test("of several audience records the tenant's oldest is current, and among equals the lowest id")
  func current() throws {
    let drafts = try [audience(member, "bafyroom"), audience(member, "bafyroom"), audience(member, "bafyroom")]
    let early = MessageSigner(workshop.stranger).recordsWrite(drafts[0], at: workshop.time)
    let writes = drafts.map { workshop.signer.recordsWrite($0, at: workshop.time + .seconds(1)) }
    let late = workshop.signer.recordsWrite(drafts[0], at: workshop.time + .seconds(2))
    let tenant = workshop.identity.did
    let sorted = ([late, early] + writes).sorted {
      AudiencePrecedence($0, tenant: tenant) < AudiencePrecedence($1, tenant: tenant)
    }
    #expect(sorted == writes.sorted { $0.recordID < $1.recordID } + [late, early])
  }

  // MARK: Grant keys

  private func grantKey(_ path: ProtocolPath?) throws -> GrantKey {
    let key = try #require(DerivationPath(["protocolPath", uri] + (path?.segments ?? []))).segments
    return GrantKey(
      grantID: try #require(RecordID("bafygrant")), protocolURI: uri, path: path,
      key: tree.key(at: try #require(DerivationPath(key))))
  }

  private func record(_ grant: GrantKey, _ change: (inout RecordDraft) -> Void = { _ in }) throws -> RecordDraft {
    var tags: JSONObject = [
      "grantId": .string(grant.grantID.text), "protocol": .string(grant.protocolURI), "keyId": .string(grant.keyID),
    ]
    tags["protocolPath"] = grant.path.map { .string($0.text) }
    var draft = RecordDraft(
      protocolURI: GrantKey.protocolURI, path: GrantKey.recordPath, schema: GrantKey.schema,
      recipient: workshop.stranger.did, tags: tags,
      data: try grant.wrapped(for: workshop.stranger.wireGuardKey.publicKey, random: random).encoded)
    change(&draft)
    return draft
  }

  @Test(
    "a wrapped grant key gives the keys of its scope and of no other path", arguments: [nil, "room" as ProtocolPath])
  func wrapped(path: ProtocolPath?) throws {
    let draft = try record(try grantKey(path))
    let write = workshop.signer.recordsWrite(draft, at: workshop.time)
    #expect(try GrantKey.check(write, data: draft.data).path == path)
    let grant = try GrantKey(unwrapping: write, data: draft.data, with: workshop.stranger.wireGuardKey)
    let below = try #require(grant.key(at: member))
    #expect(below.bytes.copy() == tree.typeKey(protocolURI: uri, path: member).bytes.copy())
    #expect((grant.key(at: "admin") == nil) == (path != nil))
    #expect((grant.key(at: "rooms") == nil) == (path != nil))
    #expect(grant.key(at: "room") != nil)
  }

  @Test("a grant key that says something else than its tags, or than its scope, is refused")
  func contradictions() throws {
    let root = workshop.stranger.wireGuardKey
    let narrow = try grantKey("room/note")
    let draft = try record(narrow) { $0.tags?["protocolPath"] = "room" }
    let write = workshop.signer.recordsWrite(draft, at: workshop.time)
    #expect(throws: EnvelopeError.self) { try GrantKey(unwrapping: write, data: draft.data, with: root) }
    let wider = workshop.changing(narrow.json, "scope/protocolPath", to: nil)
    #expect(throws: EnvelopeError.self) { try GrantKey(parsing: wider.encoded) }
    let another = workshop.changing(narrow.json, "keyMaterial/privateKeyJwk", to: try grantKey(nil).key.privateJWK)
    #expect(throws: EnvelopeError.self) { try GrantKey(parsing: another.encoded) }
  }

  @Test("every rule for grant keys has its code")
  func grantCodes() throws {
    func changed(_ change: (inout RecordDraft) -> Void) -> String? {
      code {
        let draft = try record(try grantKey(nil), change)
        return try GrantKey.check(workshop.signer.recordsWrite(draft, at: workshop.time), data: draft.data)
      }
    }
    let prefix = "EncryptionProtocolValidate"
    #expect(changed { _ in } == nil)
    #expect(changed { $0.path = GrantKey.wrappedPath } == nil)
    #expect(changed { $0.data = Array("{}".utf8) } == prefix + "EncryptedDeliveryMissingEncryption")
    #expect(changed { $0.tags?["grantId"] = nil } == prefix + "GrantKeyMissingRequiredTag")
    #expect(changed { $0.tags?["more"] = "x" } == prefix + "SchemaUnexpectedRecord")
    #expect(changed { $0.recipient = nil } == prefix + "GrantKeyRecipientMismatch")
    #expect(changed { $0.schema = nil } == prefix + "SchemaUnexpectedRecord")
  }

  @Test("no key that is handed out is printed")
  func secrets() throws {
    let grant = try grantKey(nil)
    let delivery = DeliveryRecord(try name("admin", nil), key: grant.key)
    let secret = Base64.encode(grant.key.bytes.copy())
    for text in ["\(grant)", "\(delivery)", String(reflecting: grant), String(reflecting: delivery)] {
      #expect(!text.contains(secret))
    }
    var dumped = ""
    dump(grant, to: &dumped)
    dump(delivery, to: &dumped)
    #expect(!dumped.contains(secret))
  }
}
