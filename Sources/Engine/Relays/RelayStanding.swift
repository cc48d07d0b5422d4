import Wire

/// With which relays a connection stands, and which were tried in vain for so long that they are no place to wait at, however fast
/// they answer otherwise.
struct RelayStanding {
  /// A relay that was lost is still one to be found at for so long: most are back by then. One that is tried in vain for so long is
  /// passed over.
  static let patience: Duration = .seconds(10)
  /// How long, at first; it doubles when the next ten seconds are in vain as well.
  static let firstPause: Duration = .seconds(300)
  static let longestPause: Duration = .seconds(3600)

  private struct Absence {
    var since: Instant
    /// It was lost a moment ago.
    var isRecent: Bool
    /// When it was last tried in vain.
    var failedAt: Instant?
    var pause = RelayStanding.firstPause

    var isLong: Bool { failedAt.map { $0 - since >= RelayStanding.patience } ?? false }
  }

  private(set) var connected: Set<UInt16> = []
  private var absent: [UInt16: Absence] = [:]

  mutating func connected(_ id: UInt16) {
    connected.insert(id)
    absent[id] = nil
  }

  mutating func lost(_ id: UInt16, at now: Instant) {
    guard connected.remove(id) != nil else { return }
    absent[id] = Absence(since: now, isRecent: true)
  }

  mutating func failed(_ id: UInt16, at now: Instant) {
    guard !connected.contains(id) else { return }
    var absence = absent[id] ?? Absence(since: now, isRecent: false)
    // What was long ago has nothing to do with it.
    let isOld = absence.failedAt.map { now - $0 >= absence.pause } ?? (now - absence.since >= Self.patience)
    if isOld {
      let pause = absence.isLong ? min(absence.pause * 2, Self.longestPause) : Self.firstPause
      absence = Absence(since: now, isRecent: false, pause: pause)
    }
    absence.failedAt = now
    absent[id] = absence
  }

  /// Whether others find this machine there.
  func holds(_ id: UInt16) -> Bool { connected.contains(id) || absent[id]?.isRecent == true }

  func isPassedOver(_ id: UInt16, at now: Instant) -> Bool {
    guard let absence = absent[id], absence.isLong, let failedAt = absence.failedAt else { return false }
    return now - failedAt < absence.pause
  }

  /// When the next of those that were lost stops being one to be found at.
  var nextDeadline: Instant? { absent.values.lazy.filter(\.isRecent).map { $0.since + Self.patience }.min() }

  mutating func advance(at now: Instant) {
    for (id, absence) in absent where absence.isRecent && now - absence.since >= Self.patience {
      absent[id]?.isRecent = false
    }
  }

  /// Only these exist.
  mutating func keep(_ ids: Set<UInt16>) {
    connected.formIntersection(ids)
    absent = absent.filter { ids.contains($0.key) }
  }

  /// In another network everything may work.
  mutating func forgetFailures() {
    for id in absent.keys { absent[id]?.failedAt = nil }
  }
}
