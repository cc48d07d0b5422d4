import Cryptography
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Netmap
import Synchronization
import Wire

@testable import DERP

/// A relay on loopback, with a certificate that was made for it.
final class TestRelay: Sendable {
  /// A machine that is busy with other tests takes its time.
  static let patient: RelayLimits = {
    var limits = RelayLimits()
    limits.handshake = .seconds(600)
    limits.writeTimeout = .seconds(600)
    return limits
  }()

  let server: RelayServer
  let channel: any Channel
  let relay: Relay
  let certificate: Bytes32
  /// The relay's own key, as everybody learns it who shakes hands.
  let key: X25519PublicKey

  init(
    admission: any RelayAdmission = OpenAdmission(), limits: RelayLimits = TestRelay.patient, pin: Bytes32? = nil
  ) async throws {
    let key = X25519PrivateKey(random: SystemRandom())
    self.key = key.publicKey
    let identity = try RelayCertificate(relayKey: key.publicKey, now: .now())
    certificate = identity.sha256
    server = RelayServer(key: key, certificate: identity.sha256, admission: admission, limits: limits)
    channel = try await server.listen(
      on: .init(ipAddress: "127.0.0.1", port: 0), tls: identity.serverContext())
    relay = Relay(
      id: 1, region: "test", host: "127.0.0.1", port: UInt16(channel.localAddress?.port ?? 0),
      certificateSHA256: pin ?? identity.sha256)
  }

  func stop() async {
    server.closeClients()
    try? await channel.close()
  }
}

/// Collects the events of a link, and waits for those that a test wants.
final class LinkEvents: Sendable {
  private let events = Mutex<[RelayLink.Event]>([])

  var handler: @Sendable (RelayLink.Event) -> Void {
    { event in self.events.withLock { $0.append(event) } }
  }

  var all: [RelayLink.Event] { events.withLock { $0 } }

  /// Until the condition holds, or half a minute has passed.
  func wait(_ condition: @Sendable ([RelayLink.Event]) -> Bool) async throws -> Bool {
    for _ in 0..<3000 {
      if condition(all) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }
}
