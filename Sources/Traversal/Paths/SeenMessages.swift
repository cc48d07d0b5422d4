import Wire

/// Which pings or calls of a peer have come, so that none counts twice: whoever carried one can send it again from wherever they like, and
/// cannot make another one of it. Known by the random nonces under which they are sealed, for a while and up to a number.
struct SeenMessages: Sendable {
  private struct Nonce: Hashable {
    let high: UInt64
    let low: UInt64
  }

  /// So many are remembered at least, twice as many at most.
  private let count: Int
  /// As the number, of time.
  private let lifetime: Duration
  private var recent: Set<Nonce> = []
  private var former: Set<Nonce> = []
  private var begunAt: Instant?

  init(count: Int, lifetime: Duration) {
    self.count = count
    self.lifetime = lifetime
  }

  /// Remembers the message. `false`: it has come before.
  mutating func insert(_ message: [UInt8], at now: Instant) -> Bool {
    let bytes = message[DiscoEnvelope.nonceRange]
    let nonce = Nonce(
      high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
      low: bytes.dropFirst(8).prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    guard !recent.contains(nonce), !former.contains(nonce) else { return false }
    if recent.count >= count || begunAt.map({ now - $0 >= lifetime }) ?? true {
      former = recent
      recent = []
      begunAt = now
    }
    recent.insert(nonce)
    return true
  }
}
