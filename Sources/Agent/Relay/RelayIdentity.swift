import Cryptography
import DERP
import Logging
import NIOSSL
import Wire

/// What a relay is known by: a key of its own, and the certificate that the network's records name by its hash.
struct RelayIdentity: Sendable {
  let key: X25519PrivateKey
  let certificate: RelayCertificate
  let tls: NIOSSLContext

  private init(key: X25519PrivateKey, certificate: RelayCertificate) throws {
    self.key = key
    self.certificate = certificate
    tls = try certificate.serverContext()
  }

  fileprivate init(key: X25519PrivateKey, now: WallTime) throws {
    try self.init(key: key, certificate: RelayCertificate(relayKey: key.publicKey, now: now))
  }

  fileprivate init(key: X25519PrivateKey, pem: String, now: WallTime) throws {
    try self.init(key: key, certificate: RelayCertificate(pem: pem, relayKey: key.publicKey, now: now))
  }
}

extension StateDirectory {
  static let relayKeyFile = "relay.key"
  static let relayCertificateFile = "relay.pem"

  /// The relay's key and certificate of this directory, made on demand and then kept.
  ///
  /// A certificate that cannot be used is made anew, and the log says so: whoever runs the relay writes the record that names it, so
  /// nothing is lost but the connections of that moment. Files that cannot be read at all are an error.
  func relayIdentity(now: WallTime, logger: Logger) throws -> RelayIdentity {
    let key = try key(Self.relayKeyFile, orMaking: SystemRandom())
    if var kept = try read(Self.relayCertificateFile, limit: 64 << 10) {
      defer { wipe(&kept) }
      if let identity = try? RelayIdentity(key: key, pem: String(decoding: kept, as: UTF8.self), now: now) {
        return identity
      }
      logger.warning(
        "the relay's certificate cannot be used: a new one is made, which the network's record of this relay must name",
        metadata: ["file": "\(file(Self.relayCertificateFile))"])
      let made = try RelayIdentity(key: key, now: now)
      try write(Self.relayCertificateFile, Array(made.certificate.pem.utf8))
      return made
    }
    let made = try RelayIdentity(key: key, now: now)
    guard try !create(Self.relayCertificateFile, Array(made.certificate.pem.utf8)) else { return made }
    // Somebody else was first.
    let kept = try read(Self.relayCertificateFile, limit: 64 << 10) ?? []
    return try RelayIdentity(key: key, pem: String(decoding: kept, as: UTF8.self), now: now)
  }

  /// SHA-256 of the certificate that is kept; `nil` if there is none that can be read.
  var keptRelayCertificate: Bytes32? {
    get throws(AgentError) {
      guard var kept = try read(Self.relayCertificateFile, limit: 64 << 10) else { return nil }
      defer { wipe(&kept) }
      return RelayCertificate.sha256(pem: String(decoding: kept, as: UTF8.self))
    }
  }
}
