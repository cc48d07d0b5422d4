import Wire
import WireGuard

/// Initiations to peers to whom no way is known yet: the newest of each, for a short time. What is older would be answered under a
/// key that nobody waits for any more.
struct HeldHandshakes {
  static let patience: Duration = .seconds(5)

  private var messages: [PeerID: (bytes: [UInt8], until: Instant)] = [:]

  mutating func hold(_ message: [UInt8], for peer: PeerID, at now: Instant) {
    messages[peer] = (message, now + Self.patience)
  }

  /// What is held for the peer, which is not held any more.
  mutating func take(_ peer: PeerID, at now: Instant) -> [UInt8]? {
    guard let held = messages.removeValue(forKey: peer), now < held.until else { return nil }
    return held.bytes
  }

  mutating func forget(_ peer: PeerID) { messages[peer] = nil }
}
