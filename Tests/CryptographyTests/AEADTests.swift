import Cryptography
import Testing
import TestSupport
import Wire

@Suite struct AEADTests {
  private static let file = "engine/crypto_kat.json"

  @Test("ChaCha20-Poly1305 (RFC 8439 appendix A.5)")
  func rfc8439() throws {
    let key = SecretBytes(hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"))
    let sealed = hex(
      "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100"
        + "d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b35"
        + "06383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7"
        + "f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6"
        + "727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b"
        + "eead9d67890cbb22392336fea1851f38")
    // The nonce 00000000 0102030405060708 is this counter in WireGuard's construction.
    let counter: UInt64 = 0x0807_0605_0403_0201
    let additionalData = hex("f33388860000000000004e91")
    let plaintext = try #require(
      ChaCha20Poly1305.open(sealed, key: key, counter: counter, additionalData: additionalData))
    #expect(String(decoding: plaintext, as: UTF8.self).hasPrefix("Internet-Drafts are draft documents valid for"))
    #expect(ChaCha20Poly1305.seal(plaintext, key: key, counter: counter, additionalData: additionalData) == sealed)
  }

  @Test(
    "ChaCha20-Poly1305 with WireGuard's nonce, for messages and for packets",
    .enabled(if: Fixtures.have(file), Comment(rawValue: Fixtures.skipped)))
  func wireGuardNonce() throws {
    for entry in try knownAnswers().list("wireguard_aead") {
      let key = SecretBytes(try entry.bytes("key_hex"))
      let nonce = try entry.bytes("nonce_hex")
      let counter = nonce[4...].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      let plaintext = try entry.bytes("pt_hex")
      let sealed = try entry.bytes("ct_hex")
      #expect(ChaCha20Poly1305.seal(plaintext, key: key, counter: counter, additionalData: []) == sealed)
      #expect(ChaCha20Poly1305.open(sealed, key: key, counter: counter, additionalData: []) == plaintext)

      let cipher = PacketCipher(key: key)
      var buffer = plaintext + [UInt8](repeating: 0, count: PacketCipher.tagLength)
      buffer.withUnsafeMutableBytes {
        cipher.seal($0.baseAddress!, count: plaintext.count, counter: counter, into: $0.baseAddress!)
      }
      #expect(buffer == sealed, "in place")
      let opened = buffer.withUnsafeMutableBytes { cipher.open($0.baseAddress!, count: sealed.count, counter: counter) }
      #expect(opened && Array(buffer.prefix(plaintext.count)) == plaintext)
    }
  }

  @Test("the self-test, whose vectors are another implementation's, passes on this machine")
  func selfTest() { #expect(PacketCipher.passesSelfTest) }

  @Test("a packet that was changed, cut or counted otherwise does not open")
  func packetTampering() {
    let random = SeededRandom(9)
    let cipher = PacketCipher(key: SecretBytes(random.bytes(32)))
    let plaintext = random.bytes(64)
    var sealed = [UInt8](repeating: 0, count: 80)
    sealed.withUnsafeMutableBytes { cipher.seal(plaintext, count: 64, counter: 5, into: $0.baseAddress!) }
    func opens(_ bytes: [UInt8], counter: UInt64 = 5) -> Bool {
      var bytes = bytes + [0]
      let count = bytes.count - 1
      return bytes.withUnsafeMutableBytes { cipher.open($0.baseAddress!, count: count, counter: counter) }
    }
    #expect(opens(sealed))
    #expect(!opens(sealed, counter: 4))
    for index in sealed.indices {
      var changed = sealed
      changed[index] ^= 1
      #expect(!opens(changed))
    }
    for count in 0..<80 { #expect(!opens(Array(sealed.prefix(count)))) }
  }

  @Test("XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha appendix A.3.1)")
  func xchacha() {
    let plaintext = Array(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
        .utf8)
    let key = (0x80...0x9f).map { UInt8($0) }
    let nonce = (0x40...0x57).map { UInt8($0) }
    let additionalData = hex("50515253c0c1c2c3c4c5c6c7")
    let sealed = hex(
      "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
        + "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
        + "b52ec0875924c1c7987947deafd8780acf49")
    #expect(XChaCha20Poly1305.seal(plaintext, key: key, nonce: nonce, additionalData: additionalData) == sealed)
    #expect(XChaCha20Poly1305.open(sealed, key: key, nonce: nonce, additionalData: additionalData) == plaintext)
    #expect(XChaCha20Poly1305.open(sealed, key: key, nonce: nonce, additionalData: []) == nil)
    #expect(XChaCha20Poly1305.open(Array(sealed.prefix(15)), key: key, nonce: nonce, additionalData: []) == nil)
  }

  @Test("what was sealed opens again, whatever its length")
  func roundTrips() {
    let random = SeededRandom(10)
    let key = SecretBytes(random.bytes(32))
    for count in 0..<130 {
      let plaintext = random.bytes(count)
      let sealed = ChaCha20Poly1305.seal(plaintext, key: key, counter: UInt64(count), additionalData: plaintext)
      #expect(sealed.count == count + 16)
      #expect(ChaCha20Poly1305.open(sealed, key: key, counter: UInt64(count), additionalData: plaintext) == plaintext)
      #expect(ChaCha20Poly1305.open(sealed, key: key, counter: UInt64(count) + 1, additionalData: plaintext) == nil)
    }
  }
}
