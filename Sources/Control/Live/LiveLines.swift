import DWN
import DWNClient
import Wire

/// The subscriptions at one endpoint, together: which of them is to be opened when, and whether nothing that changes is missed. A
/// value without I/O.
struct LiveLines: Sendable {
  /// What may be handled in a row, and how fast after that: an endpoint that tells without end is read no faster.
  static let burst = 1_000
  static let rate: Duration = .milliseconds(5)

  let first: LiveTopic
  private(set) var lines: [LiveTopic: SubscriptionLine]
  /// Whether this endpoint is to be followed.
  private(set) var isWanted: Bool
  /// Something may have been missed: when all is live, everything has to be asked for.
  private(set) var hasGap = false
  var bucket: TokenBucket

  init(_ topics: [LiveTopic], first: LiveTopic, remembered: [LiveTopic: ProgressToken], isWanted: Bool, at now: Instant)
  {
    self.first = first
    self.isWanted = isWanted
    bucket = TokenBucket(capacity: Self.burst, interval: Self.rate, now: now)
    lines = [:]
    for topic in topics { lines[topic] = SubscriptionLine(remembered: remembered[topic], at: now) }
  }

  /// Whether every change is told.
  var isLive: Bool { !lines.isEmpty && lines.values.allSatisfy(\.isLive) }

  /// When a subscription is to be opened; `nil`: not now. The first one shows whether the others are worth asking for.
  func deadline(of topic: LiveTopic) -> Instant? {
    guard isWanted, topic == first || lines[first]?.isLive == true else { return nil }
    return lines[topic]?.deadline
  }

  /// From now on the endpoint is followed, or not any more; then the caller closes what is open.
  mutating func want(_ isWanted: Bool) {
    self.isWanted = isWanted
  }

  mutating func open(_ topic: LiveTopic) -> ProgressToken? { lines[topic]?.open() }

  mutating func opened(
    _ topic: LiveTopic, _ reply: Reply, at now: Instant, jitter: Double
  ) -> SubscriptionLine.Opening {
    let opening = lines[topic]?.opened(reply, at: now, jitter: jitter) ?? .later
    if opening == .begun { hasGap = true }
    return opening
  }

  mutating func received(
    _ frame: SubscriptionFrame, of topic: LiveTopic, at now: Instant, jitter: Double
  ) -> SubscriptionLine.Receipt {
    lines[topic]?.received(frame, at: now, jitter: jitter) ?? .nonsense
  }

  mutating func remember(_ cursor: ProgressToken, of topic: LiveTopic) { lines[topic]?.remember(cursor) }

  mutating func broke(_ topic: LiveTopic, _ error: EndpointError?, at now: Instant, jitter: Double) {
    guard lines[topic]?.isEnded == false else { return }
    lines[topic]?.broke(error, at: now, jitter: jitter)
  }

  /// Whether everything has to be asked for now; it is asked for once.
  mutating func takeGap() -> Bool {
    guard isLive, hasGap else { return false }
    hasGap = false
    return true
  }

  /// What was refused is tried again: this machine's rights may be others now.
  mutating func restart(at now: Instant) {
    for topic in lines.keys { lines[topic]?.restart(at: now) }
  }
}

extension SubscriptionLine {
  /// Whether it is known not to be open.
  fileprivate var isEnded: Bool {
    switch state {
    case .due, .refused: true
    case .opening, .live: false
    }
  }
}
