import Cryptography
import Testing
import Wire

@Suite struct SecretBytesTests {
  private let secret = SecretBytes(Array("correct horse battery staple".utf8))

  @Test("a secret prints its length alone")
  func printsNothing() {
    var dumped = ""
    dump(secret, to: &dumped)
    let interpolated: [String] = ["\(secret)", String(describing: secret), String(reflecting: secret), dumped]
    for text in interpolated {
      #expect(!text.contains("horse"))
      #expect(!text.contains("104"), "the bytes as numbers are no better")
    }
    #expect("\(secret)" == "<28 secret bytes>")
    #expect(Mirror(reflecting: secret).children.isEmpty)
  }

  @Test("a private key prints nothing of its bytes")
  func privateKeysPrintNothing() {
    let seed = SecretBytes([UInt8](repeating: 0xab, count: 32))
    var dumped = ""
    dump(Ed25519PrivateKey(seed: seed)!, to: &dumped)
    dump(X25519PrivateKey(seed)!, to: &dumped)
    #expect(!dumped.contains("171") && !dumped.lowercased().contains("abab"))
  }

  @Test("two secrets are equal if their bytes are")
  func comparison() {
    #expect(secret == SecretBytes(secret.copy()))
    #expect(secret != SecretBytes(Array("correct horse battery stapler".utf8)))
    #expect(secret != SecretBytes(Array("correct horse battery staplE".utf8)))
    #expect(SecretBytes([]) == SecretBytes([]))
  }

  @Test("wiping leaves zeros")
  func wiping() {
    var bytes: [UInt8] = [1, 2, 3]
    wipe(&bytes)
    #expect(bytes == [0, 0, 0])
    var none: [UInt8] = []
    wipe(&none)
    #expect(none.isEmpty)
  }

  @Test("only 32 bytes are a key")
  func lengths() {
    for count in [0, 31, 33, 64] {
      let bytes = [UInt8](repeating: 7, count: count)
      #expect(Bytes32(bytes) == nil)
      #expect(X25519PublicKey(bytes) == nil)
      #expect(X25519PrivateKey(SecretBytes(bytes)) == nil)
      #expect(Ed25519PublicKey(bytes) == nil)
      #expect(Ed25519PrivateKey(seed: SecretBytes(bytes)) == nil)
    }
  }
}
