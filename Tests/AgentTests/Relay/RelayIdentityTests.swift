import Cryptography
import DERP
import Glibc
import Logging
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("what a relay is known by")
struct RelayIdentityTests {
  private let folder = TemporaryFolder()
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private func load() throws -> RelayIdentity {
    try StateDirectory(opening: folder.path).relayIdentity(now: .now(), logger: logger)
  }

  @Test("key and certificate are made once, and only their owner may read them")
  func madeOnce() throws {
    let directory = try StateDirectory(opening: folder.path)
    #expect(try directory.keptRelayCertificate == nil)
    let first = try load()
    let second = try load()
    #expect(first.key.publicKey == second.key.publicKey)
    #expect(first.certificate.sha256 == second.certificate.sha256)
    #expect(try directory.keptRelayCertificate == first.certificate.sha256)
    for name in ["relay.key", "relay.pem"] {
      var info = stat()
      #expect(stat(directory.file(name), &info) == 0)
      #expect(info.st_mode & 0o777 == 0o600)
    }
  }

  @Test(
    "a certificate that cannot be used is made anew, once, and the key stays",
    arguments: ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
  func damagedCertificate(_ text: String) throws {
    let first = try load()
    let directory = try StateDirectory(opening: folder.path)
    try directory.write(StateDirectory.relayCertificateFile, Array(text.utf8))
    let second = try load()
    #expect(first.key.publicKey == second.key.publicKey)
    #expect(first.certificate.sha256 != second.certificate.sha256)
    #expect(try load().certificate.sha256 == second.certificate.sha256)
  }

  @Test("a certificate without its private key is made anew, and so is one with another's")
  func otherKey() throws {
    let first = try load()
    let directory = try StateDirectory(opening: folder.path)
    let other = TemporaryFolder()
    let stranger = try StateDirectory(opening: other.path).relayIdentity(now: .now(), logger: logger)
    let mark = "-----BEGIN CERTIFICATE-----"
    let certificate = mark + first.certificate.pem.split(separator: mark)[1]
    let strangersKey = stranger.certificate.pem.split(separator: mark)[0]
    for text in [certificate, strangersKey + certificate] {
      try directory.write(StateDirectory.relayCertificateFile, Array(text.utf8))
      #expect(try load().certificate.sha256 != first.certificate.sha256)
    }
  }

  @Test("a damaged key is an error that names its file")
  func damagedKey() throws {
    _ = try load()
    let directory = try StateDirectory(opening: folder.path)
    try directory.write(StateDirectory.relayKeyFile, [1, 2, 3])
    #expect(throws: AgentError.self) { _ = try load() }
  }
}
