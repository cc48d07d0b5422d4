import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

/// `mesh/mesh-records.json`, as far as messages prove something by themselves: form, CIDs, signature, data and encryption.
@Suite("Mesh records", .enabled(if: Fixtures.have("mesh/mesh-records.json"), "\(Fixtures.skipped)"))
struct MeshRecordTests {
  private static let path = "mesh/mesh-records.json"
  private static let file = (try? Fixtures.json(path)) ?? .null
  private static let messages = ConformanceCase.all(path, "messages")
  private static let refused = ConformanceCase.all(path, "refuse")

  private static func identity(_ name: String) throws -> MachineIdentity {
    let entry = try #require(file["identities"]?.array?.first { $0["name"]?.string == name })
    let seed = try #require(entry["seedHex"]?.string.flatMap { Hex.decode($0) })
    return try #require(MachineIdentity(seed: SecretBytes(seed)))
  }

  private static func body(_ vector: ConformanceCase) -> [UInt8]? {
    vector["body_b64u"]?.string.flatMap { Base64.decode($0) }
  }

  private static func check(_ vector: ConformanceCase) throws -> SignedMessage {
    try SignedMessage(checking: Message(parsing: try #require(vector["message"]).encoded), resolver: OfflineResolver())
  }

  @Test("every message checks out, with its CID and its element of the live set", arguments: messages)
  func accepted(vector: ConformanceCase) throws {
    let signed = try Self.check(vector)
    #expect(signed.message.cid.text == vector["messageCid"]?.string)
    #expect(signed.element == vector["element"]?.string)
    #expect(try signed.author == Self.identity(try #require(vector["signer"]?.string)).did)
    guard signed.message.kind == .recordsWrite else { return }
    let write = try RecordsWrite(signed)
    #expect(write.matches(data: try #require(Self.body(vector))))
    #expect((write.encryption != nil) == (vector["plaintext"] != nil))
  }

  @Test(
    "an encrypted record opens with the keys of its readers and with no other",
    arguments: messages.filter { $0["plaintext"] != nil })
  func opened(vector: ConformanceCase) throws {
    let write = try RecordsWrite(Self.check(vector))
    let body = try #require(Self.body(vector))
    let json = JSONValue.object(try #require(write.encryption))
    let envelope = try JWEEnvelope(json)
    #expect(envelope.json == json)
    let plaintext = Array(try #require(vector["plaintext"]?.string).utf8)
    let readers = try #require(vector["readers"]?.array).compactMap(\.string)
    #expect(readers.count == envelope.entries.count)

    let tree = KeyTree(try Self.identity("anchor"))
    let network = try #require(Self.file["networkId"]?.string.flatMap { RecordID($0) })
    let typeKey = tree.typeKey(protocolURI: write.protocolURI, path: write.path)
    for reader in readers {
      let key: X25519PrivateKey
      if reader.hasPrefix("epoch ") {
        let epoch = try #require(Int64(reader.dropFirst(6)).flatMap { KeyEpoch($0) })
        key = tree.networkKey(network, epoch: epoch)
      } else if reader == "anchor type key" {
        key = typeKey
      } else {
        key = try Self.identity(String(reader.prefix { $0 != " " })).wireGuardKey
        #expect(try envelope.open(body, didKey: key) == plaintext)
      }
      #expect(try envelope.open(body, with: key) == plaintext, "\(reader)")
    }
    #expect(throws: EnvelopeError.self) {
      try envelope.open(body, with: tree.networkKey(network, epoch: KeyEpoch(77)!))
    }
    #expect(throws: EnvelopeError.self) { try envelope.open(body, with: Self.identity("member").wireGuardKey) }
    if envelope.networkEntry != nil {
      #expect(
        try envelope.open(body, networkKey: { tree.networkKey(network, epoch: $0) }, typeKey: typeKey) == plaintext)
      #expect(throws: EnvelopeError.self) { try envelope.open(body, networkKey: { _ in nil }, typeKey: typeKey) }
    }
  }

  @Test("the network keys of all epochs are those of the vectors, and none lies below another")
  func epochs() throws {
    let tree = KeyTree(try Self.identity("anchor"))
    let network = try #require(Self.file["networkId"]?.string.flatMap { RecordID($0) })
    for vector in try #require(Self.file["epochs"]?.array) {
      let epoch = try #require(KeyEpoch(vector["epoch"]))
      let key = tree.networkKey(network, epoch: epoch)
      #expect(Hex.encode(key.bytes.copy()) == vector["privateKeyHex"]?.string)
      #expect(Base64.encode(key.publicKey.bytes.array) == vector["publicKey_b64u"]?.string)
      #expect(PublicJWK.x25519(key.publicKey).thumbprint == vector["kid"]?.string)
      let path = DerivationPath.network(network, epoch: epoch).segments
      #expect(JSONValue.array(path.map { .string($0) }) == vector["derivationPath"])
      #expect(Hex.encode(key.bytes.copy()) != Self.file["notAnEpochKey"]?["privateKeyHex"]?.string)
    }
  }

  /// The code with which a message is refused that is wrong in itself. The others are well-formed, and refused by the mesh.
  private static let codes = [
    "node moved to another network": "RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload",
    "encryption replaced": "RecordsWriteValidateIntegrityEncryptionCidMismatch",
    "encryption removed": "RecordsWriteValidateIntegrityEncryptionCidMismatch",
    "descriptor altered": "AuthenticateDescriptorCidMismatch",
    "signature altered": "GeneralJwsVerifierInvalidSignature",
    "signed by one, claimed by another": "GeneralJwsVerifierInvalidSignature",
    "twin: signature respelled": "SchemaValidatorFailure",
    "twin: extra member in the signature": "SchemaValidatorFailure",
    "twin: extra member in authorization": "SchemaValidatorAdditionalPropertyNotAllowed",
    "twin: extra member on top": "SchemaValidatorUnevaluatedPropertyNotAllowed",
  ]

  @Test("a message that is wrong in form, CID or signature is refused for that reason", arguments: refused)
  func refuse(vector: ConformanceCase) throws {
    guard let code = Self.codes[vector.testDescription] else {
      #expect(throws: Never.self) { try Self.check(vector) }
      return
    }
    let error = #expect(throws: DWNError.self) { try Self.check(vector) }
    #expect(error?.code == code)
  }

  @Test("data that was altered is not what the message promises")
  func alteredData() throws {
    let vector = try #require(Self.refused.first { $0.testDescription == "data altered" })
    let write = try RecordsWrite(Self.check(vector))
    #expect(!write.matches(data: try #require(Self.body(vector))))
  }

  @Test("an update that changes an immutable member is noticed")
  func immutableMember() throws {
    let vector = try #require(Self.refused.first { $0.testDescription == "update that changes the recipient" })
    let update = try RecordsWrite(Self.check(vector))
    let initial = try #require(
      try Self.messages.map { try Self.check($0) }.filter { $0.message.kind == .recordsWrite }.map {
        try RecordsWrite($0)
      }
      .first { $0.recordID == update.recordID && $0.isInitial })
    #expect(!update.isInitial)
    #expect(update.immutableMemberChanged(from: initial) == "recipient")
    #expect(initial.immutableMemberChanged(from: initial) == nil)
  }

  @Test("a network key in clear is no envelope")
  func clearText() throws {
    let vector = try #require(Self.refused.first { $0.testDescription == "contextKey in clear" })
    #expect(try RecordsWrite(Self.check(vector)).encryption == nil)
  }
}
