import Testing
import TestSupport
import Wire

@Suite("Base64, base32, base58 and hexadecimal")
struct TextEncodingTests {
  /// RFC 4648 section 10.
  @Test(
    "the vectors of RFC 4648 hold",
    arguments: [
      ("", "", "", ""), ("f", "Zg==", "my", "66"), ("fo", "Zm8=", "mzxq", "666f"), ("foo", "Zm9v", "mzxw6", "666f6f"),
      ("foob", "Zm9vYg==", "mzxw6yq", "666f6f62"), ("fooba", "Zm9vYmE=", "mzxw6ytb", "666f6f6261"),
      ("foobar", "Zm9vYmFy", "mzxw6ytboi", "666f6f626172"),
    ])
  func rfc4648(text: String, base64: String, base32: String, hex: String) {
    let bytes = Array(text.utf8)
    let unpadded = base64.filter { $0 != "=" }
    #expect(Base64.encode(bytes, .standard) == base64)
    #expect(Base64.decode(base64, .standard) == bytes)
    #expect(Base64.encode(bytes) == unpadded)
    #expect(Base64.decode(unpadded) == bytes)
    #expect(Base32.rfc4648.encode(bytes) == base32)
    #expect(Base32.rfc4648.decode(base32) == bytes)
    #expect(Hex.encode(bytes) == hex)
    #expect(Hex.decode(hex.uppercased()) == bytes)
  }

  @Test("the two alphabets of base64 differ in two letters, and each refuses the other's")
  func alphabets() {
    #expect(Base64.encode([0xfb, 0xff]) == "-_8")
    #expect(Base64.encode([0xfb, 0xff], .standard) == "+/8=")
    #expect(Base64.decode("+/8") == nil)
    #expect(Base64.decode("-_8=", .standard) == nil)
  }

  @Test(
    "a second spelling of base64url is refused",
    arguments: [
      "Zg==", "Zg=", "Zh", "Zm9", "Zm8=", "Z", "Zm9vY", "Zm 9v", "Zm9v\n", " Zm9v", "Zm9v=", "=", "Zm9vÿ", "A",
    ])
  func base64url(text: String) {
    #expect(Base64.decode(text) == nil)
  }

  @Test(
    "a second spelling of padded base64 is refused",
    arguments: [
      "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", "Zm9v====", "====", "=", "Zg==Zg==", "Zm8=\n", "Z===", "Zg==" + "=",
    ])
  func base64(text: String) {
    #expect(Base64.decode(text, .standard) == nil)
  }

  @Test(
    "a second spelling of base32 is refused",
    arguments: ["MY", "my======", "mz", "m", "mzxw6y", "m1", "my ", "mzxw6yq1"])
  func base32(text: String) {
    #expect(Base32.rfc4648.decode(text) == nil)
  }

  @Test(
    "hexadecimal of an odd count or with another character is refused", arguments: ["0", "0g", "0x00", " 00", "000"])
  func hex(text: String) {
    #expect(Hex.decode(text) == nil)
  }

  /// The vectors of draft-msporny-base58.
  @Test(
    "the vectors of base58 hold",
    arguments: [
      (Array("Hello World!".utf8), "2NEpo7TZRRrLZSi2U"),
      (
        Array("The quick brown fox jumps over the lazy dog.".utf8),
        "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z"
      ), ([0, 0, 0x28, 0x7f, 0xb4, 0xcd], "11233QC4"), ([], ""), ([0], "1"),
    ] as [([UInt8], String)])
  func base58(bytes: [UInt8], text: String) {
    #expect(Base58.encode(bytes) == text)
    #expect(Base58.decode(text) == bytes)
  }

  @Test(
    "a foreign character and a text beyond the bound are no base58",
    arguments: ["0", "O", "I", "l", "2NEpo7TZRRrLZSi2U "])
  func notBase58(text: String) {
    #expect(Base58.decode(text) == nil)
    #expect(Base58.decode(String(repeating: "2", count: 129)) == nil)
    #expect(Base58.decode("222", limit: 2) == nil)
  }

  @Test("random bytes come back from every encoding, and random text that decodes encodes to itself")
  func roundTrip() {
    let random = SeededRandom(.random(in: 0...(.max)))
    for _ in 0..<2000 {
      let bytes = random.bytes(Int(random.uniform(below: 40)))
      #expect(Base64.decode(Base64.encode(bytes)) == bytes, "seed \(random.seed)")
      #expect(Base64.decode(Base64.encode(bytes, .standard), .standard) == bytes, "seed \(random.seed)")
      #expect(Base32.rfc4648.decode(Base32.rfc4648.encode(bytes)) == bytes, "seed \(random.seed)")
      #expect(Base58.decode(Base58.encode(bytes)) == bytes, "seed \(random.seed)")
      #expect(Hex.decode(Hex.encode(bytes)) == bytes, "seed \(random.seed)")
    }
    let alphabet = Array("ABYZabyz0189-_+/=234567 ")
    for _ in 0..<20_000 {
      let text = String(
        (0..<random.uniform(below: 9)).map { _ in alphabet[Int(random.uniform(below: UInt64(alphabet.count)))] })
      if let bytes = Base64.decode(text) { #expect(Base64.encode(bytes) == text, "seed \(random.seed)") }
      if let bytes = Base64.decode(text, .standard) {
        #expect(Base64.encode(bytes, .standard) == text, "seed \(random.seed)")
      }
      if let bytes = Base32.rfc4648.decode(text) {
        #expect(Base32.rfc4648.encode(bytes) == text, "seed \(random.seed)")
      }
      if let bytes = Base58.decode(text) { #expect(Base58.encode(bytes) == text, "seed \(random.seed)") }
    }
  }
}
