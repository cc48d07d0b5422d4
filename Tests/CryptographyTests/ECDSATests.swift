import Cryptography
import TestSupport
import Testing
import Wire

@Suite struct Secp256k1Tests {
  @Test("a key has its compressed and its uncompressed spelling, and no hybrid one")
  func encodings() throws {
    let key = Secp256k1PrivateKey(random: SeededRandom(20)).publicKey
    #expect(Secp256k1PublicKey(key.point.compressed) == key)
    #expect(Secp256k1PublicKey(key.point.uncompressed) == key)
    #expect(Secp256k1PublicKey([0x06 | key.point.compressed[0] & 1] + key.point.uncompressed.dropFirst()) == nil)
    #expect(Secp256k1PublicKey(key.point.uncompressed.dropLast()) == nil)
    #expect(Secp256k1PublicKey([UInt8]()) == nil)
    #expect(Secp256k1PublicKey(x: key.point.y, y: key.point.x) == nil, "not on the curve")
    #expect(Secp256k1PublicKey(x: .zero, y: .zero) == nil)
  }

  @Test(
    "a number out of range is no private key",
    arguments: [
      String(repeating: "00", count: 32), String(repeating: "ff", count: 32), "01",
      "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
    ])
  func range(scalar: String) {
    #expect(Secp256k1PrivateKey(SecretBytes(hex(scalar))) == nil)
  }

  @Test("a signature is deterministic, and a changed bit anywhere makes it invalid")
  func tampering() {
    let key = Secp256k1PrivateKey(random: SeededRandom(21))
    let signature = key.sign([1, 2, 3])
    #expect(signature == key.sign([1, 2, 3]))
    #expect(key.publicKey.verify(signature: signature, of: [1, 2, 3]))
    for index in signature.indices {
      var changed = signature
      changed[index] ^= 1
      #expect(!key.publicKey.verify(signature: changed, of: [1, 2, 3]))
    }
    #expect(!key.publicKey.verify(signature: signature, of: [1, 2, 4]))
    #expect(!key.publicKey.verify(signature: signature + [0], of: [1, 2, 3]))
    #expect(!key.publicKey.verify(signature: [UInt8](repeating: 0, count: 64), of: [1, 2, 3]))
    #expect(!key.publicKey.verify(signature: [UInt8](repeating: 0xff, count: 64), of: [1, 2, 3]))
  }
}

@Suite struct P256Tests {
  @Test("a key has its compressed and its uncompressed spelling, and no hybrid one")
  func encodings() throws {
    let key = P256PrivateKey(random: SeededRandom(22)).publicKey
    #expect(P256PublicKey(key.point.compressed) == key)
    #expect(P256PublicKey(key.point.uncompressed) == key)
    #expect(P256PublicKey([0x06 | key.point.compressed[0] & 1] + key.point.uncompressed.dropFirst()) == nil)
    #expect(P256PublicKey(key.point.compressed.dropLast()) == nil)
    #expect(P256PublicKey(x: key.point.y, y: key.point.x) == nil, "not on the curve")
    #expect(P256PublicKey(x: .zero, y: .zero) == nil)
  }

  @Test(
    "a number out of range is no private key",
    arguments: [
      String(repeating: "00", count: 32), String(repeating: "ff", count: 32), "01",
      "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    ])
  func range(scalar: String) {
    #expect(P256PrivateKey(SecretBytes(hex(scalar))) == nil)
  }

  @Test("a changed bit anywhere makes a signature invalid")
  func tampering() {
    let key = P256PrivateKey(random: SeededRandom(23))
    let signature = key.sign([1, 2, 3])
    #expect(key.publicKey.verify(signature: signature, of: [1, 2, 3]))
    for index in signature.indices {
      var changed = signature
      changed[index] ^= 1
      #expect(!key.publicKey.verify(signature: changed, of: [1, 2, 3]))
    }
    #expect(!key.publicKey.verify(signature: signature + [0], of: [1, 2, 3]))
    #expect(!key.publicKey.verify(signature: [UInt8](repeating: 0, count: 64), of: [1, 2, 3]))
  }
}

@Suite(.enabled(if: Fixtures.have("identity/did-key.json"), Comment(rawValue: Fixtures.skipped)))
struct ECDSAVectorTests {
  private static let cases = (try? Fixtures.json("identity/did-key.json"))?["cases"]?.array ?? []

  @Test("keys and signatures are those of another implementation, with s in either half")
  func secp256k1() throws {
    for vector in Self.cases where vector["alg"] == "ES256K" {
      let key = try #require(Secp256k1PrivateKey(SecretBytes(try vector.bytes("privateKeyHex"))))
      #expect(key.publicKey.point.compressed == (try vector.bytes("publicKeyHex")))
      #expect(key.publicKey.point.uncompressed == (try vector.bytes("uncompressedHex")))
      let message = try vector.bytes("messageHex")
      #expect(key.sign(message) == (try vector.bytes("signatureLowSHex")))
      #expect(key.publicKey.verify(signature: try vector.bytes("signatureLowSHex"), of: message))
      #expect(key.publicKey.verify(signature: try vector.bytes("signatureHighSHex"), of: message))
    }
  }

  @Test("P-256 keys are those of another implementation, and its signatures verify")
  func p256() throws {
    for vector in Self.cases where vector["alg"] == "ES256" {
      let key = try #require(P256PrivateKey(SecretBytes(try vector.bytes("privateKeyHex"))))
      #expect(key.publicKey.point.compressed == (try vector.bytes("publicKeyHex")))
      #expect(key.publicKey.point.uncompressed == (try vector.bytes("uncompressedHex")))
      let message = try vector.bytes("messageHex")
      #expect(key.publicKey.verify(signature: try vector.bytes("signatureLowSHex"), of: message))
      #expect(key.publicKey.verify(signature: try vector.bytes("signatureHighSHex"), of: message))
      #expect(key.publicKey.verify(signature: key.sign(message), of: message))
    }
  }
}
