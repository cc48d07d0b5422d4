import Wire

/// Notices that a process has come to rest, by the one sign that nothing of it escapes, be it packets, records or relaying: the
/// processor time that it uses.
struct RestWatch {
  /// Up to this part of a core is rest: thirty times what the timers of an anchor with a hundred members take.
  static let share = 0.005

  private var time: Instant
  private var processorTime: Duration
  private(set) var isResting = false

  init(now: Instant, processorTime: Duration) {
    time = now
    self.processorTime = processorTime
  }

  /// After how long to look again.
  var pause: Duration { isResting ? .seconds(120) : .seconds(30) }

  /// Whether it has come to rest since it was last looked at: true once, until it has been busy again.
  mutating func hasComeToRest(now: Instant, processorTime: Duration) -> Bool {
    let wasResting = isResting
    isResting = (processorTime - self.processorTime).seconds <= (now - time).seconds * Self.share
    time = now
    self.processorTime = processorTime
    return isResting && !wasResting
  }
}
