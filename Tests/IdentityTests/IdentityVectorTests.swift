import Cryptography
import Identity
import TestSupport
import Testing
import Wire

/// `mesh/identity.json`: what the mesh's other implementation makes of fixed seeds.
@Suite("Identity vectors", .enabled(if: Fixtures.have("mesh/identity.json"), "\(Fixtures.skipped)"))
struct IdentityVectorTests {
  struct Vector: CustomTestStringConvertible, Sendable {
    let json: JSONValue

    var testDescription: String { json["name"]?.string ?? "?" }
    func text(_ name: String) throws -> String { try #require(json[name]?.string, "\(name)") }
    func hex(_ name: String) throws -> [UInt8] { try #require(Hex.decode(text(name)), "\(name)") }
    var identity: MachineIdentity {
      get throws { try #require(MachineIdentity(seed: SecretBytes(hex("ed25519SeedHex")))) }
    }
  }

  private static let file = (try? Fixtures.json("mesh/identity.json")) ?? .null
  static let vectors = (file["identities"]?.array ?? []).map { Vector(json: $0) }
  static let rejected = (file["rejected"]?.array ?? []).compactMap { $0["did"]?.string }

  @Test("a seed gives the DID, byte for byte", arguments: vectors)
  func did(vector: Vector) throws {
    let identity = try vector.identity
    #expect(try identity.did.text == vector.text("did"))
    #expect(identity.did.text.utf8.count == 114)
    #expect(try identity.signingKeyID == vector.text("signingKeyId"))
    #expect(try identity.encryptionKeyID == vector.text("encryptionKeyId"))
    #expect(try identity.signingKey.publicKey.bytes.array == vector.hex("ed25519PublicKeyHex"))
    #expect(try PublicJWK.ed25519(identity.signingKey.publicKey).json.text == vector.text("jwkJson"))
  }

  @Test("a seed gives the X25519 key, which is the WireGuard key", arguments: vectors)
  func wireGuardKey(vector: Vector) throws {
    let key = try vector.identity.wireGuardKey
    #expect(try key.bytes.copy() == vector.hex("x25519PrivateKeyHex"))
    #expect(try Base64.encode(key.bytes.copy(), .standard) == vector.text("wireGuardPrivateKey_b64"))
    #expect(try key.publicKey.bytes.array == vector.hex("x25519PublicKeyHex"))
    #expect(try key.publicKey.base64 == vector.text("wireGuardPublicKey_b64"))
    #expect(try Base64.encode(key.publicKey.bytes.array) == vector.text("x25519PublicKey_b64u"))
    #expect(try PublicJWK.x25519(key.publicKey).thumbprint == vector.text("x25519Thumbprint"))
  }

  @Test("a DID alone gives the same WireGuard key", arguments: vectors)
  func keyOfDID(vector: Vector) throws {
    let did = try #require(DID(vector.text("did")))
    #expect(try did.wireGuardKey?.base64 == vector.text("wireGuardPublicKey_b64"))
  }

  @Test("a DID resolves to the document of the other implementation", arguments: vectors)
  func document(vector: Vector) throws {
    let document = try OfflineResolver().resolve(try #require(DID(vector.text("did"))))
    #expect(document.json == vector.json["didDocument"])
  }

  @Test("a signature is deterministic and verifies", arguments: vectors)
  func signature(vector: Vector) throws {
    let identity = try vector.identity
    let message = Array(try vector.text("sampleMessage").utf8)
    let signature = identity.signingKey.sign(message)
    #expect(try Base64.encode(signature) == vector.text("sampleSignature_b64u"))
    #expect(identity.signingKey.publicKey.verify(signature: signature, of: message))
    #expect(!identity.signingKey.publicKey.verify(signature: signature, of: message + [0]))
  }

  @Test("the identity file holds seed and public key, and only they count when it is read", arguments: vectors)
  func identityFile(vector: Vector) throws {
    let identity = try vector.identity
    let text = IdentityFile.text(identity)
    let json = try JSONValue(parsing: text)
    let key = try #require(json["privateKey"]?.string.flatMap { Base64.decode($0) })
    #expect(try Base64.encode(key, .standard) == vector.text("identityFilePrivateKey_b64"))
    #expect(json["uri"]?.string == identity.did.text)
    #expect(try IdentityFile.parse(text).did == identity.did)
    let stranger: JSONValue = ["uri": "did:jwk:somebody-else", "privateKey": .string(Base64.encode(key))]
    #expect(try IdentityFile.parse(stranger.encoded).did == identity.did)
  }

  @Test("a DID that gives no usable key is refused", arguments: rejected)
  func unusable(text: String) throws {
    guard let did = DID(text) else { return }
    #expect(did.wireGuardKey == nil)
    let document = try? OfflineResolver().resolve(did)
    let signingKeys = (document?.authentication ?? []).compactMap { document?.method(for: $0) }
      .compactMap { PublicJWK($0.publicKeyJWK) }
    #expect(signingKeys.isEmpty)
  }

  @Test("a foreign spelling of a did:jwk is kept byte for byte and gives its keys")
  func foreign() throws {
    let foreign = Vector(json: try #require(Self.file["foreignDid"]))
    let text = try foreign.text("did")
    let did = try #require(DID(text))
    #expect(did.text == text)
    let document = try OfflineResolver().resolve(did)
    #expect(document.json["verificationMethod"]?.array?.first?["publicKeyJwk"]?["kid"] != nil)
    let method = try #require(document.method(for: text + "#0"))
    #expect(try PublicJWK(method.publicKeyJWK)?.bytes == foreign.hex("ed25519PublicKeyHex"))
    #expect(try did.wireGuardKey?.base64 == foreign.text("wireGuardPublicKey_b64"))
    #expect(try document.encryptionKey?.bytes.array == foreign.hex("x25519PublicKeyHex"))
  }
}
