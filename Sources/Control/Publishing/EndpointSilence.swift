import Wire

/// How long an endpoint has answered nothing, whatever it was asked. It does no I/O.
///
/// Only time in which it was asked counts: a machine that slept for a night does not take its endpoints for dead when it wakes.
struct EndpointSilence: Hashable, Sendable {
  /// Who is silent for so long has no say any more in what is refused everywhere (docs/decisions/silent-endpoints.md).
  static let limit: Duration = .seconds(3600)
  /// What counts of the time between two questions at most.
  static let longestPause: Duration = .seconds(600)

  /// Whether the last question was answered; `false` also before the first was.
  private(set) var answers = false
  private(set) var duration: Duration = .zero
  private var lastQuestion: Instant?

  var isLong: Bool { duration >= Self.limit }

  mutating func answered() {
    self = EndpointSilence()
    answers = true
  }

  mutating func unanswered(at now: Instant) {
    if let lastQuestion { duration += min(max(.zero, now - lastQuestion), Self.longestPause) }
    lastQuestion = now
    answers = false
  }
}
