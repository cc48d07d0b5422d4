import Cryptography
import Wire

/// The sender's side of mac1, mac2 and cookies for one peer (WireGuard §5.4.4, §5.4.7).
struct CookieGenerator: Sendable {
  private let mac1Key: [UInt8]
  private let replyKey: [UInt8]
  private var cookie: (bytes: [UInt8], receivedAt: Instant)?
  private var lastMAC1: [UInt8]?

  init(_ remote: X25519PublicKey) {
    mac1Key = CookieLabels.mac1Key(for: remote)
    replyKey = CookieLabels.replyKey(of: remote)
  }

  /// The message with both authenticators; mac2 is zero without a fresh cookie.
  mutating func authenticate(_ message: [UInt8], at now: Instant) -> [UInt8] {
    let mac1 = BLAKE2s.mac(key: mac1Key, message)
    lastMAC1 = mac1
    let withMAC1 = message + mac1
    guard let cookie, now - cookie.receivedAt < ProtocolConstants.cookieLifetime else {
      return withMAC1 + [UInt8](repeating: 0, count: MessageMACs.macLength)
    }
    return withMAC1 + BLAKE2s.mac(key: cookie.bytes, withMAC1)
  }

  /// Keeps the cookie for the next message. `false` if the reply does not answer the last one, or not from that peer.
  mutating func accept(_ reply: CookieReply, at now: Instant) -> Bool {
    guard let lastMAC1,
      let bytes = XChaCha20Poly1305.open(
        reply.sealedCookie, key: replyKey, nonce: reply.nonce, additionalData: lastMAC1)
    else { return false }
    cookie = (bytes, now)
    // A second reply to the same message would be a replay.
    self.lastMAC1 = nil
    return true
  }
}
