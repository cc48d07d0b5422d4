import Wire

/// The latest time that this machine's clock has shown to a daemon.
///
/// Peers refuse an initiation with an earlier time stamp than one before (WireGuard, section 5.1). If the clock was ahead and was put
/// right, a daemon that starts after that would find no tunnel until the former time comes again; so it goes on from there.
struct ClockMark {
  static let file = "clock"
  /// How often the time is noted while the daemon runs.
  static let interval: Duration = .seconds(600)

  /// What the time stamps of initiations must not be before.
  private(set) var latest: WallTime

  /// - Parameter noted: what the file says; `nil` without one.
  init(noted: WallTime?, now: WallTime) {
    latest = noted.map { $0 > now ? $0 + Self.interval + .seconds(1) : now } ?? now
  }

  /// `true` if there is something new to note.
  mutating func note(_ now: WallTime) -> Bool {
    guard now > latest else { return false }
    latest = now
    return true
  }
}

extension ClockMark {
  /// A mark that cannot be read is none.
  init(in directory: StateDirectory, now: WallTime) {
    let text = (try? directory.read(Self.file)).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) }
    self.init(noted: text.flatMap { Int64($0) }.map { WallTime(microseconds: $0) }, now: now)
  }

  func write(to directory: StateDirectory) throws(AgentError) {
    try directory.write(Self.file, Array(String(latest.microseconds).utf8))
  }
}
