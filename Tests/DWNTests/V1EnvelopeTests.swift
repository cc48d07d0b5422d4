import Cryptography
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWN

/// Gives out the bytes that an implementation is known to have used, in order, and nothing after them.
final class ScriptedRandom: RandomSource {
  private let rest: Mutex<ArraySlice<UInt8>>

  init(_ parts: [UInt8]...) {
    rest = Mutex(parts.joined()[...].reduce(into: [UInt8]()) { $0.append($1) }[...])
  }

  init(_ parts: [[UInt8]]) {
    rest = Mutex(Array(parts.joined())[...])
  }

  func fill(_ buffer: UnsafeMutableRawBufferPointer) {
    rest.withLock { rest in
      precondition(rest.count >= buffer.count, "the script has no more bytes")
      buffer.copyBytes(from: rest.prefix(buffer.count))
      rest.removeFirst(buffer.count)
    }
  }

  var isUsedUp: Bool { rest.withLock { $0.isEmpty } }
}

extension JSONValue {
  /// A value of a conformance file, which says itself how it is encoded.
  var fixtureBytes: [UInt8]? {
    switch self["encoding"]?.string {
    case "hex": self["value"]?.string.flatMap { Hex.decode($0) }
    case "base64url": self["value"]?.string.flatMap { Base64.decode($0) }
    case "utf8": (self["value"]?.string).map { Array($0.utf8) }
    default: nil
    }
  }
}

/// `dwn/crypto/jwe-encryption.json`, which is encryption v1 in spite of its name.
@Suite(
  "Encryption v1: conformance", .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"))
struct V1ConformanceTests {
  private static let all = ConformanceCase.all(asserting: "jwe.envelope")
  private static let records = all.filter { $0["encryption"] != nil }
  private static let sealed = all.filter { $0["seal"] != nil }

  private static func scheme(_ vector: ConformanceCase) throws -> V1Envelope.Scheme {
    if vector["derivationScheme"]?.string == "protocolPath" { return .protocolPath }
    return .roleAudience(
      protocolURI: try #require(vector["protocol"]?.string),
      rolePath: try #require(vector["rolePath"]?.string.flatMap { ProtocolPath($0) }))
  }

  @Test(
    "with the same content key, vector and ephemeral key the envelope and the ciphertext are the same",
    arguments: records)
  func seals(vector: ConformanceCase) throws {
    let recipient = try #require(vector["recipientPrivateJwk"].flatMap(X25519PrivateKey.init(privateJWK:)))
    let ephemeral = try #require(vector["ephemeralPrivateJwk"].flatMap(X25519PrivateKey.init(privateJWK:)))
    #expect(PublicJWK.x25519(recipient.publicKey).thumbprint == vector["keyId"]?.string)
    let random = ScriptedRandom(
      try #require(vector["cek"]?.fixtureBytes), try #require(vector["iv"]?.fixtureBytes), ephemeral.bytes.copy())
    let sealed = try V1Envelope.seal(
      try #require(vector["plaintext"]?.fixtureBytes),
      to: [V1Envelope.Recipient(recipient.publicKey, Self.scheme(vector))], random: random)
    #expect(random.isUsedUp)
    #expect(sealed.ciphertext == vector["ciphertext"]?.fixtureBytes)
    let expected = try V1Envelope(try #require(vector["encryption"]))
    #expect(sealed.envelope == expected)
    #expect(vector["record"]?["descriptor"]?["dataCid"]?.string == DataCID.of(sealed.ciphertext).text)
  }

  @Test("the recipient unwraps the content key and reads the text", arguments: records)
  func opens(vector: ConformanceCase) throws {
    let recipient = try #require(vector["recipientPrivateJwk"].flatMap(X25519PrivateKey.init(privateJWK:)))
    let envelope = try V1Envelope(try #require(vector["encryption"]))
    let entry = try #require(envelope.entries.first)
    #expect(entry.wrapped.unwrap(with: recipient, entry.scheme.purpose)?.copy() == vector["cek"]?.fixtureBytes)
    let plaintext = try envelope.open(
      try #require(vector["ciphertext"]?.fixtureBytes), with: recipient, Self.scheme(vector))
    #expect(plaintext == vector["plaintext"]?.fixtureBytes)
  }

  @Test("a sealed audience key is recovered with the key it was sealed to", arguments: sealed)
  func unseals(vector: ConformanceCase) throws {
    let key = try #require(vector["sealingPrivateJwk"].flatMap(X25519PrivateKey.init(privateJWK:)))
    let context = try #require(vector["sealContext"])
    let purpose = WrappedKey.Purpose.seal(
      protocolURI: try #require(context["protocol"]?.string),
      rolePath: try #require(context["rolePath"]?.string.flatMap { ProtocolPath($0) }),
      contextID: try #require(context["contextId"]?.string.flatMap { ContextID($0) }),
      audienceKeyID: try #require(context["audienceKeyId"]?.string))
    let wrapped = try WrappedKey(try #require(vector["seal"]?.object))
    let audience = try #require(vector["audiencePrivateJwk"].flatMap(X25519PrivateKey.init(privateJWK:)))
    #expect(wrapped.unwrap(with: key, purpose)?.copy() == audience.bytes.copy())
    #expect(wrapped.unwrap(with: key, .protocolPath) == nil)
  }
}

/// `mesh/encryption-v1.json`: everything random is fixed, and every value in between is given.
@Suite("Encryption v1: mesh vectors", .enabled(if: Fixtures.have("mesh/encryption-v1.json"), "\(Fixtures.skipped)"))
struct V1MeshVectorTests {
  private static let path = "mesh/encryption-v1.json"
  private static let file = (try? Fixtures.json(path)) ?? .null
  private static let uri = file["protocol"]?.string ?? ""
  private static let records = ConformanceCase.all(path, "records")
  private static let audiences = ConformanceCase.all(path, "audiences")

  static func identity(_ name: String) throws -> MachineIdentity {
    try #require(MachineIdentity(seed: SecretBytes(SHA2.sha256(Array(("meshd-fixture:" + name).utf8)))))
  }

  private static func hex(_ json: JSONValue?) throws -> [UInt8] {
    try #require(json?.string.flatMap { Hex.decode($0) })
  }

  private static func bytes(_ json: JSONValue?) throws -> [UInt8] {
    try #require(json?.string.flatMap { Base64.decode($0) })
  }

  /// The readers of a record, as its entries name them.
  private static func recipients(_ vector: ConformanceCase) throws -> [V1Envelope.Recipient] {
    try zip(
      V1Envelope(try #require(vector["encryption"])).entries, try #require(vector["wraps"]?.array)
    ).map { entry, wrap in
      V1Envelope.Recipient(try #require(X25519PublicKey(try bytes(wrap["recipientPublicKey_b64u"]))), entry.scheme)
    }
  }

  @Test("a record is sealed to the byte as the other implementation does", arguments: records)
  func seals(vector: ConformanceCase) throws {
    let wraps = try #require(vector["wraps"]?.array)
    let random = ScriptedRandom(
      [try Self.hex(vector["cekHex"]), try Self.hex(vector["ivHex"])]
        + (try wraps.map { try Self.hex($0["ephemeralPrivateKeyHex"]) }))
    let sealed = try V1Envelope.seal(
      Array(try #require(vector["plaintext"]?.string).utf8), to: Self.recipients(vector), random: random)
    #expect(sealed.envelope.json == vector["encryption"])
    #expect(CID(of: sealed.envelope.json).text == vector["encryptionCid"]?.string)
    #expect(sealed.ciphertext == (try Self.bytes(vector["ciphertext_b64u"])))
    #expect(DataCID.of(sealed.ciphertext).text == vector["ciphertextDataCid"]?.string)
  }

  @Test("the wrapping keys are made from the text that both sides agree on", arguments: records)
  func info(vector: ConformanceCase) throws {
    let envelope = try V1Envelope(try #require(vector["encryption"]))
    for (entry, wrap) in zip(envelope.entries, try #require(vector["wraps"]?.array)) {
      #expect(String(decoding: entry.scheme.purpose.info(keyID: entry.keyID), as: UTF8.self) == wrap["kekInfo"]?.string)
    }
  }

  @Test("the owner and every audience that is named read a record, and nobody else", arguments: records)
  func opens(vector: ConformanceCase) throws {
    let anchor = try Self.identity("anchor")
    let path = try #require(vector["protocolPath"]?.string.flatMap { ProtocolPath($0) })
    let data = try Self.bytes(vector["ciphertext_b64u"])
    let plaintext = Array(try #require(vector["plaintext"]?.string).utf8)
    let write = MessageSigner(anchor).recordsWrite(
      RecordDraft(
        protocolURI: Self.uri, path: path,
        parent: ContextID((1..<path.depth).map { "bafy\($0)" }.joined(separator: "/")),
        encryption: vector["encryption"], data: data), at: WallTime(microseconds: 1_790_000_000_000_000))
    let sealed = try V1SealedRecord(write, data: data)
    let own = KeyTree(anchor).typeKey(protocolURI: Self.uri, path: path)
    #expect(try sealed.open(with: own, as: .protocolPath) == plaintext)
    for entry in sealed.envelope.entries {
      guard case .roleAudience(_, let role) = entry.scheme else { continue }
      let audience = try #require(Self.audiences.first { $0["audienceKeyId"]?.string == entry.keyID })
      let key = try #require(X25519PrivateKey(SecretBytes(try Self.hex(audience["audiencePrivateKeyHex"]))))
      #expect(role.text == audience["rolePath"]?.string)
      #expect(try sealed.open(with: key, as: entry.scheme) == plaintext)
      #expect(throws: EnvelopeError.self) { try sealed.open(with: key, as: .protocolPath) }
    }
    #expect(throws: EnvelopeError.notAddressed(kid: PublicJWK.x25519(anchor.wireGuardKey.publicKey).thumbprint)) {
      try sealed.open(with: anchor.wireGuardKey, as: .protocolPath)
    }
  }

  @Test("an audience is minted to the byte, and its key recovered by the owner", arguments: audiences)
  func mints(vector: ConformanceCase) throws {
    let role = try #require(vector["rolePath"]?.string.flatMap { ProtocolPath($0) })
    let name = try #require(
      AudienceName(
        protocolURI: Self.uri, rolePath: role,
        contextID: try #require(vector["contextId"]?.string.flatMap { ContextID($0) })))
    let roleKey = KeyTree(try Self.identity("anchor")).typeKey(protocolURI: Self.uri, path: role)
    let key = try Self.hex(vector["audiencePrivateKeyHex"])
    let (record, minted) = try AudienceRecord.mint(
      name, roleKey: roleKey.publicKey,
      random: ScriptedRandom(key, try Self.hex(vector["sealEphemeralPrivateKeyHex"])))
    #expect(minted.bytes.copy() == key)
    #expect(record.keyID == vector["audienceKeyId"]?.string)
    #expect(.object(try #require(record.draft.tags)) == vector["tags"])
    let expected = Array(try #require(vector["recordDataJson"]?.string).utf8)
    #expect(try record.json == JSONValue(parsing: expected))
    #expect(try AudienceRecord(parsing: expected) == record)
    #expect(try AudienceRecord(parsing: expected).unseal(with: roleKey).bytes.copy() == key)
    #expect(
      String(decoding: name.seal(keyID: record.keyID).info(keyID: record.sealed.keyID), as: UTF8.self)
        == vector["sealKekInfo"]?.string)
  }

  @Test("a delivery is sealed to the byte, and opens for its recipient alone")
  func delivers() throws {
    let vector = try #require(Self.file["delivery"])
    let recipient = try Self.identity("node-a")
    let tags = try #require(vector["tags"]?.object)
    let name = try #require(AudienceName(tags))
    let audience = try #require(Self.audiences.first { $0["audienceKeyId"] == tags["keyId"] })
    let key = try #require(X25519PrivateKey(SecretBytes(try Self.hex(audience["audiencePrivateKeyHex"]))))
    let delivery = DeliveryRecord(name, key: key)
    #expect(.object(delivery.tags) == vector["tags"])
    #expect(delivery.json == (try JSONValue(parsing: try #require(vector["payloadJson"]?.string))))
    let own = KeyTree(recipient).typeKey(protocolURI: Self.uri, path: name.rolePath)
    let draft = try delivery.draft(
      to: recipient.did, key: own.publicKey,
      random: ScriptedRandom(
        try Self.hex(vector["cekHex"]), try Self.hex(vector["ivHex"]), try Self.hex(vector["ephemeralPrivateKeyHex"])))
    #expect(draft.encryption == vector["encryption"])
    let write = MessageSigner(try Self.identity("anchor")).recordsWrite(
      draft, at: WallTime(microseconds: 1_790_000_000_000_000))
    let opened = try DeliveryRecord(opening: write, data: draft.data, as: KeyTree(recipient))
    #expect(opened.key.bytes.copy() == key.bytes.copy() && opened.name == name)
    #expect(throws: EnvelopeError.self) {
      try DeliveryRecord(opening: write, data: draft.data, as: KeyTree(Self.identity("node-b")))
    }
  }

  @Test("the context of an audience follows from where its readers' records stand")
  func contexts() throws {
    for rule in try #require(Self.file["audienceContextRule"]?.array) {
      let role = try #require(rule["rolePath"]?.string.flatMap { ProtocolPath($0) })
      let source = try #require(rule["sourceContextId"]?.string)
      let name = AudienceName(protocolURI: Self.uri, role: role, reading: ContextID(source))
      #expect((name != nil) == rule["ok"]?.bool, "\(role) \(source)")
      if let name { #expect(name.contextText == rule["audienceContextId"]?.string) }
    }
  }
}
