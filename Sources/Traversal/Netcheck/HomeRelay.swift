public import Wire

/// Which relay this machine waits at, and which one next: the fastest, but not another one for every little difference
/// (`traversal.md` 6).
public struct HomeRelay: Sendable {
  /// What may weigh in beside the measurements.
  public struct Circumstances: Sendable {
    /// When something last came from a relay.
    public var heard: [UInt16: Instant] = [:]
    /// Factors on latencies: less than one favours a relay.
    public var scores: [UInt16: Double] = [:]
    /// Relays that are not chosen anew.
    public var avoided: Set<UInt16> = []
    /// The one to choose if it works at all.
    public var forced: UInt16?

    public init() {}
  }

  /// How long a report counts.
  static let memory: Duration = .seconds(305)
  /// A relay that was heard in this time works, measured or not.
  static let recently: Duration = .seconds(8)
  /// How long the home is kept that nobody measured, as long as there is no other.
  static let patience: Duration = .seconds(120)
  /// A new home must be faster by this, and take at most two thirds of the time.
  static let leastGain: Duration = .milliseconds(10)

  public private(set) var home: UInt16?
  /// The next best.
  public private(set) var standby: UInt16?
  private(set) var reports: [NetcheckReport] = []

  public init() {}

  /// Takes a report in and chooses anew.
  public mutating func take(_ report: NetcheckReport, at now: Instant, _ circumstances: Circumstances = .init()) {
    reports.append(report)
    reports.removeAll { now - $0.startedAt > Self.memory }
    func wasHeard(_ id: UInt16, within time: Duration) -> Bool {
      guard let at = circumstances.heard[id] else { return false }
      return at >= report.startedAt || now - at <= time
    }
    let ranking = ranking(report, circumstances)
    let chosen = choice(ranking, report, circumstances) { wasHeard($0, within: $1) }
    // One that nobody measured is kept as the home is, as long as there is no other.
    let former = standby.flatMap { wasHeard($0, within: Self.recently) ? $0 : nil }
    standby = ranking.first { $0.id != chosen }?.id ?? (former == chosen ? nil : former)
    home = chosen
  }

  /// Relays of the current report by their best time in all, the fastest first.
  private func ranking(
    _ report: NetcheckReport, _ circumstances: Circumstances
  ) -> [(id: UInt16, latency: Duration)] {
    var best: [UInt16: Duration] = [:]
    for (id, latency) in reports.lazy.flatMap(\.latencies) {
      if let value = latency.best { best[id] = min(best[id] ?? value, value) }
    }
    return report.latencies.keys.compactMap { id -> (UInt16, Duration)? in
      guard let latency = best[id], id == home || !circumstances.avoided.contains(id) else { return nil }
      let score = circumstances.scores[id] ?? 1
      return (id, score > 0 ? latency * score : latency)
    }
    .sorted { ($0.1, $0.0) < ($1.1, $1.0) }
  }

  private func choice(
    _ ranking: [(id: UInt16, latency: Duration)], _ report: NetcheckReport, _ circumstances: Circumstances,
    wasHeard: (UInt16, Duration) -> Bool
  ) -> UInt16? {
    if let forced = circumstances.forced, report.latencies[forced] != nil || wasHeard(forced, Self.recently) {
      return forced
    }
    guard let candidate = ranking.first else { return home.flatMap { wasHeard($0, Self.patience) ? $0 : nil } }
    guard let home, candidate.id != home else { return candidate.id }
    guard let current = report.latencies[home]?.best else {
      return wasHeard(home, Self.recently) ? home : candidate.id
    }
    let isLittle = current - candidate.latency < Self.leastGain || candidate.latency > current * 2 / 3
    return isLittle ? home : candidate.id
  }
}
