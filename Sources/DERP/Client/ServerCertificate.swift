import Cryptography
import NIOCore
import NIOSSL
import Synchronization
import Wire

/// What a relay's certificates have to be, and what they told.
final class ServerCertificate: Sendable {
  /// SHA-256 of the leaf's DER; `nil`: what the system's roots vouch for.
  let pin: Bytes32?
  private let key = Mutex<X25519PublicKey?>(nil)
  private let refusedLeaf = Mutex<Bytes32?>(nil)

  init(pin: Bytes32?) {
    self.pin = pin
  }

  /// The relay's key, if a certificate beside the leaf gave it. Nobody vouches for it but who holds the leaf's key.
  var relayKey: X25519PublicKey? { key.withLock { $0 } }

  /// SHA-256 of a leaf that was shown in place of the pinned one.
  var refused: Bytes32? { refusedLeaf.withLock { $0 } }

  /// A handler for the client's side of TLS, 1.2 or newer.
  func makeHandler(host: String) throws -> NIOSSLClientHandler {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    // A relay that is left owes nothing: what it sends until it says goodbye is thrown away.
    configuration.shutdownTimeout = .milliseconds(500)
    // TLS names hosts, not addresses (RFC 6066 section 3).
    let name = IPAddress(host) == nil ? host : nil
    guard pin != nil else {
      return try NIOSSLClientHandler(context: NIOSSLContext(configuration: configuration), serverHostname: name)
    }
    configuration.certificateVerification = .noHostnameVerification
    return try NIOSSLClientHandler(
      context: NIOSSLContext(configuration: configuration), serverHostname: name,
      customVerificationCallback: { [self] chain, promise in
        promise.succeed(accepts(chain) ? .certificateVerified : .failed)
      })
  }

  /// Exactly the pinned leaf; neither its name nor its dates matter.
  private func accepts(_ chain: [NIOSSLCertificate]) -> Bool {
    guard let pin, let leaf = chain.first, let bytes = try? leaf.toDERBytes(), let hash = Bytes32(SHA2.sha256(bytes))
    else { return false }
    guard hash == pin else {
      refusedLeaf.withLock { $0 = hash }
      return false
    }
    let found = chain.dropFirst().lazy.compactMap { try? $0.toDERBytes() }.compactMap { Self.relayKey(in: $0) }.first
    key.withLock { $0 = found }
    return true
  }

  /// The key in the name of a certificate that was added for this: `derpkey` and 64 hex digits. The name is longer than X.520 allows,
  /// so it is searched for and not parsed.
  static func relayKey(in certificate: [UInt8]) -> X25519PublicKey? {
    guard let mark = certificate.firstRange(of: Array("derpkey".utf8)), certificate.count >= mark.upperBound + 64 else {
      return nil
    }
    let digits = String(decoding: certificate[mark.upperBound..<mark.upperBound + 64], as: UTF8.self)
    return Hex.decode(digits).flatMap { X25519PublicKey($0) }
  }
}
