import Cryptography
import DERP
import Foundation
import Glibc
import NIOCore
import Netmap
import Wire

/// What idle clients add to the memory of a relay, each over TLS: upstream's server has about 63 KiB for one.
struct RelayMemory: Benchmark {
  let title = "memory of a relay"
  private let clients = 1_000
  /// Connected before anything is measured, so that what comes once is there.
  private let first = 50
  private let port = 8799

  private struct Client {
    let key: X25519PublicKey
    let link: RelayLink
  }

  func figures(_ effort: Effort) async throws -> [Figure] {
    let key = X25519PrivateKey(random: SystemRandom())
    let certificate = try RelayCertificate(relayKey: key.publicKey, now: .now())
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("relay-memory-\(getpid()).pem")
    guard
      FileManager.default.createFile(
        atPath: file.path, contents: Data(certificate.pem.utf8), attributes: [.posixPermissions: 0o600])
    else { throw BenchmarkFailure(reason: "the relay's key cannot be written") }
    defer { try? FileManager.default.removeItem(at: file) }
    let process = try ChildProcess([
      CommandLine.arguments[0], "relay-end", "--address", "127.0.0.1", "--port", "\(port)", "--pem", file.path,
    ])
    defer { process.stop() }
    let relay = Relay(
      id: 1, region: "memory", host: "127.0.0.1", port: UInt16(port), certificateSHA256: certificate.sha256)

    var links: [Client] = []
    while links.isEmpty { links += try await connect(1, to: relay) }
    links += try await connect(first, to: relay)
    let before = try await settled(process.pid)
    links += try await connect(clients, to: relay)
    let after = try await settled(process.pid)
    for link in links { burst(over: link) }
    let later = try await settled(process.pid)
    for link in links { link.link.close() }
    let upstream = 63 * Double(clients) / 1024
    return [("idle", after), ("that were busy once", later)].map { kind, memory in
      Figure(
        "relay, \(clients) clients, \(kind)", memory - before, "MiB", versus: "upstream's server, as it says",
        of: upstream)
    }
  }

  /// A quarter of a megabyte to itself.
  private func burst(over link: Client) {
    for _ in 0..<200 { link.link.send(ByteBuffer(repeating: 0, count: 1300), to: link.key) }
  }

  /// One after the other: a relay takes few at a time from one address.
  private func connect(_ count: Int, to relay: Relay) async throws -> [Client] {
    var links: [Client] = []
    for _ in 0..<100 * count where links.count < count {
      let key = X25519PrivateKey(random: SystemRandom())
      guard let link = try? await RelayLink.connect(to: relay, as: key, onEvent: { _ in }) else {
        try await Task.sleep(for: .milliseconds(50))
        continue
      }
      links.append(Client(key: key.publicKey, link: link))
    }
    guard links.count == count else { throw BenchmarkFailure(reason: "the relay takes no client") }
    return links
  }

  /// Resident memory in MiB, once nothing is under way any more.
  private func settled(_ process: pid_t) async throws -> Double {
    try await Task.sleep(for: .seconds(3))
    return try ProcessMemory.resident(of: process)
  }
}
