import Wire

/// What the names of servers stand for, as the DNS said last. Asking takes time and is others' business: this says what to ask for
/// and is told what came.
///
/// A name that somebody moves (dynamic DNS) is asked for with every full check of the network. What was answered counts until
/// something else is, and so does that nothing was: nobody is asked twice within a minute, unless the network is another.
struct ServerNames {
  static let pause: Duration = .seconds(60)
  static let maximum = 64
  static let maximumAtOnce = 8

  private struct Entry {
    var addresses: [IPAddress] = []
    /// When it was last asked for; `nil`: not in this network.
    var askedAt: Instant?
    var isBeingAsked = false
    var isWaiting = false
  }

  private var entries: [String: Entry] = [:]

  /// Some name of those in use stands for nothing that is known.
  var areUnknown: Bool { entries.values.contains { $0.addresses.isEmpty } }

  func addresses(of name: String) -> [IPAddress] { entries[name]?.addresses ?? [] }

  /// These are the names in use. Returns those to ask for now: with a full check all of them, else those that are not known.
  mutating func use(_ names: [String], isFull: Bool, at now: Instant) -> [String] {
    let names = Set(names.prefix(Self.maximum))
    entries = entries.filter { names.contains($0.key) }
    for name in names {
      var entry = entries[name] ?? Entry()
      let isRested = entry.askedAt.map { now - $0 >= Self.pause } ?? true
      if isRested, isFull || entry.addresses.isEmpty { entry.isWaiting = true }
      entries[name] = entry
    }
    return next(at: now)
  }

  /// Of those that wait the ones whose turn it is.
  mutating func next(at now: Instant) -> [String] {
    let free = Self.maximumAtOnce - entries.values.count(where: \.isBeingAsked)
    let due = entries.filter { $0.value.isWaiting && !$0.value.isBeingAsked }.keys.sorted().prefix(max(0, free))
    for name in due {
      entries[name]?.isWaiting = false
      entries[name]?.isBeingAsked = true
      entries[name]?.askedAt = now
    }
    return Array(due)
  }

  /// What was answered, or nothing. `true` if it is news.
  mutating func take(_ addresses: [IPAddress], for name: String, at now: Instant) -> Bool {
    guard var entry = entries[name] else { return false }
    entry.isBeingAsked = false
    // Asked in a network that is no more.
    if entry.askedAt == nil { entry.isWaiting = true }
    let isNews = !addresses.isEmpty && Set(addresses) != Set(entry.addresses)
    if isNews { entry.addresses = addresses }
    entries[name] = entry
    return isNews
  }

  /// The network is another, and its DNS may say something else. Until it does, the former answers are better than none.
  mutating func forget() {
    for name in entries.keys { entries[name]?.askedAt = nil }
  }
}
