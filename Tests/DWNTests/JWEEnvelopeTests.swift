import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

/// `mesh/jose-rfc7516.json`: made by a JOSE library, checked by an independent computation.
@Suite("JWE vectors", .enabled(if: Fixtures.have("mesh/jose-rfc7516.json"), "\(Fixtures.skipped)"))
struct JWEVectorTests {
  private static let good = ConformanceCase.all("mesh/jose-rfc7516.json")
  private static let bad = ConformanceCase.all("mesh/jose-rfc7516.json", "mustFail")

  private static func keys(_ vector: ConformanceCase) throws -> [X25519PrivateKey] {
    try (vector["recipients"]?.array ?? []).map { recipient in
      let jwk = try #require(recipient["privateKeyJwk"])
      let key = try #require(
        jwk["d"]?.string.flatMap { Base64.decode($0) }.flatMap { X25519PrivateKey(SecretBytes($0)) })
      #expect(Base64.encode(key.publicKey.bytes.array) == jwk["x"]?.string)
      #expect(PublicJWK.x25519(key.publicKey).thumbprint == recipient["kid"]?.string)
      return key
    }
  }

  private static func ciphertext(_ vector: ConformanceCase) throws -> [UInt8] {
    try #require(vector["ciphertext"]?.string.flatMap { Base64.decode($0) })
  }

  @Test("every recipient opens it", arguments: good)
  func opens(vector: ConformanceCase) throws {
    let envelope = try JWEEnvelope(try #require(vector["envelope"]))
    #expect(envelope.json == vector["envelope"])
    let plaintext = try #require(vector["plaintext"]?.string.flatMap { Base64.decode($0) })
    for key in try Self.keys(vector) {
      #expect(try envelope.open(Self.ciphertext(vector), with: key) == plaintext)
    }
  }

  @Test("the keys in between are those of the independent computation", arguments: good)
  func keyWrapping(vector: ConformanceCase) throws {
    let envelope = try JWEEnvelope(try #require(vector["envelope"]))
    for (key, recipient) in zip(try Self.keys(vector), vector["recipients"]?.array ?? []) {
      let entry = try #require(envelope.entry(for: key.publicKey))
      let shared = try #require(key.sharedSecret(with: entry.ephemeralKey))
      let wrapping = KeyDerivation.concatSHA256(shared, algorithmID: "ECDH-ES+A256KW")
      #expect(Base64.encode(wrapping.copy()) == recipient["kek"]?.string)
      #expect(
        AESKeyWrap.unwrap(entry.encryptedKey, with: wrapping).map { Base64.encode($0.copy()) } == vector["cek"]?.string)
    }
  }

  @Test("what was altered in one point opens for nobody", arguments: bad)
  func refused(vector: ConformanceCase) throws {
    for key in try Self.keys(vector) {
      #expect(throws: EnvelopeError.self) {
        try JWEEnvelope(try #require(vector["envelope"])).open(Self.ciphertext(vector), with: key)
      }
    }
  }
}

@Suite("JWE envelope")
struct JWEEnvelopeTests {
  private let random = SeededRandom(.random(in: 0...(.max)))
  private let network: X25519PrivateKey
  private let type: X25519PrivateKey
  private let stranger: X25519PrivateKey
  private let epoch = KeyEpoch(1_795_262_420)!

  init() {
    network = X25519PrivateKey(random: random)
    type = X25519PrivateKey(random: random)
    stranger = X25519PrivateKey(random: random)
  }

  private var meshRecipients: [EnvelopeRecipient] {
    [
      EnvelopeRecipient(network.publicKey, .protocolContext(epoch)), EnvelopeRecipient(type.publicKey, .protocolPath),
    ]
  }

  @Test("what is sealed is opened by each recipient and by nobody else", arguments: [0, 1, 15, 16, 17, 5000])
  func roundTrip(size: Int) throws {
    let plaintext = random.bytes(size)
    let (sealed, ciphertext) = try JWEEnvelope.seal(plaintext, to: meshRecipients, random: random)
    #expect(ciphertext.count == size)
    let envelope = try JWEEnvelope(try JSONValue(parsing: sealed.json.text))
    #expect(envelope == sealed)
    #expect(try envelope.open(ciphertext, with: network) == plaintext, "seed \(random.seed)")
    #expect(try envelope.open(ciphertext, with: type) == plaintext, "seed \(random.seed)")
    let kid = PublicJWK.x25519(stranger.publicKey).thumbprint
    #expect(throws: EnvelopeError.notAddressed(kid: kid)) { try envelope.open(ciphertext, with: stranger) }
  }

  @Test("it is written as one form, in the order of the recipients")
  func form() throws {
    let (envelope, _) = try JWEEnvelope.seal([1], to: meshRecipients, random: random)
    let json = envelope.json
    #expect(json.object?.names == ["protected", "iv", "tag", "recipients"])
    #expect(json["protected"]?.string == "eyJhbGciOiJFQ0RILUVTK0EyNTZLVyIsImVuYyI6IkEyNTZHQ00ifQ")
    let first = try #require(json["recipients"]?.array?.first)
    #expect(first["header"]?.object?.names == ["kid", "epk", "derivationScheme", "epoch"])
    #expect(first["header"]?["kid"]?.string == PublicJWK.x25519(network.publicKey).thumbprint)
    #expect(first["header"]?["epoch"] == .integer(epoch.number))
    let second = try #require(json["recipients"]?.array?.last)
    #expect(second["header"]?.object?.names == ["kid", "epk", "derivationScheme"])
    #expect(second["header"]?["epk"] != first["header"]?["epk"])
  }

  @Test("the epoch is written also when it is 0")
  func epochZero() throws {
    let recipient = EnvelopeRecipient(network.publicKey, .protocolContext(.first))
    let (envelope, _) = try JWEEnvelope.seal([], to: [recipient], random: random)
    #expect(envelope.json["recipients"]?.array?.first?["header"]?["epoch"] == 0)
    #expect(try JWEEnvelope(envelope.json).networkEntry?.scheme == .protocolContext(.first))
  }

  @Test("nothing is sealed twice with one key or nonce")
  func fresh() throws {
    let one = try JWEEnvelope.seal([1, 2, 3], to: meshRecipients, random: random)
    let other = try JWEEnvelope.seal([1, 2, 3], to: meshRecipients, random: random)
    #expect(one.envelope.iv != other.envelope.iv)
    #expect(one.ciphertext != other.ciphertext)
    #expect(Set((one.envelope.entries + other.envelope.entries).map(\.ephemeralKey)).count == 4)
  }

  @Test("recipients that cannot be are refused")
  func recipients() throws {
    let zero = try #require(X25519PublicKey([UInt8](repeating: 0, count: 32)))
    func seal(_ recipients: [EnvelopeRecipient]) throws { _ = try JWEEnvelope.seal([], to: recipients, random: random) }
    #expect(throws: EnvelopeError.noRecipients) { try seal([]) }
    #expect(throws: EnvelopeError.unusableKey(kid: PublicJWK.x25519(zero).thumbprint)) {
      try seal([EnvelopeRecipient(zero, .didKey)])
    }
    #expect(throws: EnvelopeError.repeatedRecipient(kid: meshRecipients[1].kid)) {
      try seal([meshRecipients[1], EnvelopeRecipient(type.publicKey, .didKey)])
    }
    #expect(throws: EnvelopeError.severalNetworkKeys) {
      try seal([meshRecipients[0], EnvelopeRecipient(type.publicKey, .protocolContext(.first))])
    }
    let many = (0..<17).map { _ in EnvelopeRecipient(X25519PrivateKey(random: random).publicKey, .protocolPath) }
    #expect(throws: EnvelopeError.tooManyRecipients(limit: 16)) { try seal(many) }
    #expect(throws: Never.self) { try seal(Array(many.dropLast())) }
  }

  @Test("the entry for the network key decides, also for the owner who holds both keys")
  func reading() throws {
    let (envelope, ciphertext) = try JWEEnvelope.seal([9], to: meshRecipients, random: random)
    #expect(try envelope.open(ciphertext, networkKey: { $0 == epoch ? network : nil }, typeKey: type) == [9])
    #expect(throws: EnvelopeError.missingNetworkKey(epoch)) {
      try envelope.open(ciphertext, networkKey: { _ in nil }, typeKey: type)
    }
    // A writer that names an epoch and wraps for another key has written for the owner alone.
    #expect(throws: EnvelopeError.notAddressed(kid: PublicJWK.x25519(stranger.publicKey).thumbprint)) {
      try envelope.open(ciphertext, networkKey: { _ in stranger }, typeKey: type)
    }
  }

  @Test("a record without a network key is opened with the type key, and with no key of another scheme")
  func typeKey() throws {
    let (envelope, ciphertext) = try JWEEnvelope.seal([9], to: [meshRecipients[1]], random: random)
    #expect(try envelope.open(ciphertext, networkKey: { _ in network }, typeKey: type) == [9])
    #expect(throws: EnvelopeError.ownerOnly) { try envelope.open(ciphertext, networkKey: { _ in network }) }
    #expect(throws: EnvelopeError.self) { try envelope.open(ciphertext, didKey: type) }
    let delivery = try JWEEnvelope.seal([9], to: [EnvelopeRecipient(type.publicKey, .didKey)], random: random)
    #expect(try delivery.envelope.open(delivery.ciphertext, didKey: type) == [9])
    #expect(throws: EnvelopeError.self) {
      try delivery.envelope.open(delivery.ciphertext, networkKey: { _ in network }, typeKey: type)
    }
  }

  @Test("a delivery with a second recipient is refused")
  func delivery() throws {
    let both = [EnvelopeRecipient(network.publicKey, .didKey), EnvelopeRecipient(type.publicKey, .didKey)]
    let (envelope, ciphertext) = try JWEEnvelope.seal([9], to: both, random: random)
    #expect(throws: EnvelopeError.self) { try envelope.open(ciphertext, didKey: network) }
  }

  @Test("a flipped bit anywhere keeps it closed")
  func bits() throws {
    let plaintext = random.bytes(20)
    let (envelope, ciphertext) = try JWEEnvelope.seal(plaintext, to: [meshRecipients[1]], random: random)
    func flipped(_ bytes: [UInt8], _ bit: Int) -> [UInt8] {
      var bytes = bytes
      bytes[bit / 8] ^= 1 << (bit % 8)
      return bytes
    }
    for bit in 0..<ciphertext.count * 8 {
      #expect(throws: EnvelopeError.notAuthentic) { try envelope.open(flipped(ciphertext, bit), with: type) }
    }
    for (name, bytes) in [("iv", envelope.iv), ("tag", envelope.tag)] {
      for bit in 0..<bytes.count * 8 {
        var json = try #require(envelope.json.object)
        json[name] = .string(Base64.encode(flipped(bytes, bit)))
        let altered = try JWEEnvelope(.object(json))
        #expect(throws: EnvelopeError.notAuthentic) { try altered.open(ciphertext, with: type) }
      }
    }
    for bit in 0..<320 {
      let altered = try JWEEnvelope(
        Self.changing(envelope.json, ["recipients", "0", "encrypted_key"]) { _ in
          .string(Base64.encode(flipped(envelope.entries[0].encryptedKey, bit)))
        })
      #expect(throws: EnvelopeError.notAuthentic) { try altered.open(ciphertext, with: type) }
    }
    #expect(throws: EnvelopeError.notAuthentic) { try envelope.open(ciphertext + [0], with: type) }
    #expect(throws: EnvelopeError.notAuthentic) { try envelope.open(ciphertext.dropLast(), with: type) }
  }

  /// A change of one place of a good envelope.
  struct Change: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let place: [String]
    let value: JSONValue?

    init(_ name: String, _ place: String, _ value: JSONValue?) {
      testDescription = name
      self.place = place.split(separator: "/").map(String.init)
      self.value = value
    }
  }

  private static let thirteen = Base64.encode([UInt8](repeating: 1, count: 13))
  static let changes = [
    Change("protected is missing", "protected", nil),
    Change(
      "protected has a space", "protected",
      .string(Base64.encode(Array(#"{"alg":"ECDH-ES+A256KW", "enc":"A256GCM"}"#.utf8)))),
    Change(
      "protected in the other order", "protected",
      .string(Base64.encode(Array(#"{"enc":"A256GCM","alg":"ECDH-ES+A256KW"}"#.utf8)))),
    Change("protected with padding", "protected", "eyJhbGciOiJFQ0RILUVTK0EyNTZLVyIsImVuYyI6IkEyNTZHQ00ifQ=="),
    Change("protected is an object", "protected", [:]),
    Change("iv is missing", "iv", nil), Change("iv has 13 bytes", "iv", .string(thirteen)),
    Change("iv is a number", "iv", 1),
    Change("tag is missing", "tag", nil), Change("tag has 13 bytes", "tag", .string(thirteen)),
    Change("tag with padding", "tag", "AAAAAAAAAAAAAAAAAAAAAA=="),
    Change("tag with unused bits", "tag", "AAAAAAAAAAAAAAAAAAAAAB"),
    Change("aad is there", "aad", "AA"), Change("unprotected is there", "unprotected", [:]),
    Change("ciphertext is there", "ciphertext", "AA"), Change("an unknown member is there", "x", .null),
    Change("recipients are missing", "recipients", nil), Change("no recipient", "recipients", []),
    Change("recipients are no list", "recipients", [:]), Change("a recipient is a text", "recipients/0", "x"),
    Change("a recipient has no header", "recipients/0/header", nil),
    Change("a recipient has an unknown member", "recipients/0/x", 1),
    Change("encrypted_key is missing", "recipients/0/encrypted_key", nil),
    Change("encrypted_key has 13 bytes", "recipients/0/encrypted_key", .string(thirteen)),
    Change("kid is missing", "recipients/0/header/kid", nil),
    Change("kid is a DID URL", "recipients/0/header/kid", "did:jwk:x#1"),
    Change("kid has 13 bytes", "recipients/0/header/kid", .string(thirteen)),
    Change("epk is missing", "recipients/0/header/epk", nil), Change("epk is a text", "recipients/0/header/epk", "x"),
    Change("epk has a kid", "recipients/0/header/epk/kid", "x"),
    Change("epk has a private key", "recipients/0/header/epk/d", "x"),
    Change("epk has no x", "recipients/0/header/epk/x", nil),
    Change("epk has 13 bytes", "recipients/0/header/epk/x", .string(thirteen)),
    Change("epk on another curve", "recipients/0/header/epk/crv", "Ed25519"),
    Change("epk of another kind", "recipients/0/header/epk/kty", "EC"),
    Change("alg in the header", "recipients/0/header/alg", "dir"),
    Change("apu in the header", "recipients/0/header/apu", "AA"),
    Change("apv in the header", "recipients/0/header/apv", "AA"),
    Change("derivedPublicKey in the header", "recipients/0/header/derivedPublicKey", [:]),
    Change("derivationScheme is missing", "recipients/0/header/derivationScheme", nil),
    Change("an unknown derivationScheme", "recipients/0/header/derivationScheme", "schemas"),
    Change("epoch is missing", "recipients/0/header/epoch", nil),
    Change("epoch is a text", "recipients/0/header/epoch", "1"),
    Change("epoch is negative", "recipients/0/header/epoch", -1),
    Change("epoch is a fraction", "recipients/0/header/epoch", .number(1.5)),
    Change("epoch is null", "recipients/0/header/epoch", .null),
    Change("epoch at a type key", "recipients/1/header/epoch", 1),
    Change("two network keys", "recipients/1/header/derivationScheme", "protocolContext"),
  ]

  @Test("another form than the one that is written is refused", arguments: changes)
  func strict(change: Change) throws {
    let (envelope, _) = try JWEEnvelope.seal([1], to: meshRecipients, random: random)
    var json = Self.changing(envelope.json, change.place) { _ in change.value }
    if change.testDescription == "two network keys" {
      json = Self.changing(json, ["recipients", "1", "header", "epoch"]) { _ in 3 }
    }
    #expect(json != envelope.json)
    #expect(throws: EnvelopeError.self) { try JWEEnvelope(json) }
  }

  @Test("one key named twice is refused")
  func repeated() throws {
    let (envelope, _) = try JWEEnvelope.seal([1], to: meshRecipients, random: random)
    let kid = envelope.entries[0].kid
    let json = Self.changing(envelope.json, ["recipients", "1", "header", "kid"]) { _ in .string(kid) }
    #expect(throws: EnvelopeError.repeatedRecipient(kid: kid)) { try JWEEnvelope(json) }
  }

  @Test("an error says nothing of keys or content")
  func secrecy() throws {
    let plaintext = Array("the secret of the mesh".utf8)
    let (envelope, ciphertext) = try JWEEnvelope.seal(plaintext, to: meshRecipients, random: random)
    let error = #expect(throws: EnvelopeError.self) { try envelope.open(ciphertext.reversed(), with: network) }
    let text = error.map { "\($0) \(String(reflecting: $0))" } ?? ""
    #expect(!text.contains("secret"))
    #expect(!text.contains(Base64.encode(network.bytes.copy())))
  }

  /// `value` with one place replaced; `nil` takes it away.
  private static func changing(_ value: JSONValue, _ place: [String], _ change: (JSONValue?) -> JSONValue?) -> JSONValue
  {
    guard let name = place.first else { return change(value) ?? .null }
    let rest = Array(place.dropFirst())
    if var items = value.array, let index = Int(name), index < items.count {
      items[index] = changing(items[index], rest, change)
      return .array(items)
    }
    guard var object = value.object else { return value }
    object[name] = rest.isEmpty ? change(object[name]) : changing(object[name] ?? .null, rest, change)
    return .object(object)
  }
}

/// The envelope of the mesh's older implementation. Its steps differ from RFC 7516 in two parameters only, which the primitives
/// take and the product never passes.
@Suite("Older envelopes", .enabled(if: Fixtures.have("mesh/encryption-jwe.json"), "\(Fixtures.skipped)"))
struct OlderEnvelopeTests {
  private static let records = ConformanceCase.all("mesh/encryption-jwe.json", "records")

  private func hex(_ json: JSONValue, _ name: String) throws -> [UInt8] {
    try #require(json[name]?.string.flatMap { Hex.decode($0) }, "\(name)")
  }

  @Test("every step of it comes out the same with its own parameters", arguments: records)
  func steps(vector: ConformanceCase) throws {
    let contentKey = SecretBytes(try hex(vector.json, "cekHex"))
    for (wrap, recipient) in zip(vector["wraps"]?.array ?? [], vector["encryption"]?["recipients"]?.array ?? []) {
      let ephemeral = try #require(X25519PrivateKey(SecretBytes(hex(wrap, "ephemeralPrivateKeyHex"))))
      let reader = try #require(X25519PrivateKey(SecretBytes(hex(wrap, "recipientPrivateKeyHex"))))
      #expect(Base64.encode(reader.publicKey.bytes.array) == wrap["recipientPublicKey_b64u"]?.string)
      let shared = try #require(ephemeral.sharedSecret(with: reader.publicKey))
      #expect(try shared.copy() == hex(wrap, "sharedSecretHex"))
      let wrapping = KeyDerivation.concatSHA256(shared, algorithmID: "A256KW")
      #expect(try wrapping.copy() == hex(wrap, "kekHex"))
      let wrapped = try AESKeyWrap.wrap(contentKey, with: wrapping)
      #expect(Base64.encode(wrapped) == recipient["encrypted_key"]?.string)
      #expect(AESKeyWrap.unwrap(wrapped, with: wrapping) == contentKey)
    }
    let plaintext = Array(try #require(vector["plaintext"]?.string).utf8)
    let nonce = try hex(vector.json, "ivHex")
    let sealed = try AESGCM.seal(plaintext, key: contentKey, nonce: nonce, additionalData: [])
    #expect(Base64.encode(sealed.ciphertext) == vector["ciphertext_b64u"]?.string)
    #expect(try sealed.tag == hex(vector.json, "tagHex"))
    #expect(DataCID.of(sealed.ciphertext).text == vector["ciphertextDataCid"]?.string)
    #expect(CID(of: try #require(vector["encryption"])).text == vector["encryptionCid"]?.string)
  }

  @Test("it is not the form that is read here", arguments: records)
  func refused(vector: ConformanceCase) throws {
    #expect(throws: EnvelopeError.self) { try JWEEnvelope(try #require(vector["encryption"])) }
  }
}
