import Cryptography
import Identity
import TestSupport
import Testing
import Wire

@Suite("DID resolution")
struct DIDResolutionTests {
  private static func cases(of method: String) -> [JSONValue] {
    Conformance.cases(asserting: "spec.did.resolve").filter { $0["did"]?.string?.hasPrefix("did:\(method):") ?? false }
  }

  @Test("every DID of the specification's examples has a method that is tested here")
  func methods() {
    #expect(
      Self.cases(of: "jwk").count + Self.cases(of: "key").count
        == Conformance.cases(asserting: "spec.did.resolve").count)
  }

  @Test(
    "a did:jwk of the specification's examples resolves to its JWK unchanged",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"), arguments: cases(of: "jwk"))
  func didJWK(vector: JSONValue) throws {
    let did = try #require(vector["did"]?.string.flatMap { DID($0) })
    let document = try OfflineResolver().resolve(did)
    #expect(document.method(for: did.text + "#0")?.publicKeyJWK == vector["expected"]?["publicKey"])
    #expect(document.verificationMethods[0].publicKeyJWK.text == vector["verification"]?["decodedJwk"]?.string)
    if vector["expected"]?["publicKey"]?["crv"] == "X25519" {
      #expect(document.keyAgreement == [did.text + "#0"])
      #expect(document.authentication.isEmpty)
    } else {
      #expect(document.keyAgreement.isEmpty)
      #expect(did.wireGuardKey == nil)
    }
  }

  @Test(
    "a did:key of the specification's examples resolves, with and without its fragment",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"), arguments: cases(of: "key"))
  func didKey(vector: JSONValue) throws {
    let text = try #require(vector["did"]?.string)
    let did = try #require(DID(text) ?? DID.split(url: text)?.did)
    let document = try OfflineResolver().resolve(did)
    #expect(document.method(for: "\(did)#\(did.methodSpecificID)")?.publicKeyJWK == vector["expected"]?["publicKey"])
  }

  @Test("a did:key with Ed25519 agrees on keys with its X25519 twin, as the specification's example has it")
  func didKeyTwin() throws {
    let did = try #require(DID("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"))
    let document = try OfflineResolver().resolve(did)
    #expect(document.keyAgreement == [did.text + "#z6LSj72tK8brWgZja8NLRwPigth2T9QRiG1uH9oKZuKjdh9p"])
    let twin = try #require(DID("did:key:z6LSj72tK8brWgZja8NLRwPigth2T9QRiG1uH9oKZuKjdh9p"))
    #expect(try OfflineResolver().resolve(twin).encryptionKey == document.encryptionKey)
    #expect(document.encryptionKey != nil)
    #expect(try OfflineResolver().resolve(twin).authentication.isEmpty)
  }

  @Test(
    "a malformed DID is refused with its reason",
    arguments: [
      "did:jwk:e31", "did:jwk:e30", "did:jwk:" + Base64.encode(Array("[]".utf8)),
      "did:jwk:" + Base64.encode(Array(#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.utf8)),
      "did:jwk:" + Base64.encode(Array(#"{"kty":"OKP","crv":"Ed448","x":"AAAA"}"#.utf8)),
      "did:jwk:" + Base64.encode(Array(#"{"kty":"EC","kty":"EC"}"#.utf8)),
      "did:jwk:" + Base64.encode(Array(#"{"kty":"EC","d":"AA"}"#.utf8)),
      "did:key:6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
      "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2do",
      "did:key:z0", "did:key:z",
    ])
  func malformed(text: String) throws {
    let did = try #require(DID(text))
    #expect(throws: DIDError.self) { try OfflineResolver().resolve(did) }
    #expect(did.wireGuardKey == nil)
  }

  @Test("a method that needs the network is refused by name")
  func unsupported() throws {
    let did = try #require(DID("did:web:example.com"))
    #expect(throws: DIDError.unsupportedMethod("web")) { try OfflineResolver().resolve(did) }
  }

  @Test(
    "a text that is not a bare DID is refused",
    arguments: [
      "", "did:", "did:jwk", "did:jwk:", "did::x", "DID:jwk:x", "did:JWK:x", "did:jwk:x#0", "did:jwk:x/y",
      "did:jwk:x?y",
      "did:jwk:x y", "did:jwk:é", " did:jwk:x", "did:jwk:x\n", "did:jwk:\u{212a}",
    ])
  func notDID(text: String) {
    #expect(DID(text) == nil)
  }

  @Test("a DID is bounded")
  func bounded() {
    #expect(DID("did:web:" + String(repeating: "a", count: DID.maximumLength - 8)) != nil)
    #expect(DID("did:web:" + String(repeating: "a", count: DID.maximumLength - 7)) == nil)
  }

  @Test("a DID URL splits at its first number sign")
  func split() throws {
    let (did, fragment) = try #require(DID.split(url: "did:jwk:abc#0#1"))
    #expect(did.text == "did:jwk:abc")
    #expect(fragment == "0#1")
    #expect(DID.split(url: "did:jwk:abc") == nil)
    #expect(DID.split(url: "#0") == nil)
  }

  @Test("a key of small order is no WireGuard key")
  func smallOrder() throws {
    let zero = try #require(X25519PublicKey([UInt8](repeating: 0, count: 32)))
    let did = try #require(DID("did:jwk:" + Base64.encode(PublicJWK.x25519(zero).json.encoded)))
    #expect(try OfflineResolver().resolve(did).encryptionKey == zero)
    #expect(did.wireGuardKey == nil)
  }
}
