import Cryptography
import Identity
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("a file that names who may use a relay")
struct MembersFileTests {
  private let folder = TemporaryFolder()

  private func write(_ text: String) throws -> String {
    let directory = try StateDirectory(opening: folder.path)
    try directory.write("members", Array(text.utf8))
    return directory.file("members")
  }

  @Test("names machines by their DID or by their key, with comments and empty lines between")
  func kinds() throws {
    let machine = MachineIdentity.generate(random: SystemRandom())
    let key = X25519PrivateKey(random: SystemRandom()).publicKey
    var file = MembersFile(
      try write("# ours\n\(machine.did)\n\n  nodekey:\(Hex.encode(key.bytes.array))  \r\n"))
    #expect(try file.readIfChanged() == [machine.wireGuardKey.publicKey, key])
    #expect(try file.readIfChanged() == nil, "it is the same")
    _ = try write("")
    #expect(try file.readIfChanged() == [], "nobody is a list too")
  }

  @Test(
    "a line that is not understood makes it none, and is named",
    arguments: [
      "did:web:example.org", "nodekey:12", "hello", String(repeating: "0", count: 64),
      "nodekey:" + String(repeating: "0", count: 64),
    ])
  func badLine(_ line: String) throws {
    let machine = MachineIdentity.generate(random: SystemRandom())
    var file = MembersFile(try write("\(machine.did)\n\(line)\n"))
    do {
      _ = try file.readIfChanged()
      Issue.record("it was taken")
    } catch {
      #expect(error.description.contains("line 2"))
    }
    #expect(throws: AgentError.self, "as long as it is so") { _ = try file.readIfChanged() }
  }

  @Test("a file that is not there is an error, and counts once it is")
  func missing() throws {
    var file = MembersFile(folder.path + "/members")
    #expect(throws: AgentError.self) { _ = try file.readIfChanged() }
    _ = try write("")
    #expect(try file.readIfChanged() == [])
  }
}
