import Wire

/// What a relay says is wrong, as often as somebody has to hear of it: each text once, and one in a second at most, however fast the
/// relay speaks. Of those that come faster the last is told.
struct HealthNews {
  enum Step: Hashable {
    case nothing
    case tell(String?)
    /// Call `rested` after that.
    case rest(Duration)
  }

  static let interval: Duration = .seconds(1)

  /// The last; `nil`: nothing is wrong.
  private(set) var text: String?
  private var told: String?
  private var toldAt: Instant?
  private var isResting = false

  mutating func heard(_ text: String?, at now: Instant) -> Step {
    self.text = text
    return isResting ? .nothing : next(at: now)
  }

  mutating func rested(at now: Instant) -> Step {
    isResting = false
    return next(at: now)
  }

  private mutating func next(at now: Instant) -> Step {
    guard text != told else { return .nothing }
    if let toldAt, now - toldAt < Self.interval {
      isResting = true
      return .rest(toldAt + Self.interval - now)
    }
    told = text
    toldAt = now
    return .tell(text)
  }
}
