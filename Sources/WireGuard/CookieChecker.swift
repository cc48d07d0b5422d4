import Cryptography
import Wire

/// The receiver's side of mac1, mac2 and cookies (WireGuard §5.3, §5.4.4, §5.4.7): what keeps strangers from making us compute.
struct CookieChecker: Sendable {
  private let mac1Key: [UInt8]
  private let replyKey: [UInt8]
  private var secret: SecretBytes?
  private var secretMadeAt = Instant(nanoseconds: 0)

  init(_ local: X25519PublicKey) {
    mac1Key = CookieLabels.mac1Key(for: local)
    replyKey = CookieLabels.replyKey(of: local)
  }

  /// Whether the sender knows our public key. The first check of every initiation and response.
  func hasValidMAC1(_ message: [UInt8]) -> Bool {
    let range = MessageMACs.mac1Range(message)
    return ConstantTime.equal(BLAKE2s.mac(key: mac1Key, message[..<range.lowerBound]), Array(message[range]))
  }

  /// Whether the sender received a cookie at this address that is still good.
  func hasValidMAC2(_ message: [UInt8], from source: SocketAddress, at now: Instant) -> Bool {
    guard let secret, now - secretMadeAt < ProtocolConstants.cookieLifetime else { return false }
    let range = MessageMACs.mac2Range(message)
    let cookie = CookieChecker.cookie(secret, source)
    return ConstantTime.equal(BLAKE2s.mac(key: cookie, message[..<range.lowerBound]), Array(message[range]))
  }

  /// The answer to a message without a good mac2. Makes a new secret when the old one is 120 s old.
  mutating func reply(
    to message: [UInt8], sender: UInt32, from source: SocketAddress, at now: Instant, _ random: any RandomSource
  ) -> CookieReply {
    let current: SecretBytes
    if let secret, now - secretMadeAt < ProtocolConstants.cookieLifetime {
      current = secret
    } else {
      current = SecretBytes(count: 32) { random.fill($0) }
      secret = current
      secretMadeAt = now
    }
    let nonce = random.bytes(24)
    let sealed = XChaCha20Poly1305.seal(
      CookieChecker.cookie(current, source), key: replyKey, nonce: nonce,
      additionalData: Array(message[MessageMACs.mac1Range(message)]))
    return CookieReply(receiver: sender, nonce: nonce, sealedCookie: sealed)
  }

  /// Proves the address and the port: a cookie without the port would do for everybody behind one NAT.
  private static func cookie(_ secret: SecretBytes, _ source: SocketAddress) -> [UInt8] {
    var key = secret.copy()
    defer { wipe(&key) }
    return BLAKE2s.mac(key: key, source.ip.bytes + withUnsafeBytes(of: source.port.littleEndian) { Array($0) })
  }
}

/// The keys that both sides derive from the receiver's public key.
enum CookieLabels {
  static func mac1Key(for receiver: X25519PublicKey) -> [UInt8] {
    BLAKE2s.hash(Array("mac1----".utf8), receiver.bytes.array)
  }

  static func replyKey(of replier: X25519PublicKey) -> [UInt8] {
    BLAKE2s.hash(Array("cookie--".utf8), replier.bytes.array)
  }
}
