public import Wire

/// What is known of one way to a peer, as far as ways are compared by it (`traversal.md`, 7.4).
public struct PathQuality: Hashable, Sendable {
  public var address: SocketAddress
  /// From a ping to its pong.
  public var latency: Duration
  /// The longest IP packet that is known to arrive; 0: not known.
  public var wireMTU: Int

  public init(address: SocketAddress, latency: Duration, wireMTU: Int = 0) {
    self.address = address
    self.latency = latency
    self.wireMTU = wireMTU
  }

  /// Whether to leave `other` for this one. Of two that hardly differ neither is better, so that nothing flaps.
  public func isBetter(than other: PathQuality?) -> Bool {
    guard let other else { return true }
    if address == other.address { return wireMTU > other.wireMTU }
    var points = PathQuality.bonus(address.ip)
    var otherPoints = PathQuality.bonus(other.address.ip)
    let mine = latency.nanoseconds
    let theirs = other.latency.nanoseconds
    if mine > theirs {
      otherPoints += PathQuality.points(faster: theirs, slower: mine)
    } else {
      points += PathQuality.points(faster: mine, slower: theirs)
    }
    if points <= 1, otherPoints == 0 { return false }
    return points > otherPoints
  }

  /// The percentage by which one is faster.
  private static func points(faster: Int64, slower: Int64) -> Int64 {
    guard slower > 0 else { return 0 }
    // Nothing that waits so long for an answer is compared, and the product has room.
    let longest = Int64(3600e9)
    return 100 - min(faster, longest) * 100 / min(slower, longest)
  }

  private static func bonus(_ ip: IPAddress) -> Int64 {
    let near: Int64 = ip.isLoopback ? 50 : ip.isLinkLocal ? 30 : ip.isPrivate ? 20 : 0
    return near + (ip.family == .v6 ? 10 : 0)
  }
}
