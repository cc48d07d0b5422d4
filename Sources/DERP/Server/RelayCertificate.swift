public import Cryptography
import Crypto
import Foundation
import NIOCore
public import NIOSSL
import SwiftASN1
public import Wire
import X509

/// What a relay shows of itself over TLS: a certificate that it signed itself, which the network's records name by its hash, and a
/// second one that carries the relay's key, so that clients need not wait for it (`derp.md`, 2.4).
public struct RelayCertificate: Sendable {
  /// Twenty years: what ends its life is that the records name another.
  private static let lifetime: TimeInterval = 20 * 365.25 * 86400
  private static let clockSkew: TimeInterval = 86400

  /// PKCS #8 and certificate, as PEM: what is kept on disk. It is the private key as well.
  public let pem: String
  /// Of the leaf's DER.
  public let sha256: Bytes32
  private let leaf: NIOSSLCertificate
  private let key: NIOSSLPrivateKey
  private let relayKey: X25519PublicKey
  private let now: WallTime

  /// Makes a new one.
  public init(relayKey: X25519PublicKey, now: WallTime) throws {
    let key = P256.Signing.PrivateKey()
    let name = try DistinguishedName { CommonName("meshd relay") }
    let date = Date(timeIntervalSince1970: TimeInterval(now.unixSeconds))
    let certificate = try X509.Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey),
      notValidBefore: date - Self.clockSkew, notValidAfter: date + Self.lifetime, issuer: name, subject: name,
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: .init {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage([.serverAuth])
      }, issuerPrivateKey: .init(key))
    try self.init(
      pem: key.pemRepresentation + "\n" + certificate.serializeAsPEM().pemString + "\n", relayKey: relayKey, now: now)
  }

  /// One that was kept. Throws what the TLS library says of it.
  public init(pem: String, relayKey: X25519PublicKey, now: WallTime) throws {
    self.pem = pem
    self.relayKey = relayKey
    self.now = now
    let bytes = Array(pem.utf8)
    guard let leaf = try NIOSSLCertificate.fromPEMBytes(bytes).first, let hash = Self.sha256(pem: pem) else {
      throw DERPError.badInfo
    }
    self.leaf = leaf
    key = try NIOSSLPrivateKey(bytes: bytes, format: .pem)
    sha256 = hash
  }

  /// SHA-256 of the leaf's DER. `nil` where there is no certificate.
  public static func sha256(pem: String) -> Bytes32? {
    guard let leaf = try? NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)).first, let bytes = try? leaf.toDERBytes()
    else { return nil }
    return Bytes32(SHA2.sha256(bytes))
  }

  /// For a server: TLS 1.2 or newer.
  public func serverContext() throws -> NIOSSLContext {
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: [.certificate(leaf), .certificate(try keyCertificate())], privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv12
    // A client that answers nothing any more does not hold up its end.
    configuration.shutdownTimeout = .milliseconds(500)
    return try NIOSSLContext(configuration: configuration)
  }

  /// Its name is the relay's key, and its serial number the version of the protocol.
  private func keyCertificate() throws -> NIOSSLCertificate {
    let key = Curve25519.Signing.PrivateKey()
    let name = try DistinguishedName { CommonName("derpkey" + Hex.encode(relayKey.bytes.array)) }
    let date = Date(timeIntervalSince1970: TimeInterval(now.unixSeconds))
    let certificate = try X509.Certificate(
      version: .v3, serialNumber: .init(DERPFrame.protocolVersion), publicKey: .init(key.publicKey),
      notValidBefore: date - 30 * 86400, notValidAfter: date + 30 * 86400, issuer: name, subject: name,
      signatureAlgorithm: .ed25519, extensions: .init { Critical(BasicConstraints.notCertificateAuthority) },
      issuerPrivateKey: .init(key))
    var serializer = DER.Serializer()
    try serializer.serialize(certificate)
    return try NIOSSLCertificate(bytes: serializer.serializedBytes, format: .der)
  }
}
