import Wire

/// Decides when we are under load: so many handshake messages within a second, or so many waiting. It lasts a second longer
/// than its cause. Only messages with a good mac1 count, so a flood by somebody who does not know our key changes nothing.
struct LoadMeter: Sendable {
  private let messagesPerSecond: Int
  private let backlogLimit: Int
  private var windowStart = Instant(nanoseconds: 0)
  private var count = 0
  private var loadedUntil: Instant?

  init(messagesPerSecond: Int, backlogLimit: Int) {
    self.messagesPerSecond = messagesPerSecond
    self.backlogLimit = backlogLimit
  }

  /// Counts one message. `true` if we are under load.
  mutating func isUnderLoad(backlog: Int, at now: Instant) -> Bool {
    if now - windowStart >= .seconds(1) {
      windowStart = now
      count = 0
    }
    count += 1
    if count > messagesPerSecond || backlog >= backlogLimit {
      loadedUntil = now + ProtocolConstants.underLoadMemory
    }
    return loadedUntil.map { now < $0 } ?? false
  }
}
