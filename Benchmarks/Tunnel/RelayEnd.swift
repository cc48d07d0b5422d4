import ArgumentParser
import Cryptography
import DERP
import Foundation
import NIOCore
import Wire

/// A relay of ours as a process of its own, open to everybody, until it is killed.
struct RelayEnd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "relay-end", shouldDisplay: false)

  @Option var address: String
  @Option var port: Int
  /// Its key and certificate.
  @Option var pem: String
  /// Takes from each client as much as it sends, and not the relay's usual share.
  @Flag var unlimited = false

  func run() async throws {
    let key = X25519PrivateKey(random: SystemRandom())
    let certificate = try RelayCertificate(
      pem: String(contentsOfFile: pem, encoding: .utf8), relayKey: key.publicKey, now: .now())
    var limits = RelayLimits()
    if unlimited { limits.bytesPerSecond = .max }
    let server = RelayServer(
      key: key, certificate: certificate.sha256, admission: OpenAdmission(), limits: limits)
    let channel = try await server.listen(
      on: .init(ipAddress: address, port: port), tls: certificate.serverContext())
    try await channel.closeFuture.get()
  }
}
