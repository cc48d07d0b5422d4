import Cryptography
import Testing
import TestSupport
import Wire

@Suite struct HashTests {
  @Test("SHA-256 of abc (FIPS 180-4)")
  func sha2() {
    #expect(
      Hex.encode(SHA2.sha256(Array("abc".utf8))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test("a stream gives the hash of its pieces")
  func sha256Stream() {
    let bytes = SeededRandom(1).bytes(1000)
    var stream = SHA256Stream()
    for start in stride(from: 0, to: 1000, by: 77) { stream.update(bytes[start..<min(start + 77, 1000)]) }
    #expect(stream.finalize() == SHA2.sha256(bytes))
  }

  @Test("BLAKE2s passes the self-test of RFC 7693 appendix E")
  func blake2sSelfTest() {
    func sequence(_ count: Int, _ seed: UInt32) -> [UInt8] {
      var a = 0xdead_4bad &* seed
      var b: UInt32 = 1
      return (0..<count).map { _ in
        let t = a &+ b
        a = b
        b = t
        return UInt8(t >> 24)
      }
    }
    var everything = BLAKE2s()
    for outputLength in [16, 20, 28, 32] {
      for inputLength in [0, 3, 64, 65, 255, 1024] {
        let input = sequence(inputLength, UInt32(inputLength))
        for key in [[], sequence(outputLength, UInt32(outputLength))] {
          var hasher = BLAKE2s(key: key, outputLength: outputLength)
          hasher.update(input)
          everything.update(hasher.finalize())
        }
      }
    }
    #expect(
      Hex.encode(everything.finalize()) == "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe")
  }

  @Test(
    "BLAKE2s known answers", .enabled(if: Fixtures.have("engine/crypto_kat.json"), Comment(rawValue: Fixtures.skipped)))
  func blake2sKnownAnswers() throws {
    let file = try knownAnswers()
    for entry in try file.list("blake2s") {
      var hasher = BLAKE2s(key: try entry.bytes("key"))
      hasher.update(try entry.bytes("in"))
      #expect(hasher.finalize() == (try entry.bytes("out")))
    }
    for entry in try file.list("blake2s_mac16") {
      #expect(BLAKE2s.mac(key: try entry.bytes("key"), try entry.bytes("in")) == (try entry.bytes("out")))
    }
  }

  @Test("BLAKE2s does not depend on how its input is cut")
  func blake2sPieces() {
    let bytes = SeededRandom(2).bytes(300)
    let whole = BLAKE2s.hash(bytes)
    for cut in [0, 1, 63, 64, 65, 127, 128, 129, 300] {
      #expect(BLAKE2s.hash(Array(bytes[..<cut]), Array(bytes[cut...])) == whole, "cut at \(cut)")
    }
  }
}
