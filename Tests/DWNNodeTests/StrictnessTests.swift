import Cryptography
import DWN
import Identity
import Testing
import Wire

@testable import DWNNode

/// Where a node is wider than the newest upstream, and how `isStrict` makes it as narrow (dwn-server 15).
@Suite(.timeLimit(.minutes(10)))
struct StrictnessTests {
  private static let envelope: JSONValue = [
    "protected": "eyJ9", "iv": "aXY", "tag": "dGFn", "recipients": [["header": ["kid": "k"], "encrypted_key": "a2V5"]],
  ]
  private static let key = #"{"kty": "OKP", "crv": "X25519", "x": "n4zSUj1Wf3YHBZlAkRI_LrpXq9P9MaPR32eEwdpjAU8"}"#

  @Test("a role that anyone gives is taken unless the node is strict", arguments: [false, true])
  func roleIssuance(isStrict: Bool) async throws {
    let tenancy = try TestTenancy(limits: NodeLimits(isStrict: isStrict))
    let open = try tenancy.definition(#"{"a": {"$role": true, "$actions": [{"who": "anyone", "can": ["create"]}]}}"#)
    let status = try await tenancy.status(tenancy.alice.signer.protocolsConfigure(open, at: tenancy.tick()))
    #expect(status == (isStrict ? "400 ProtocolsConfigureInvalidRoleIssuance" : "202"))
    let read = try tenancy.definition(#"{"a": {"$role": true, "$actions": [{"who": "anyone", "can": ["read"]}]}}"#)
    #expect(try await tenancy.status(tenancy.alice.signer.protocolsConfigure(read, at: tenancy.tick())) == "202")
  }

  @Test(
    "the directive of the JWE envelope, and that envelope, are taken unless the node is strict",
    arguments: [false, true])
  func jwe(isStrict: Bool) async throws {
    let tenancy = try TestTenancy(limits: NodeLimits(isStrict: isStrict))
    let additional = "400 SchemaValidatorAdditionalPropertyNotAllowed"
    let definition = try tenancy.definition(
      #"{"a": {"$encryption": {"rootKeyId": "k", "publicKeyJwk": \#(Self.key)}}}"#)
    let status = try await tenancy.status(tenancy.alice.signer.protocolsConfigure(definition, at: tenancy.tick()))
    #expect(status == (isStrict ? additional : "202"))
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    var draft = tenancy.draft("a")
    draft.encryption = Self.envelope
    #expect(try await tenancy.attempt(tenancy.alice, draft) == (isStrict ? additional : "202"))
  }

  @Test("encryption where none is required is taken unless the node is strict", arguments: [false, true])
  func encryption(isStrict: Bool) async throws {
    let tenancy = try TestTenancy(limits: NodeLimits(isStrict: isStrict))
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    let key = X25519PrivateKey(random: SystemRandom()).publicKey
    let sealed = try V1Envelope.seal(
      Array("secret".utf8), to: [.init(key, .protocolPath)], random: SystemRandom())
    var draft = tenancy.draft("a")
    draft.encryption = sealed.envelope.json
    draft.data = sealed.ciphertext
    #expect(
      try await tenancy.attempt(tenancy.alice, draft)
        == (isStrict ? "400 ProtocolAuthorizationEncryptionNotAllowed" : "202"))
  }

  @Test("small data stands in the message of a read, too, unless the node is strict", arguments: [false, true])
  func encodedData(isStrict: Bool) async throws {
    let tenancy = try TestTenancy(limits: NodeLimits(isStrict: isStrict))
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    let record = try await tenancy.write(tenancy.alice, "a")
    let reply = try await tenancy.send(
      tenancy.alice.signer.recordsRead(RecordsFilter(recordID: record.recordID), at: tenancy.tick()))
    #expect(reply.data == Array("{}".utf8))
    #expect((reply.members["entry"]?["recordsWrite"]?["encodedData"] == nil) == isStrict)
  }

  @Test(
    "an envelope of version 1 shows its form, whatever the type asks for",
    arguments: [
      ("initializationVector", "AAAA", "RecordsWriteValidateIntegrityEncryptionInitializationVectorInvalid"),
      (
        "keyEncryption", [["ephemeralPublicKey": ["kty": "EC", "crv": "P-256"]]],
        "RecordsWriteValidateIntegrityEncryptionEphemeralPublicKeyInvalid"
      ),
      ("keyEncryption", [], "SchemaValidatorFailure"), ("algorithm", "A256GCM", "SchemaValidatorFailure"),
      ("unknown", 1, "SchemaValidatorFailure"),
    ] as [(String, JSONValue, String)])
  func form(member: String, value: JSONValue, code: String) async throws {
    var encryption = try sealed().envelope.json.object ?? [:]
    encryption[member] = value
    #expect(try await answer(to: encryption) == "400 " + code)
  }

  @Test(
    "an entry with a private key, or with a member that nobody knows, is refused", arguments: ["d", "x"])
  func entry(member: String) async throws {
    var encryption = try sealed().envelope.json.object ?? [:]
    var entry = try #require(encryption["keyEncryption"]?.array?.first?.object)
    if member == "d" {
      var key = try #require(entry["ephemeralPublicKey"]?.object)
      key["d"] = .string(Base64.encode(Array(repeating: 1, count: 32)))
      entry["ephemeralPublicKey"] = .object(key)
    } else {
      entry[member] = 1
    }
    encryption["keyEncryption"] = [.object(entry)]
    #expect(try await answer(to: encryption) == "400 SchemaValidatorFailure")
  }

  @Test(
    "what nobody could open is no encryption, also where it is required",
    arguments: [[:], ["foo": 1], ["algorithm": "A256CTR"], ["recipients": []]] as [JSONObject])
  func nothing(encryption: JSONObject) async throws {
    for isRequired in [false, true] {
      #expect(try await answer(to: encryption, isRequired: isRequired) == "400 SchemaValidatorFailure")
    }
  }

  private func sealed() throws -> (envelope: V1Envelope, ciphertext: [UInt8]) {
    let key = X25519PrivateKey(random: SystemRandom()).publicKey
    return try V1Envelope.seal([1], to: [.init(key, .protocolPath)], random: SystemRandom())
  }

  /// To a well-signed write with this member.
  private func answer(to encryption: JSONObject, isRequired: Bool = false) async throws -> String {
    let tenancy = try TestTenancy()
    let key =
      #"{"rootKeyId": "a", "publicKeyJwk": {"kty": "OKP", "crv": "X25519", "x": "n4zSUj1Wf3YHBZlAkRI_LrpXq9P9MaPR32eEwdpjAU8"}}"#
    let types = ["a": isRequired ? #"{"encryptionRequired": true}"# : "{}"]
    #expect(try await tenancy.install(#"{"a": {"$encryption": \#(key)}}"#, types: types).status.code == 202)
    let good = tenancy.draft("a")
    var message = tenancy.alice.signer.recordsWrite(good, at: tenancy.tick()).message.json
    message["encryption"] = .object(encryption)
    let signature = try GeneralJWS(message["authorization"]?["signature"] ?? .null)
    var payload = try JSONValue(parsing: signature.payloadBytes).object ?? [:]
    payload["encryptionCid"] = .string(CID(of: .object(encryption)).text)
    message["authorization"] = [
      "signature": GeneralJWS.sign(JSONValue.object(payload).encoded, with: tenancy.alice.signer.identity).json
    ]
    return try await tenancy.status(.object(message), data: good.data)
  }
}
