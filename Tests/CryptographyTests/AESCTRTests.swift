import Cryptography
import TestSupport
import Testing
import Wire

@Suite("AES in counter mode")
struct AESCTRTests {
  private static let key = Hex.decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4") ?? []
  private static let text =
    Hex.decode(
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        + "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710") ?? []

  @Test("it is the cipher of NIST SP 800-38A F.5.5 and F.5.6")
  func standard() throws {
    let vector = try #require(Hex.decode("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"))
    let ciphertext = AESCTR.apply(Self.text, key: SecretBytes(Self.key), initializationVector: vector)
    #expect(
      Hex.encode(ciphertext)
        == "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        + "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6")
    #expect(AESCTR.apply(ciphertext, key: SecretBytes(Self.key), initializationVector: vector) == Self.text)
  }

  @Test("all 16 bytes count, over the end of each and of all")
  func carry() {
    func stream(_ vector: [UInt8], _ count: Int) -> [UInt8] {
      AESCTR.apply([UInt8](repeating: 0, count: count), key: SecretBytes(Self.key), initializationVector: vector)
    }
    let zero = [UInt8](repeating: 0, count: 16)
    #expect(Array(stream([UInt8](repeating: 255, count: 16), 48).dropFirst(16)) == stream(zero, 32))
    let beforeCarry = [UInt8](repeating: 0, count: 8) + [UInt8](repeating: 255, count: 8)
    let afterCarry = [UInt8](repeating: 0, count: 7) + [1] + [UInt8](repeating: 0, count: 8)
    #expect(Array(stream(beforeCarry, 32).dropFirst(16)) == stream(afterCarry, 16))
  }

  @Test(
    "a text of any length keeps it, and its beginning does not depend on its end", arguments: [0, 1, 15, 16, 17, 40])
  func lengths(count: Int) {
    let vector = SeededRandom(9).bytes(16)
    let whole = AESCTR.apply(Self.text, key: SecretBytes(Self.key), initializationVector: vector)
    let part = AESCTR.apply(Array(Self.text.prefix(count)), key: SecretBytes(Self.key), initializationVector: vector)
    #expect(part == Array(whole.prefix(count)))
  }
}
