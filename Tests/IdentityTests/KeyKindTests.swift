import Cryptography
import Identity
import TestSupport
import Testing
import Wire

@Suite("Keys of every kind", .enabled(if: Fixtures.have("identity/did-key.json"), "\(Fixtures.skipped)"))
struct KeyKindTests {
  private static let cases = (try? Fixtures.json("identity/did-key.json"))?["cases"]?.array ?? []

  @Test("a did:key gives the key, and the key its DID and thumbprint", arguments: cases)
  func didKey(vector: JSONValue) throws {
    let did = try #require(vector["did"]?.string.flatMap { DID($0) })
    let document = try OfflineResolver().resolve(did)
    let method = try #require(document.method(for: "\(did)#\(did.methodSpecificID)"))
    let key = try #require(PublicJWK(method.publicKeyJWK))
    #expect(key.json == vector["publicKeyJwk"])
    #expect(Hex.encode(key.bytes) == vector["publicKeyHex"]?.string)
    #expect(key.thumbprint == vector["thumbprint"]?.string)
    #expect(KeyMethod.did(for: key) == did)
    #expect(key.algorithm?.rawValue == vector["alg"]?.string)
    #expect(method.publicKeyJWK["alg"] == vector["alg"])
    #expect(document.authentication == (key.algorithm == nil ? [] : [method.id]))
  }

  @Test("a did:jwk of the key gives the same key, whatever its kind", arguments: cases)
  func didJWK(vector: JSONValue) throws {
    let jwk = try #require(vector["publicKeyJwk"])
    let did = try #require(DID("did:jwk:" + Base64.encode(jwk.encoded)))
    let document = try OfflineResolver().resolve(did)
    #expect(document.method(for: did.text + "#0")?.publicKeyJWK == jwk)
  }

  @Test("what a key signs as a JWS verifies under its did:key, and under no other key's", arguments: cases)
  func jws(vector: JSONValue) throws {
    let did = try #require(vector["did"]?.string.flatMap { DID($0) })
    let secret = SecretBytes(try #require(vector["privateKeyHex"]?.string.flatMap { Hex.decode($0) }))
    let key: any JWSSigningKey
    switch vector["alg"]?.string {
    case "EdDSA": key = try #require(Ed25519PrivateKey(seed: secret))
    case "ES256K": key = try #require(Secp256k1PrivateKey(secret))
    case "ES256": key = try #require(P256PrivateKey(secret))
    default: return
    }
    let payload = Array(#"{"descriptorCid":"x"}"#.utf8)
    let kid = "\(did)#\(did.methodSpecificID)"
    #expect(try GeneralJWS.sign(payload, key: key, kid: kid).verify(with: OfflineResolver()) == [did])
    for algorithm in ["none", "HS256"] + JWSAlgorithm.allCases.map(\.rawValue)
    where algorithm != vector["alg"]?.string {
      let header: JSONValue = ["alg": .string(algorithm), "kid": .string(kid)]
      let confused = try GeneralJWS(GeneralJWS.sign(payload, header: header.encoded, key: key, kid: kid).json)
      #expect(throws: JWSError.invalidSignature(kid: kid)) { try confused.verify(with: OfflineResolver()) }
    }
    for other in Self.cases where other["did"] != vector["did"] && other["alg"] != nil {
      let stranger = try #require(other["did"]?.string.flatMap { DID($0) })
      let kid = "\(stranger)#\(stranger.methodSpecificID)"
      let forged = try GeneralJWS(GeneralJWS.sign(payload, key: key, kid: kid).json)
      #expect(throws: JWSError.invalidSignature(kid: kid)) { try forged.verify(with: OfflineResolver()) }
    }
  }

  @Test("a did:key whose bytes are altered is another key or none, and never a trap", arguments: cases)
  func mutation(vector: JSONValue) throws {
    let text = Array(try #require(vector["did"]?.string).utf8)
    let random = SeededRandom(31)
    for _ in 0..<200 {
      var changed = text
      changed[Int(random.uniform(below: UInt64(text.count - 8))) + 8] =
        UInt8(ascii: "1") + UInt8(random.uniform(below: 74))
      guard changed != text, let did = DID(String(decoding: changed, as: UTF8.self)) else { continue }
      if let document = try? OfflineResolver().resolve(did), let method = document.verificationMethods.first {
        #expect(PublicJWK(method.publicKeyJWK).map { KeyMethod.did(for: $0) } == did, "seed 31")
      }
    }
  }
}

@Suite("DIDs that are fetched")
struct DIDDirectoryTests {
  /// Gives one document, and counts nothing: the rules are in what it is asked for.
  private struct OneDocument: DIDDirectory {
    let document: DIDDocument

    func document(of did: DID) async throws(DIDError) -> DIDDocument {
      guard did == document.id else { throw .unreachable(did, reason: "nobody answers") }
      return document
    }
  }

  @Test("a signature verifies with a document that had to be fetched, and fails with the reason when there is none")
  func fetched() async throws {
    let key = Secp256k1PrivateKey(random: SeededRandom(32))
    let did = try #require(DID("did:web:example.org"))
    let kid = "\(did)#key-1"
    let document = DIDDocument(
      id: did, verificationMethods: [.init(id: "#key-1", publicKeyJWK: key.publicJWK.json)], authentication: ["#key-1"],
      keyAgreement: [])
    let jws = GeneralJWS.sign([1], key: key, kid: kid)
    #expect(try await jws.verify(asking: OneDocument(document: document)) == [did])
    #expect(throws: JWSError.self) { try jws.verify(with: OfflineResolver()) }
    let other = GeneralJWS.sign([1], key: key, kid: "did:web:example.com#key-1")
    let error = await #expect(throws: JWSError.self) {
      try await other.verify(asking: OneDocument(document: document))
    }
    #expect(error?.code == "GeneralJwsVerifierGetPublicKeyNotFound")
  }

  @Test("a DID that carries its key is never asked for")
  func offline() async {
    let identity = MachineIdentity.generate(random: SeededRandom(33))
    let asked = OneDocument(
      document: DIDDocument(id: identity.did, verificationMethods: [], authentication: [], keyAgreement: []))
    let documents = await asked.documents(of: [identity.did])
    #expect((try? documents.resolve(identity.did))?.encryptionKey == identity.wireGuardKey.publicKey)
  }
}
