import Wire

/// At most so many in any second, whichever second one looks at. (A token bucket that begins full lets twice its rate pass in the first.)
struct RateWindow: Sendable {
  private static let span: Duration = .seconds(1)

  let limit: Int
  /// The last ones, as many as a second may have: a ring, once it is full.
  private var times: [Instant] = []
  private var oldest = 0

  init(limit: Int) { self.limit = limit }

  /// Whether so many more fit into the second that ends now, and leave room for `reserve` others.
  func hasRoom(for count: Int = 1, leaving reserve: Int = 0, at now: Instant) -> Bool {
    // Of those that may stay beside the new ones, one more than that many must be over.
    let others = limit - reserve - count
    guard others >= 0 else { return false }
    guard times.count > others else { return true }
    let time = times[(oldest + times.count - 1 - others) % times.count]
    return now - time >= Self.span
  }

  mutating func note(at now: Instant) {
    if times.count < limit {
      times.append(now)
    } else {
      times[oldest] = now
      oldest = (oldest + 1) % limit
    }
  }

  mutating func take(leaving reserve: Int = 0, at now: Instant) -> Bool {
    guard hasRoom(leaving: reserve, at: now) else { return false }
    note(at: now)
    return true
  }
}
