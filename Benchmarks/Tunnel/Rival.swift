import Cryptography
import Foundation

/// Another program that carries WireGuard in user space, to be compared with.
struct Rival: Sendable {
  let path: String
  /// What is added to a figure's name when it is compared with this one.
  let suffix: String
  /// The program, and the SHA-256 of its file.
  let title: String

  init?(path: String, suffix: String) {
    guard let content = FileManager.default.contents(atPath: path) else { return nil }
    self.path = path
    self.suffix = suffix
    let digest = SHA2.sha256(content).map { String(format: "%02x", $0) }.joined()
    title = "\(URL(fileURLWithPath: path).lastPathComponent) \(digest)"
  }

  /// The program that `BENCH_PEER` names, then Debian's `wireguard-go`; those that are there.
  static let all: [Rival] = [
    ProcessInfo.processInfo.environment["BENCH_PEER"].flatMap { Rival(path: $0, suffix: "") },
    Rival(path: "/usr/bin/wireguard-go", suffix: "@debian"),
  ].compactMap { $0 }
}
