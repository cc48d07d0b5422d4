import Wire

/// How often a daemon that starts looks whether it is ready and what it waits for: often while somebody waits for it, once a second where
/// that takes longer, as it does with a machine that nobody has admitted yet.
enum StartupPace {
  static let patience: Duration = .seconds(10)

  /// How long to wait before the next look, after having waited for so long.
  static func pause(after waited: Duration) -> Duration { waited < patience ? .milliseconds(25) : .seconds(1) }
}
