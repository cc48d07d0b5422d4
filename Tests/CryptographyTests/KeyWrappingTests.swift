import Cryptography
import Testing
import TestSupport
import Wire

@Suite struct KeyWrappingTests {
  private static let upstream = "mesh/upstream-jwe/vectors.json"
  private static let jwe = "mesh/encryption-jwe.json"

  @Test("HKDF with an empty salt (RFC 5869 A.3)")
  func hkdf() {
    let secret = SecretBytes([UInt8](repeating: 0x0b, count: 22))
    #expect(
      Hex.encode(KeyDerivation.hkdfSHA256(secret, info: [], count: 42).copy())
        == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")
  }

  @Test("AES key wrap with a 256-bit key (RFC 3394 sections 4.3 and 4.6)")
  func keyWrap() throws {
    let wrappingKey = SecretBytes(hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
    for (key, wrapped) in [
      ("00112233445566778899aabbccddeeff", "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"),
      (
        "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
      ),
    ] {
      #expect(try AESKeyWrap.wrap(SecretBytes(hex(key)), with: wrappingKey) == hex(wrapped))
      #expect(AESKeyWrap.unwrap(hex(wrapped), with: wrappingKey)?.copy() == hex(key))
    }
  }

  @Test("a wrapped key that was changed, cut or wrapped for another is refused")
  func badWraps() throws {
    let random = SeededRandom(8)
    let wrappingKey = SecretBytes(random.bytes(32))
    let wrapped = try AESKeyWrap.wrap(SecretBytes(random.bytes(32)), with: wrappingKey)
    for index in wrapped.indices {
      var changed = wrapped
      changed[index] ^= 0x80
      #expect(AESKeyWrap.unwrap(changed, with: wrappingKey) == nil)
    }
    for count in [0, 1, 8, 16, 39] {
      #expect(AESKeyWrap.unwrap(Array(wrapped.prefix(count)), with: wrappingKey) == nil)
    }
    #expect(AESKeyWrap.unwrap(wrapped, with: SecretBytes(random.bytes(32))) == nil)
  }

  @Test("hierarchical keys", .enabled(if: Fixtures.have(upstream), Comment(rawValue: Fixtures.skipped)))
  func hkdfVectors() throws {
    for entry in try Fixtures.json(Self.upstream).list("hkdf") {
      var key = SecretBytes(try entry.base64("rootKey"))
      for segment in try entry.list("path") {
        key = KeyDerivation.hkdfSHA256(key, info: Array((segment.string ?? "").utf8))
      }
      #expect(key.copy() == (try entry.base64("derivedKey")))
      #expect(X25519PrivateKey(key)?.publicKey.bytes.array == (try entry.base64("publicKey")))
    }
  }

  @Test(
    "ECDH-ES, ConcatKDF and AES key wrap", .enabled(if: Fixtures.have(upstream), Comment(rawValue: Fixtures.skipped)))
  func keyAgreementVectors() throws {
    let file = try Fixtures.json(Self.upstream)
    let standard = try #require(file["concatKdf"]?.array?.first)
    #expect(
      KeyDerivation.concatSHA256(SecretBytes(try standard.base64("sharedSecret")), algorithmID: "A256KW").copy()
        == (try standard.base64("derivedKey")))
    for entry in try file.list("keyWrap") {
      let wrappingKey = SecretBytes(try entry.base64("kek"))
      #expect(
        try AESKeyWrap.wrap(SecretBytes(try entry.base64("plaintext")), with: wrappingKey)
          == (try entry.base64("wrapped")))
    }
    for entry in try file.list("ecdhEs") {
      let recipient = try #require(X25519PrivateKey(SecretBytes(try entry.base64("recipientPrivateKey"))))
      let ephemeral = try #require(X25519PublicKey(try entry.base64("ephemeralPublicKey")))
      let secret = try #require(recipient.sharedSecret(with: ephemeral))
      #expect(secret.copy() == (try entry.base64("sharedSecret")))
      let wrappingKey = KeyDerivation.concatSHA256(secret, algorithmID: "A256KW")
      #expect(wrappingKey.copy() == (try entry.base64("kek")))
      #expect(AESKeyWrap.unwrap(try entry.base64("wrappedKey"), with: wrappingKey)?.copy() == (try entry.base64("cek")))
    }
  }

  @Test("AES-GCM", .enabled(if: Fixtures.have(upstream), Comment(rawValue: Fixtures.skipped)))
  func gcmVectors() throws {
    for entry in try Fixtures.json(Self.upstream).list("aead")
    where entry["algorithm"]?.string == "A256GCM" {
      let key = SecretBytes(try entry.base64("key"))
      let nonce = try entry.base64("iv")
      let sealed = try AESGCM.seal(try entry.base64("plaintext"), key: key, nonce: nonce, additionalData: [])
      #expect(sealed.ciphertext == (try entry.base64("ciphertext")))
      #expect(sealed.tag == (try entry.base64("tag")))
      #expect(
        AESGCM.open(sealed.ciphertext, tag: sealed.tag, key: key, nonce: nonce, additionalData: [])
          == (try entry.base64("plaintext")))
      #expect(AESGCM.open(sealed.ciphertext, tag: sealed.tag, key: key, nonce: nonce, additionalData: [0]) == nil)
      #expect(AESGCM.open(sealed.ciphertext, tag: [], key: key, nonce: nonce, additionalData: []) == nil)
      #expect(AESGCM.open(sealed.ciphertext, tag: sealed.tag, key: key, nonce: [], additionalData: []) == nil)
    }
  }

  @Test(
    "the envelopes of records, from the recipient's key to the plaintext",
    .enabled(if: Fixtures.have(jwe), Comment(rawValue: Fixtures.skipped)))
  func envelopes() throws {
    for record in try Fixtures.json(Self.jwe).list("records") {
      let recipients = record["encryption"]?["recipients"]?.array ?? []
      let wraps = try record.list("wraps")
      #expect(recipients.count == wraps.count)
      for (recipient, wrap) in zip(recipients, wraps) {
        let key = try #require(X25519PrivateKey(SecretBytes(try wrap.bytes("recipientPrivateKeyHex"))))
        let epk = try #require(recipient["header"]?["epk"])
        let ephemeral = try #require(X25519PublicKey(try epk.base64("x")))
        let secret = try #require(key.sharedSecret(with: ephemeral))
        #expect(secret.copy() == (try wrap.bytes("sharedSecretHex")))
        let wrappingKey = KeyDerivation.concatSHA256(secret, algorithmID: "A256KW")
        #expect(wrappingKey.copy() == (try wrap.bytes("kekHex")))
        let contentKey = try #require(AESKeyWrap.unwrap(try recipient.base64("encrypted_key"), with: wrappingKey))
        #expect(contentKey.copy() == (try record.bytes("cekHex")))
        let plaintext = AESGCM.open(
          try record.base64("ciphertext_b64u"), tag: try record.bytes("tagHex"), key: contentKey,
          nonce: try record.bytes("ivHex"), additionalData: try record.bytes("aadHex"))
        #expect(plaintext == Array(try record.text("plaintext").utf8))
      }
    }
  }
}
