import Cryptography
import Identity
import TestSupport
import Testing
import Wire

@Suite("Identity and its file")
struct IdentityFileTests {
  private let identity = MachineIdentity.generate(random: SeededRandom(5))

  @Test("an identity survives being written and read")
  func roundTrip() throws {
    let read = try IdentityFile.parse(IdentityFile.text(identity))
    #expect(read.did == identity.did)
    #expect(read.wireGuardKey.bytes == identity.wireGuardKey.bytes)
  }

  @Test("two random identities differ, and one random source gives one identity")
  func generated() {
    #expect(
      MachineIdentity.generate(random: SystemRandom()).did != MachineIdentity.generate(random: SystemRandom()).did)
    #expect(MachineIdentity.generate(random: SeededRandom(5)).did == identity.did)
  }

  @Test("a seed of another length makes no identity", arguments: [0, 31, 33, 64])
  func seedLength(count: Int) {
    #expect(MachineIdentity(seed: SecretBytes([UInt8](repeating: 1, count: count))) == nil)
  }

  @Test(
    "a file without a usable key says what is missing",
    arguments: [
      ("", IdentityFile.Failure.notJSON), ("{", .notJSON), ("{}", .noKey), (#"{"privateKey":1}"#, .noKey),
      (#"{"privateKey":"AAAA"}"#, .noKey), (#"{"privateKey":"!!"}"#, .noKey), ("[]", .noKey),
    ])
  func missing(text: String, failure: IdentityFile.Failure) {
    #expect(throws: failure) { try IdentityFile.parse(Array(text.utf8)) }
  }

  @Test("a public half that does not belong to the seed is noticed")
  func mismatch() {
    let other = MachineIdentity.generate(random: SeededRandom(6))
    let key = identity.signingKey.seed.copy() + other.signingKey.publicKey.bytes.array
    let text: JSONValue = ["privateKey": .string(Base64.encode(key))]
    #expect(throws: IdentityFile.Failure.keyMismatch) { try IdentityFile.parse(text.encoded) }
  }

  @Test("printing an identity shows no key")
  func printing() {
    let secret = Base64.encode(identity.signingKey.seed.copy())
    var text = "\(identity) \(String(reflecting: identity)) \(identity.signingKey) \(identity.wireGuardKey)"
    dump(identity, to: &text)
    #expect(!text.contains(secret))
    #expect(!text.contains(Hex.encode(identity.signingKey.seed.copy())))
    #expect(text.contains(identity.did.text))
  }
}
