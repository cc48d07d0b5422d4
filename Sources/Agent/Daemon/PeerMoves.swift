import Cryptography
import Wire

/// Of which peers the log said a moment ago that they moved. One that moves on and on has a line a second; the others are for those who
/// look for a fault.
struct PeerMoves {
  private static let interval: Duration = .seconds(1)

  private var told: [X25519PublicKey: Instant] = [:]
  private var forgetsAt = Instant(nanoseconds: 0)

  mutating func isNews(_ peer: X25519PublicKey, at now: Instant) -> Bool {
    if let last = told[peer], now - last < Self.interval { return false }
    if now >= forgetsAt {
      told = told.filter { now - $0.value < Self.interval }
      forgetsAt = now + Self.interval
    }
    told[peer] = now
    return true
  }
}
