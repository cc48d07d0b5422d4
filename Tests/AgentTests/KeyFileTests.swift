import Cryptography
import Glibc
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("keys in files of their own")
struct KeyFileTests {
  private func withDirectory(_ body: (StateDirectory) throws -> Void) throws {
    let folder = TemporaryFolder()
    try body(try StateDirectory(opening: folder.path))
  }

  @Test("a key is made once, is the same ever after, and only its owner may read it")
  func madeOnce() throws {
    try withDirectory { directory in
      let first = try directory.key("some.key", orMaking: SystemRandom())
      #expect(try directory.key("some.key", orMaking: SystemRandom()).publicKey == first.publicKey)
      #expect(try directory.key("other.key", orMaking: SystemRandom()).publicKey != first.publicKey)
      var info = stat()
      #expect(stat(directory.file("some.key"), &info) == 0)
      #expect(info.st_mode & 0o777 == 0o600)
    }
  }

  @Test("a key is another one after it was replaced")
  func replaced() throws {
    try withDirectory { directory in
      let first = try directory.key("some.key", orMaking: SystemRandom())
      let second = try directory.replaceKey("some.key", random: SystemRandom())
      #expect(first.publicKey != second.publicKey)
      #expect(try directory.key("some.key", orMaking: SystemRandom()).publicKey == second.publicKey)
    }
  }

  @Test("a file that holds no key is an error that names it, and stays as it is", arguments: [0, 31, 33, 4096])
  func damaged(count: Int) throws {
    try withDirectory { directory in
      let bytes = [UInt8](repeating: 7, count: count)
      try directory.write("some.key", bytes)
      let error = #expect(throws: AgentError.self) { try directory.key("some.key", orMaking: SystemRandom()) }
      #expect(error?.description.contains("some.key") == true)
      #expect(try directory.read("some.key") == bytes)
    }
  }
}
