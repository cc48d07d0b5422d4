import Cryptography
import Testing
import TestSupport
import Wire

@Suite struct X25519Tests {
  private func multiply(_ scalar: [UInt8], _ point: [UInt8]) -> [UInt8]? {
    X25519PrivateKey(SecretBytes(scalar))!.sharedSecret(with: X25519PublicKey(point)!)?.copy()
  }

  @Test(
    "scalar multiplication (RFC 7748 section 5.2)",
    arguments: [
      (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
      ),
      (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"
      ),
    ])
  func vectors(scalar: String, point: String, result: String) {
    #expect(multiply(hex(scalar), hex(point)) == hex(result))
  }

  @Test("a thousand multiplications in a row (RFC 7748 section 5.2)")
  func iterated() {
    var scalar = [9] + [UInt8](repeating: 0, count: 31)
    var point = scalar
    for _ in 0..<1000 {
      let result = multiply(scalar, point)!
      point = scalar
      scalar = result
    }
    #expect(Hex.encode(scalar) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
  }

  @Test("both ends agree on a secret")
  func agreement() {
    let random = SeededRandom(3)
    let a = X25519PrivateKey(random: random)
    let b = X25519PrivateKey(random: random)
    #expect(a.sharedSecret(with: b.publicKey) == b.sharedSecret(with: a.publicKey))
    #expect(a.sharedSecret(with: b.publicKey) != a.sharedSecret(with: a.publicKey))
  }

  @Test(
    "points of small order give no secret",
    arguments: [
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ])
  func smallOrder(point: String) {
    let key = X25519PublicKey(hex(point))!
    #expect(key.isSmallOrder)
    #expect(X25519PrivateKey(random: SeededRandom(4)).sharedSecret(with: key) == nil)
  }

  @Test("a key has one base64 text of 44 characters")
  func base64() {
    let key = X25519PrivateKey(random: SeededRandom(5)).publicKey
    #expect(key.base64.utf8.count == 44 && X25519PublicKey(base64: key.base64) == key)
    #expect(X25519PublicKey(base64: key.base64.dropLast()) == nil)
    #expect(X25519PublicKey(base64: key.base64 + "=") == nil)
    #expect(!key.isSmallOrder)
  }
}

@Suite struct Ed25519Tests {
  @Test(
    "signatures (RFC 8032 section 7.1)",
    arguments: [
      (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
      ),
      (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
      ),
    ])
  func vectors(seed: String, publicKey: String, message: String, signature: String) {
    let key = Ed25519PrivateKey(seed: SecretBytes(hex(seed)))!
    #expect(key.publicKey.bytes.array == hex(publicKey))
    #expect(key.sign(hex(message)) == hex(signature))
    #expect(key.publicKey.verify(signature: hex(signature), of: hex(message)))
  }

  @Test("a changed bit anywhere, or a wrong length, is refused")
  func tampering() {
    let key = Ed25519PrivateKey(random: SeededRandom(6))
    let message = Array("meshd".utf8)
    let signature = key.sign(message)
    for index in signature.indices {
      var changed = signature
      changed[index] ^= 1
      #expect(!key.publicKey.verify(signature: changed, of: message))
    }
    #expect(!key.publicKey.verify(signature: signature, of: message + [0]))
    #expect(!key.publicKey.verify(signature: Array(signature.dropLast()), of: message))
    #expect(!key.publicKey.verify(signature: [], of: message))
  }

  @Test("a scalar not below the group order is refused, though the equation holds")
  func malleability() {
    let key = Ed25519PrivateKey(random: SeededRandom(7))
    var signature = key.sign([1, 2, 3])
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
    var carry = 0
    for index in 0..<32 {
      let sum = Int(signature[32 + index]) + Int(order[index]) + carry
      signature[32 + index] = UInt8(sum & 255)
      carry = sum >> 8
    }
    #expect(carry == 0)
    #expect(!key.publicKey.verify(signature: signature, of: [1, 2, 3]))
  }

  @Test("bytes that are no point of the main subgroup have no X25519 key, and verify nothing")
  func badPoints() {
    let identity = Ed25519PublicKey([1] + [UInt8](repeating: 0, count: 31))!
    #expect(identity.x25519 == nil)
    #expect(!identity.verify(signature: [UInt8](repeating: 0, count: 64), of: []))
    let notOnCurve = Ed25519PublicKey([2] + [UInt8](repeating: 0, count: 31))!
    #expect(notOnCurve.x25519 == nil)
  }

  @Test(
    "the X25519 keys of an identity",
    .enabled(if: Fixtures.have("mesh/identity.json"), Comment(rawValue: Fixtures.skipped)))
  func identityVectors() throws {
    let file = try Fixtures.json("mesh/identity.json")
    let identities = try file.list("identities")
    #expect(!identities.isEmpty)
    for identity in identities {
      let key = try #require(Ed25519PrivateKey(seed: SecretBytes(try identity.bytes("ed25519SeedHex"))))
      #expect(key.publicKey.bytes.array == (try identity.bytes("ed25519PublicKeyHex")))
      #expect(key.x25519.bytes.copy() == (try identity.bytes("x25519PrivateKeyHex")))
      #expect(key.x25519.publicKey.bytes.array == (try identity.bytes("x25519PublicKeyHex")))
      #expect(key.publicKey.x25519 == key.x25519.publicKey, "the two maps commute")
      #expect(key.x25519.publicKey.base64 == identity["wireGuardPublicKey_b64"]?.string)
      let message = Array(try identity.text("sampleMessage").utf8)
      #expect(key.sign(message) == (try identity.base64("sampleSignature_b64u")))
    }
    let foreign = try #require(file["foreignDid"])
    #expect(
      Ed25519PublicKey(try foreign.bytes("ed25519PublicKeyHex"))?.x25519?.bytes.array
        == (try foreign.bytes("x25519PublicKeyHex")))
  }
}
