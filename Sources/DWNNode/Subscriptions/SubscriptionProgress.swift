/// How far one subscription has come, as a value: what was looked at for it, what is still to be looked at, and what it was given
/// that nobody has acknowledged. Positions are those of one feed.
///
/// The feed itself is the queue. While a subscriber keeps up, it is handed what was stored as that happens. One that does not is
/// behind: it costs the positions that it missed, and takes what is there when it has acknowledged what it got. Where it missed too
/// many, or nobody knows which, it looks at the feed itself.
struct SubscriptionProgress: Sendable {
  /// Frames that may be unacknowledged (dwn-server 12.3).
  static let window = 32
  /// Positions that one look at the feed goes over.
  static let stride: Int64 = 4096
  /// Matches that it missed of which each is kept in mind.
  static let mostMissed = 256

  /// What to do next.
  enum Step: Hashable, Sendable {
    /// Look at the feed after one position up to another one, for so many matches at most.
    case look(after: Int64, through: Int64, limit: Int)
    /// Take what is at these positions of the feed: the next matches, as far as they are still there.
    case take([Int64])
    /// Say that everything up to here has been told.
    case endOfStored(Int64)
    /// There is more, and nothing may be sent before an acknowledgement comes.
    case waitForAcknowledgement
    case waitForEvent
  }

  /// Everything up to here was looked at; `nil` as long as the subscription is being opened.
  private(set) var position: Int64?
  /// The head at which a resumed subscription has caught up; `nil` for one that began live, and afterwards.
  private var catchingUpTo: Int64?
  /// There may be matches up to here that nobody has looked at.
  private var behindUpTo: Int64?
  /// The next matches after `position`, up to the last of these, that it had no room for.
  private var missed: [Int64] = []
  /// Given and not acknowledged, in order.
  private var underWay: [Int64] = []

  /// Begins after a position. Of a resumed one, `head` is where the feed ended when it began.
  mutating func begin(after position: Int64, catchingUpTo head: Int64? = nil) {
    self.position = position
    catchingUpTo = head
    leaveBehind(position)
  }

  /// Whether it is handed what is stored, as that happens.
  var isLive: Bool { position != nil && catchingUpTo == nil && behindUpTo == nil }

  var next: Step {
    guard let position, let end = catchingUpTo ?? behindUpTo else { return .waitForEvent }
    let room = Self.window - underWay.count
    guard room > 0 else { return .waitForAcknowledgement }
    if position >= end { return .endOfStored(position) }
    if !missed.isEmpty { return .take(Array(missed.prefix(room))) }
    return .look(after: position, through: min(end, position + Self.stride), limit: room)
  }

  /// Offers the next matches of a feed, in order. Returns those that it takes; what it has no room for it will take itself.
  mutating func offer(_ matches: [Int64]) -> Range<Int> {
    guard let last = matches.last else { return 0..<0 }
    guard isLive, let position else {
      miss(matches)
      return 0..<0
    }
    let first = matches.firstIndex { $0 > position } ?? matches.endIndex
    let end = min(matches.endIndex, first + Self.window - underWay.count)
    underWay += matches[first..<end]
    if end < matches.endIndex {
      // Nothing lies between the matches.
      self.position = matches[end] - 1
      miss(Array(matches[end...]))
    } else {
      self.position = max(position, last)
    }
    return first..<end
  }

  /// The next matches of a feed, in order, cannot be offered.
  mutating func miss(_ matches: [Int64]) {
    guard let last = matches.last else { return }
    if let position, catchingUpTo == nil, behindUpTo == missed.last {
      let seen = missed.last ?? position
      missed += matches.filter { $0 > seen }.prefix(Self.mostMissed - missed.count)
    }
    missed(upTo: last)
  }

  /// There may be matches up to a position that nobody told of.
  mutating func missed(upTo last: Int64) {
    guard last > position ?? 0 else { return }
    behindUpTo = max(behindUpTo ?? 0, last)
  }

  /// The feed was looked at up to a position, and these matches were taken.
  mutating func looked(upTo end: Int64, taken matches: [Int64]) {
    underWay += matches
    position = max(position ?? 0, end)
    missed = Array(missed.drop { $0 <= end })
    if catchingUpTo == nil { leaveBehind(end) }
  }

  mutating func saidEndOfStored(_ end: Int64) {
    catchingUpTo = nil
    underWay.append(end)
    leaveBehind(end)
  }

  /// Releases what is under way up to a position. One that was never given says nothing; returns whether it said something.
  @discardableResult
  mutating func acknowledge(_ position: Int64) -> Bool {
    guard let index = underWay.lastIndex(of: position) else { return false }
    underWay.removeFirst(index + 1)
    return true
  }

  /// Releases one that is under way, and none that came before it.
  mutating func passOver(_ position: Int64) { underWay.removeAll { $0 == position } }

  private mutating func leaveBehind(_ position: Int64) {
    if let last = behindUpTo, position >= last { behindUpTo = nil }
  }
}
