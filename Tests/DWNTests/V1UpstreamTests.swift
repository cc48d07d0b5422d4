import Cryptography
import Identity
import TestSupport
import Testing
import Wire

@testable import DWN

/// `mesh/upstream-v1`: genuine records of another implementation, which its own node took.
@Suite(
  "Encryption v1: records of another implementation",
  .enabled(if: Fixtures.have("mesh/upstream-v1/sealed_roleaudience.json"), "\(Fixtures.skipped)"))
struct V1UpstreamTests {
  private static func file(_ name: String) throws -> JSONValue { try Fixtures.json("mesh/upstream-v1/\(name).json") }

  /// A message as a reply shows it, checked like any other, with its data.
  private static func record(_ json: JSONValue?, data: [UInt8]? = nil) throws -> (RecordsWrite, [UInt8]) {
    let entry = try #require(json.flatMap { ReplyEntry($0) })
    let signed = try SignedMessage(checking: Message(entry.message), resolver: OfflineResolver())
    return (try RecordsWrite(signed), try #require(data ?? entry.data))
  }

  private static func key(_ json: JSONValue?) throws -> X25519PrivateKey {
    try #require(json.flatMap(X25519PrivateKey.init(privateJWK:)))
  }

  private static func bytes(_ json: JSONValue?, _ variant: Base64.Variant = .url) throws -> [UInt8] {
    try #require(json?.string.flatMap { Base64.decode($0, variant) })
  }

  @Test("a record for the owner alone opens with the key of its path")
  func protocolPath() throws {
    let file = try Self.file("protocolpath")
    let (write, data) = try Self.record(file["recordMessage"], data: Self.bytes(file["ciphertext_b64"], .standard))
    let key = KeyTree(root: try Self.key(file["readerEncPrivateKeyJwk"]))
      .typeKey(protocolURI: write.protocolURI, path: write.path)
    #expect(
      try V1SealedRecord(write, data: data).open(with: key, as: .protocolPath)
        == Self.bytes(file["expectedPlaintext_b64"], .standard))
  }

  @Test("an audience's key comes to a role holder, who then reads the record")
  func audience() throws {
    let file = try Self.file("sealed_roleaudience")
    let owner = KeyTree(root: try Self.key(file["ownerEncPrivateKeyJwk"]))
    let holder = KeyTree(root: try Self.key(file["roleHolder"]?["encPrivateKeyJwk"]))
    let source = try #require(file["sourceRecord"])
    let (write, data) = try Self.record(source["message"], data: Self.bytes(source["ciphertext_b64u"]))
    let sealed = try V1SealedRecord(write, data: data)
    let plaintext = try Self.bytes(source["plaintext_b64u"])

    let (delivery, deliveryData) = try Self.record(file["deliveryRecord"]?["message"])
    let delivered = try DeliveryRecord(opening: delivery, data: deliveryData, as: holder)
    #expect(throws: EnvelopeError.self) { try DeliveryRecord(opening: delivery, data: deliveryData, as: owner) }
    var read = 0
    for vector in try #require(file["audienceRecords"]?.array) {
      let (write, data) = try Self.record(vector["message"])
      let record = try AudienceRecord(parsing: data)
      #expect(record.keyID == vector["keyId"]?.string)
      #expect(EncryptionControl.audience(of: write)?.name == record.name)
      let roleKey = owner.typeKey(protocolURI: write.protocolURI, path: record.name.rolePath)
      let key = try record.unseal(with: roleKey)
      #expect(key.bytes.copy() == (try Self.key(vector["audienceKeyMaterial"]?["privateKeyJwk"])).bytes.copy())
      let scheme = V1Envelope.Scheme.roleAudience(protocolURI: write.protocolURI, rolePath: record.name.rolePath)
      #expect(try sealed.open(with: key, as: scheme) == plaintext)
      if record.name == delivered.name {
        #expect(key.bytes.copy() == delivered.key.bytes.copy())
        #expect(try sealed.open(with: delivered.key, as: scheme) == plaintext)
        read += 1
      }
    }
    #expect(read == 1)
    let own = owner.typeKey(protocolURI: write.protocolURI, path: write.path)
    #expect(try sealed.open(with: own, as: .protocolPath) == plaintext)
  }

  @Test("the rules of a node admit its control records under its definition, and not under the recipient's")
  func admission() throws {
    let file = try Self.file("sealed_roleaudience")
    let owner = try ProtocolDefinition(try #require(file["ownerInstalledDefinition"]))
    let holder = try ProtocolDefinition(try #require(file["roleHolder"]?["installedDefinition"]))
    for vector in try #require(file["audienceRecords"]?.array) {
      let (write, data) = try Self.record(vector["message"])
      let record = try EncryptionControl.checkAudience(write, data: data, definition: owner)
      #expect(record.name.rolePath.text == vector["rolePath"]?.string)
      #expect(throws: DWNError.self) { try EncryptionControl.checkAudience(write, data: data, definition: holder) }
    }
    let (delivery, _) = try Self.record(file["deliveryRecord"]?["message"])
    let claim = try EncryptionControl.checkDelivery(delivery, definition: owner)
    #expect(claim.recipient.text == file["roleHolder"]?["did"]?.string)
    #expect(claim.keyID == file["deliveryRecord"]?["expectedPayload"]?["keyId"]?.string)
  }

  @Test("a delegate unwraps its grant key, and reads what lies below it")
  func grantKey() throws {
    let file = try Self.file("wrapped_grantkey")
    let (write, data) = try Self.record(file["grantKeyRecord"]?["message"], data: nil)
    let claim = try GrantKey.check(write, data: data)
    let root = try Self.key(file["delegate"]?["encPrivateKeyJwk"])
    let grant = try GrantKey(unwrapping: write, data: data, with: root)
    #expect(grant.grantID == claim.grantID && claim.grantID.text == file["grant"]?["grantId"]?.string)
    #expect(grant.path == nil && grant.protocolURI == file["protocol"]?.string)
    let expected = try #require(file["expectedGrantKeyPayload"])
    #expect(try GrantKey(parsing: expected.encoded).key.bytes.copy() == grant.key.bytes.copy())
    let vector = try #require(file["encryptedRecord"])
    let (record, ciphertext) = try Self.record(vector["message"], data: Self.bytes(vector["ciphertext_b64u"]))
    let key = try #require(grant.key(at: record.path))
    #expect(
      try V1SealedRecord(record, data: ciphertext).open(with: key, as: .protocolPath)
        == Self.bytes(vector["plaintext_b64u"]))
    #expect(throws: EnvelopeError.self) {
      try GrantKey(unwrapping: write, data: data, with: X25519PrivateKey(random: SeededRandom(3)))
    }
    #expect(throws: EnvelopeError.notAuthentic) { try GrantKey(unwrapping: write, data: data + [0x20], with: root) }
  }
}
