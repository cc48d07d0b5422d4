import Wire

/// With which relays a connection stands, what is wrong with the others, and which were tried in vain for so long that they are no
/// place to wait at, however fast they answer otherwise.
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
    /// It answered the last time that somebody asked whether it is there at all.
    var answers = false

    var isLong: Bool { failedAt.map { $0 - since >= RelayStanding.patience } ?? false }
  }

  private(set) var connected: Set<UInt16> = []
  private var absent: [UInt16: Absence] = [:]
  /// Why a relay that is wanted is not connected, and what one that is says is wrong with it: in words for people.
  private(set) var troubles: [UInt16: String] = [:]

  mutating func connected(_ id: UInt16) {
    connected.insert(id)
    absent[id] = nil
    troubles[id] = nil
  }

  /// What a relay says of itself; `nil`: nothing is wrong.
  mutating func says(_ trouble: String?, _ id: UInt16) { troubles[id] = trouble }

  /// - Parameter reason: `nil`: this side left it.
  mutating func lost(_ id: UInt16, _ reason: String?, at now: Instant) {
    troubles[id] = reason
    guard connected.remove(id) != nil else { return }
    absent[id] = Absence(since: now, isRecent: true)
  }

  mutating func failed(_ id: UInt16, _ reason: String, at now: Instant) {
    troubles[id] = reason
    guard !connected.contains(id) else { return }
    var absence = absent[id] ?? Absence(since: now, isRecent: false)
    // What was long ago has nothing to do with it.
    let isOld = absence.failedAt.map { now - $0 >= absence.pause } ?? (now - absence.since >= Self.patience)
    if isOld {
      let pause = absence.isLong ? min(absence.pause * 2, Self.longestPause) : Self.firstPause
      absence = Absence(since: now, isRecent: false, pause: pause, answers: absence.answers)
    }
    absence.failedAt = now
    absent[id] = absence
  }

  /// Something failed between this machine and the relay, and it is worth asking whether that is still so.
  func isDoubted(_ id: UInt16) -> Bool { absent[id].map { $0.failedAt != nil || troubles[id] != nil } ?? false }

  /// The relay was asked, in the way of its connections, whether it is there. One that was away and answers is tried again, once: if it
  /// answers and lets nobody in, that is no reason.
  ///
  /// - Parameter trouble: why it does not answer, in words for people.
  /// - Returns: whether it is there again.
  mutating func asked(_ id: UInt16, answers: Bool, _ trouble: String? = nil, at now: Instant) -> Bool {
    if !connected.contains(id), trouble != nil || absent[id] == nil { troubles[id] = trouble }
    guard var absence = absent[id], absence.answers != answers else { return false }
    absence.answers = answers
    if answers {
      troubles[id] = nil
      if absence.isLong { (absence.since, absence.failedAt) = (now, nil) }
    }
    absent[id] = absence
    return answers
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
    troubles = troubles.filter { ids.contains($0.key) }
  }

  /// In another network everything may work.
  mutating func forgetFailures() {
    for id in absent.keys {
      absent[id]?.failedAt = nil
      absent[id]?.answers = false
    }
    troubles = troubles.filter { connected.contains($0.key) }
  }
}
