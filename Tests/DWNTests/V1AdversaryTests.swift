import Cryptography
import Identity
import TestSupport
import Testing
import Wire

@testable import DWN

/// Counter mode protects nothing by itself: each of these would give another plaintext, or the plaintext to another reader.
@Suite("Encryption v1: what was altered")
struct V1AdversaryTests {
  private let workshop = MessageWorkshop()
  private let random = SeededRandom(31)
  private let uri = "https://example.com/mesh"
  private let member: ProtocolPath = "network/member"
  private let node: ProtocolPath = "network/node"

  private func sealed(
    _ text: String, _ recipients: [V1Envelope.Recipient]
  ) throws -> (write: RecordsWrite, data: [UInt8]) {
    let (envelope, data) = try V1Envelope.seal(Array(text.utf8), to: recipients, random: random)
    let draft = RecordDraft(
      protocolURI: uri, path: "network/node", parent: ContextID("bafynetwork"), encryption: envelope.json, data: data)
    return (workshop.signer.recordsWrite(draft, at: workshop.time), data)
  }

  private var own: X25519PrivateKey { KeyTree(workshop.identity).typeKey(protocolURI: uri, path: "network/node") }

  @Test("a ciphertext of which one bit was turned is not opened, at any place")
  func bits() throws {
    let (write, data) = try sealed("10.200.0.7", [.init(own.publicKey, .protocolPath)])
    #expect(try V1SealedRecord(write, data: data).open(with: own, as: .protocolPath) == Array("10.200.0.7".utf8))
    for index in data.indices {
      var altered = data
      altered[index] ^= 1
      #expect(throws: EnvelopeError.notAuthentic) { try V1SealedRecord(write, data: altered) }
    }
    #expect(throws: EnvelopeError.notAuthentic) { try V1SealedRecord(write, data: Array(data.dropLast())) }
    #expect(throws: EnvelopeError.notAuthentic) { try V1SealedRecord(write, data: data + [0]) }
  }

  @Test("the envelope of another record is refused, also when the message is signed without naming its own")
  func swapped() throws {
    let (first, data) = try sealed("first", [.init(own.publicKey, .protocolPath)])
    let (second, _) = try sealed("second", [.init(own.publicKey, .protocolPath)])
    let swapped = workshop.changing(first.message.value, "encryption", to: second.message.value["encryption"])
    #expect(throws: (any Error).self) {
      try V1SealedRecord(RecordsWrite(try workshop.check(swapped)), data: data)
    }
    let unnamed = workshop.signing(swapped) { $0["encryptionCid"] = nil }
    #expect(throws: (any Error).self) {
      try V1SealedRecord(RecordsWrite(try workshop.check(unnamed)), data: data)
    }
  }

  @Test("the key of one audience does not open the entry of another, whatever the entry says")
  func audiences() throws {
    let (a, b) = (X25519PrivateKey(random: random), X25519PrivateKey(random: random))
    let (forMembers, forNodes) = (
      V1Envelope.Scheme.roleAudience(protocolURI: uri, rolePath: member),
      V1Envelope.Scheme.roleAudience(protocolURI: uri, rolePath: node)
    )
    let (envelope, data) = try V1Envelope.seal(
      Array("text".utf8), to: [.init(a.publicKey, forMembers), .init(b.publicKey, forNodes)], random: random)
    #expect(try envelope.open(data, with: a, forMembers) == Array("text".utf8))
    #expect(throws: EnvelopeError.self) { try envelope.open(data, with: a, forNodes) }
    #expect(throws: EnvelopeError.self) { try envelope.open(data, with: b, .protocolPath) }
    let renamed = V1Envelope(
      initializationVector: envelope.initializationVector,
      entries: [V1Envelope.Entry(scheme: forNodes, wrapped: envelope.entries[0].wrapped)])
    #expect(throws: EnvelopeError.notAuthentic) { try renamed.open(data, with: a, forNodes) }
  }

  @Test("a sealed audience key that was moved to another audience is not recovered")
  func movedSeal() throws {
    let role = KeyTree(workshop.identity).typeKey(protocolURI: uri, path: member)
    let name = try #require(AudienceName(protocolURI: uri, rolePath: member, contextID: ContextID("bafyone")))
    let (record, key) = try AudienceRecord.mint(name, roleKey: role.publicKey, random: random)
    #expect(try record.unseal(with: role).bytes.copy() == key.bytes.copy())
    var moved = try #require(record.json.object)
    moved["contextId"] = "bafytwo"
    let elsewhere = try AudienceRecord(parsing: JSONValue.object(moved).encoded)
    #expect(throws: EnvelopeError.notAuthentic) { try elsewhere.unseal(with: role) }
    #expect(throws: EnvelopeError.self) { try record.unseal(with: own) }
  }

  @Test("a delivery whose tags name another audience or another key is refused")
  func delivery() throws {
    let holder = KeyTree(workshop.stranger)
    let name = try #require(AudienceName(protocolURI: uri, rolePath: member, contextID: ContextID("bafyone")))
    let delivery = DeliveryRecord(name, key: X25519PrivateKey(random: random))
    let draft = try delivery.draft(
      to: workshop.stranger.did, key: holder.typeKey(protocolURI: uri, path: member).publicKey, random: random)
    let changes: [(String, JSONValue)] = [
      ("contextId", "bafytwo"), ("keyId", .string(delivery.keyID.replacing("A", with: "B") + "x")),
      ("rolePath", "network/node"),
    ]
    for (tag, value) in changes {
      var altered = draft
      altered.tags?[tag] = value
      let write = workshop.signer.recordsWrite(altered, at: workshop.time)
      #expect(throws: EnvelopeError.self, "\(tag)") {
        try DeliveryRecord(opening: write, data: altered.data, as: holder)
      }
    }
    let write = workshop.signer.recordsWrite(draft, at: workshop.time)
    #expect(try DeliveryRecord(opening: write, data: draft.data, as: holder).name == name)
  }

  @Test("a key of small order is never encrypted to, and an envelope with one opens nothing")
  func smallOrder() throws {
    let zero = try #require(X25519PublicKey([UInt8](repeating: 0, count: 32)))
    #expect(throws: EnvelopeError.unusableKey(kid: PublicJWK.x25519(zero).thumbprint)) {
      try V1Envelope.seal([1], to: [.init(zero, .protocolPath)], random: random)
    }
    let (envelope, data) = try V1Envelope.seal([1], to: [.init(own.publicKey, .protocolPath)], random: random)
    let entry = envelope.entries[0]
    let altered = V1Envelope(
      initializationVector: envelope.initializationVector,
      entries: [
        .init(
          scheme: .protocolPath,
          wrapped: WrappedKey(
            keyID: entry.keyID, ephemeralKey: zero, encryptedKey: entry.wrapped.encryptedKey))
      ])
    #expect(throws: EnvelopeError.notAuthentic) { try altered.open(data, with: own, .protocolPath) }
  }

  @Test("an envelope of any other form is refused")
  func malformed() throws {
    let good =
      try sealed(
        "text",
        [
          .init(own.publicKey, .protocolPath),
          .init(own.publicKey, .roleAudience(protocolURI: uri, rolePath: member)),
        ]
      ).write.message.value["encryption"] ?? .null
    #expect(try V1Envelope(good).json == good)
    let place = "keyEncryption/1/"
    let changes: [(String, JSONValue?)] = [
      ("algorithm", "A256GCM"), ("algorithm", nil), ("initializationVector", .string(Base64.encode([1, 2, 3]))),
      ("initializationVector", "AAAAAAAAAAAAAAAAAAAAAA=="), ("keyEncryption", []), ("keyEncryption", "x"),
      ("tag", "x"), (place + "algorithm", "A256KW"), (place + "keyId", "short"), (place + "derivationScheme", "seal"),
      (place + "protocol", nil), (place + "rolePath", nil), (place + "rolePath", "$encryption/audience"),
      (place + "encryptedKey", "AAAA"), (place + "rootKeyId", "x"),
      (place + "ephemeralPublicKey/d", "AAAA"), (place + "ephemeralPublicKey/crv", "P-256"),
      ("keyEncryption/0/protocol", .string(uri)),
    ]
    for (name, value) in changes {
      #expect(throws: EnvelopeError.self, "\(name)") { try V1Envelope(workshop.changing(good, name, to: value)) }
    }
    #expect(try V1Envelope(workshop.changing(good, place + "ephemeralPublicKey/kid", to: "any")).entries.count == 2)
    let many = JSONValue.array(Array(repeating: good["keyEncryption"]?.array?.first ?? .null, count: 65))
    #expect(throws: EnvelopeError.tooManyRecipients(limit: 64)) {
      try V1Envelope(workshop.changing(good, "keyEncryption", to: many))
    }
  }
}
