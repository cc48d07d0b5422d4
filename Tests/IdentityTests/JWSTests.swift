import Cryptography
import Identity
import TestSupport
import Testing
import Wire

/// Documents for DIDs that exist in a test only: one method each, with the key that the test gives.
struct StubResolver: DIDResolver {
  var documents: [DID: DIDDocument] = [:]

  mutating func add(kid: String, jwk: JSONValue, methodID: String? = nil, type: String = "JsonWebKey") {
    guard let (did, _) = DID.split(url: kid) else { return }
    let id = methodID ?? kid
    documents[did] = DIDDocument(
      id: did, verificationMethods: [.init(id: id, type: type, publicKeyJWK: jwk)], authentication: [id],
      keyAgreement: [])
  }

  func resolve(_ did: DID) throws(DIDError) -> DIDDocument {
    guard let document = documents[did] else { throw .unsupportedMethod(String(did.method)) }
    return document
  }
}

@Suite("JWS vectors", .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"))
struct JWSVectorTests {
  struct Vector: CustomTestStringConvertible, Sendable {
    let json: JSONValue

    var testDescription: String { json["id"]?.string ?? "?" }
    var signers: [String] { (json["signerIds"]?.array ?? []).compactMap(\.string) }
    var isEdDSA: Bool { signers.allSatisfy { $0.hasSuffix("Ed25519") } }
  }

  private static let files = Conformance.paths(asserting: "jws.general.verify").compactMap { try? Fixtures.json($0) }
  private static let keys = files.flatMap { $0["keys"]?.object?.members ?? [] }
  static let vectors = Conformance.cases(asserting: "jws.general.verify").map { Vector(json: $0) }

  private static var resolver: StubResolver {
    var resolver = StubResolver()
    for (_, key) in keys {
      if let kid = key["kid"]?.string, let jwk = key["publicJwk"] { resolver.add(kid: kid, jwk: jwk) }
    }
    return resolver
  }

  @Test("a JWS verifies with its signers in order, or fails with the code that other nodes give", arguments: vectors)
  func verify(vector: Vector) throws {
    let jws = try GeneralJWS(try #require(vector.json["jws"]))
    do {
      let signers = try jws.verify(with: Self.resolver)
      #expect(JSONValue.array(signers.map { .string($0.text) }) == vector.json["expectedSigners"])
    } catch {
      #expect(error.code == vector.json["expectedErrorCode"]?.string)
    }
  }

  @Test("signing gives the same bytes", arguments: vectors.filter { $0.json["expectedSigners"] != nil && $0.isEdDSA })
  func sign(vector: Vector) throws {
    let payload = Array(try #require(vector.json["payload"]?["value"]?.string).utf8)
    var signatures: [JSONValue] = []
    for name in vector.signers {
      let key = try #require(Self.keys.first { $0.name == name }?.value)
      let seed = try #require(key["privateJwk"]?["d"]?.string.flatMap { Base64.decode($0) })
      let kid = try #require(key["kid"]?.string)
      let header: JSONValue = ["kid": .string(kid), "alg": "EdDSA"]
      let jws = GeneralJWS.sign(
        payload, header: header.encoded, key: try #require(Ed25519PrivateKey(seed: SecretBytes(seed))), kid: kid)
      #expect(jws.json["payload"] == vector.json["jws"]?["payload"])
      signatures += jws.json["signatures"]?.array ?? []
    }
    #expect(JSONValue.array(signatures) == vector.json["jws"]?["signatures"])
  }

  @Test("the payload comes back", arguments: vectors)
  func payload(vector: Vector) throws {
    let jws = try GeneralJWS(try #require(vector.json["jws"]))
    #expect(jws.payloadBytes == Array(try #require(vector.json["payload"]?["value"]?.string).utf8))
    #expect(jws.json == vector.json["jws"])
  }
}

@Suite("JWS")
struct JWSTests {
  private let identity = MachineIdentity.generate(random: SeededRandom(11))
  private let payload = Array(#"{"descriptorCid":"x"}"#.utf8)

  @Test(
    "the signature of RFC 8037 verifies, and the altered one does not",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"))
  func rfc8037() throws {
    for vector in Conformance.cases(asserting: "spec.jws.verify") {
      let jws = try #require(vector["jws"])
      func text(_ name: String) throws -> String { try #require(jws[name]?.string) }
      guard case .ed25519(let key)? = PublicJWK(try #require(vector["publicJwk"])) else {
        Issue.record("not an Ed25519 key")
        continue
      }
      let input = Array((try text("protected") + "." + text("payload")).utf8)
      let signature = try #require(Base64.decode(text("signature")))
      #expect(key.verify(signature: signature, of: input) == vector["expected"]?["verify"]?.bool)
    }
  }

  @Test("what an identity signs verifies offline, and names it")
  func roundTrip() throws {
    let jws = try GeneralJWS(try JSONValue(parsing: GeneralJWS.sign(payload, with: identity).json.text))
    #expect(try jws.verify(with: OfflineResolver()) == [identity.did])
    #expect(jws.signatures[0].signer == identity.did)
    let header = try #require(Base64.decode(jws.signatures[0].protected))
    #expect(String(decoding: header, as: UTF8.self) == #"{"alg":"EdDSA","kid":"\#(identity.did)#0"}"#)
  }

  @Test("a change of any part makes the signature invalid")
  func tampering() throws {
    let good = GeneralJWS.sign(payload, with: identity).json
    let other = GeneralJWS.sign(payload + [0x20], with: identity).json
    var swapped = try #require(good.object)
    swapped["payload"] = other["payload"]
    #expect(throws: JWSError.invalidSignature(kid: identity.signingKeyID)) {
      try GeneralJWS(.object(swapped)).verify(with: OfflineResolver())
    }
    swapped = try #require(good.object)
    swapped["signatures"] = other["signatures"]
    #expect(throws: JWSError.invalidSignature(kid: identity.signingKeyID)) {
      try GeneralJWS(.object(swapped)).verify(with: OfflineResolver())
    }
  }

  @Test("a kid that names somebody else does not verify")
  func wrongKid() throws {
    let other = MachineIdentity.generate(random: SeededRandom(12))
    let header: JSONValue = ["alg": "EdDSA", "kid": .string(other.signingKeyID)]
    let jws = GeneralJWS.sign(payload, header: header.encoded, key: identity.signingKey, kid: other.signingKeyID)
    #expect(throws: JWSError.invalidSignature(kid: other.signingKeyID)) { try jws.verify(with: OfflineResolver()) }
  }

  @Test("a kid without a method of the document has no key", arguments: ["#1", "#2", "#", ""])
  func noMethod(fragment: String) throws {
    let kid = identity.did.text + fragment
    let header: JSONValue = ["alg": "EdDSA", "kid": .string(kid)]
    let jws = GeneralJWS.sign(payload, header: header.encoded, key: identity.signingKey, kid: kid)
    // `#1` exists, and is a key for encryption.
    let expected: JWSError = fragment == "#1" ? .unsupportedCurve("X25519") : .keyNotFound(kid: kid)
    #expect(throws: expected) { try jws.verify(with: OfflineResolver()) }
  }

  @Test("a document with relative ids is understood, one with another type of method is not")
  func methods() throws {
    let kid = "did:example:x#k"
    let header: JSONValue = ["alg": "EdDSA", "kid": .string(kid)]
    let jws = GeneralJWS.sign(payload, header: header.encoded, key: identity.signingKey, kid: kid)
    let jwk = PublicJWK.ed25519(identity.signingKey.publicKey).json
    var resolver = StubResolver()
    resolver.add(kid: kid, jwk: jwk, methodID: "#k", type: "JsonWebKey2020")
    #expect(try jws.verify(with: resolver).map(\.text) == ["did:example:x"])
    resolver.add(kid: kid, jwk: jwk, type: "Multikey")
    #expect(throws: JWSError.keyNotFound(kid: kid)) { try jws.verify(with: resolver) }
  }

  @Test("an algorithm other than that of the key is refused", arguments: ["none", "ES256", "HS256", "eddsa"])
  func algorithm(name: String) throws {
    let header: JSONValue = ["alg": .string(name), "kid": .string(identity.signingKeyID)]
    let jws = try GeneralJWS(
      GeneralJWS.sign(payload, header: header.encoded, key: identity.signingKey, kid: identity.signingKeyID).json)
    #expect(throws: JWSError.invalidSignature(kid: identity.signingKeyID)) { try jws.verify(with: OfflineResolver()) }
  }

  @Test("an extension that must be understood is refused")
  func critical() {
    let header: JSONValue = ["alg": "EdDSA", "kid": .string(identity.signingKeyID), "crit": ["b64"], "b64": false]
    let jws = GeneralJWS.sign(payload, header: header.encoded, key: identity.signingKey, kid: identity.signingKeyID)
    #expect(throws: JWSError.self) { try GeneralJWS(jws.json) }
  }

  @Test(
    "another form than the one that is written is refused",
    arguments: [
      "[]", "{}", #"{"payload":"e30"}"#, #"{"payload":"e30","signatures":[]}"#,
      #"{"payload":"e30","signatures":[{"protected":"e30"}]}"#, #"{"payload":"e30","signatures":{}}"#,
      #"{"payload":"e30=","signatures":[{"protected":"e30","signature":"AA"}]}"#,
      #"{"payload":"e31","signatures":[{"protected":"e30","signature":"AA"}]}"#,
      #"{"payload":"e30","signatures":[{"protected":"e31","signature":"AA"}]}"#,
      #"{"payload":"e30","signatures":[{"protected":"e30","signature":"AB"}]}"#,
      #"{"payload":"e30","signatures":[{"protected":"e30","signature":"AA=="}]}"#,
      #"{"payload":"e30","signatures":[{"protected":"W10","signature":"AA"}]}"#,
      #"{"payload":"e30","signatures":[{"protected":"e30","signature":"AA","header":{}}]}"#,
      #"{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}],"more":1}"#,
      #"{"payload":{},"signatures":[{"protected":"e30","signature":"AA"}]}"#,
    ])
  func malformed(text: String) throws {
    let json = try JSONValue(parsing: text)
    #expect(throws: JWSError.self) { try GeneralJWS(json) }
  }

  @Test("more than sixteen signatures are refused")
  func bounded() throws {
    let entry: JSONValue = ["protected": "e30", "signature": "AA"]
    #expect(throws: Never.self) {
      try GeneralJWS(["payload": "e30", "signatures": .array(Array(repeating: entry, count: 16))])
    }
    #expect(throws: JWSError.self) {
      try GeneralJWS(["payload": "e30", "signatures": .array(Array(repeating: entry, count: 17))])
    }
  }
}
