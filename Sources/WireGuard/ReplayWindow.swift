/// Which counters of a session have been seen: the ring of RFC 6479, 128 words of 64 bits.
///
/// A plain value of 1032 bytes without references. It accepts every counter once that is less than 8128 + 1 behind the
/// greatest accepted one. Feed it only counters of packets that authenticated.
public struct ReplayWindow: Sendable {
  /// How far behind the greatest counter one may be. One word of the ring is always being refilled.
  public static let size: UInt64 = 127 * 64

  private var ring = InlineArray<128, UInt64>(repeating: 0)
  /// The greatest counter accepted.
  public private(set) var greatest: UInt64 = 0

  public init() {}

  /// Marks the counter as seen. `false` if it was before, is too old, or is at or above the session's limit.
  public mutating func accept(
    _ counter: UInt64, limit: UInt64 = ProtocolConstants.rejectAfterMessages
  ) -> Bool {
    guard counter < limit else { return false }
    let word = counter >> 6
    if counter > greatest {
      let current = greatest >> 6
      let cleared = min(word &- current, 128)
      var step: UInt64 = 1
      while step <= cleared {
        ring[Int(truncatingIfNeeded: (current &+ step) & 127)] = 0
        step &+= 1
      }
      greatest = counter
    } else if greatest &- counter > ReplayWindow.size {
      return false
    }
    let position = Int(truncatingIfNeeded: word & 127)
    let bit: UInt64 = 1 &<< (counter & 63)
    guard ring[position] & bit == 0 else { return false }
    ring[position] |= bit
    return true
  }
}
