import Cryptography
import DERP
import Foundation
import Glibc
import Wire

/// A relay in the first namespace, for two ends that have no other way to each other.
struct RunningRelay {
  enum Program {
    /// Ours; `isLimited`: with the share of each client that it has by itself.
    case ours(isLimited: Bool)
    /// One of others, as a line for the shell, in whose environment stand where it has to listen (`RELAY_ADDRESS`, `RELAY_PORT`)
    /// and the file with key and certificate (`RELAY_PEM`).
    case foreign(String)
  }

  static let port = 8787
  let address: SocketAddress
  let certificate: Bytes32
  private let process: ChildProcess
  private let pem: String

  /// As `engine-end` takes it.
  var argument: String { "\(address)#\(Hex.encode(certificate.array))" }

  init(_ lab: NamespacePair, _ number: Int, _ program: Program) throws {
    let key = X25519PrivateKey(random: SystemRandom())
    let certificate = try RelayCertificate(relayKey: key.publicKey, now: .now())
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("relay-\(getpid())-\(number).pem")
    pem = file.path
    guard
      FileManager.default.createFile(
        atPath: pem, contents: Data(certificate.pem.utf8), attributes: [.posixPermissions: 0o600]),
      let ip = IPAddress(NamespacePair.wire[0])
    else { throw BenchmarkFailure(reason: "the relay's key cannot be written") }
    let port = RunningRelay.port + number
    address = SocketAddress(ip, port: UInt16(port))
    self.certificate = certificate.sha256
    let words =
      switch program {
      case .ours(let isLimited):
        [CommandLine.arguments[0], "relay-end", "--address", "\(ip)", "--port", "\(port)", "--pem", pem]
          + (isLimited ? [] : ["--unlimited"])
      case .foreign(let command):
        ["env", "RELAY_ADDRESS=\(ip)", "RELAY_PORT=\(port)", "RELAY_PEM=\(pem)", "sh", "-c", "exec \(command)"]
      }
    process = try ChildProcess(lab.inside(0, words))
  }

  func stop() {
    process.stop()
    try? FileManager.default.removeItem(atPath: pem)
  }
}
