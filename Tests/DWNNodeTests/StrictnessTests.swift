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
    "an envelope of version 1 shows its form",
    arguments: [
      ("initializationVector", "AAAA", "EncryptionInitializationVectorInvalid"),
      (
        "keyEncryption", [["ephemeralPublicKey": ["kty": "EC", "crv": "P-256"]]], "EncryptionEphemeralPublicKeyInvalid"
      ),
    ] as [(String, JSONValue, String)])
  func form(member: String, value: JSONValue, code: String) async throws {
    let tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    let key = X25519PrivateKey(random: SystemRandom()).publicKey
    let sealed = try V1Envelope.seal([1], to: [.init(key, .protocolPath)], random: SystemRandom())
    let good = tenancy.draft("a")
    var message = tenancy.alice.signer.recordsWrite(good, at: tenancy.tick()).message.json
    var encryption = sealed.envelope.json.object ?? [:]
    encryption[member] = value
    message["encryption"] = .object(encryption)
    let signature = try GeneralJWS(message["authorization"]?["signature"] ?? .null)
    var payload = try JSONValue(parsing: signature.payloadBytes).object ?? [:]
    payload["encryptionCid"] = .string(CID(of: .object(encryption)).text)
    message["authorization"] = [
      "signature": GeneralJWS.sign(JSONValue.object(payload).encoded, with: tenancy.alice.signer.identity).json
    ]
    #expect(try await tenancy.status(.object(message), data: good.data) == "400 RecordsWriteValidateIntegrity" + code)
  }
}
