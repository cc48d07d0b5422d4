import Foundation

/// How long the tests that could go on for ever go on. `make soak T=600` runs every suite whose name contains *Soak* for so many
/// seconds; `make test` runs each as briefly as it still says something.
public enum Soak {
  /// `nil` outside of a soak.
  public static let duration: Duration? = ProcessInfo.processInfo.environment["MESHD_SOAK_SECONDS"]
    .flatMap { Int64($0) }.map { .seconds($0) }

  /// For a suite's time limit: the minutes of a soak with room for its end, or those that the short run may take.
  public static func minutes(short: Int) -> Int {
    guard let duration else { return short }
    return Int(duration.components.seconds / 60) + short + 5
  }

  /// Rounds of a test: `short` of them, or in a soak as many as there is time for.
  public static func rounds(short: Int) -> Rounds { Rounds(short: short) }

  public struct Rounds: Sequence, IteratorProtocol {
    private let short: Int
    private let start = ContinuousClock.now
    private var round = 0

    init(short: Int) { self.short = short }

    public mutating func next() -> Int? {
      if let duration = Soak.duration {
        guard ContinuousClock.now - start < duration else { return nil }
      } else if round == short {
        return nil
      }
      defer { round += 1 }
      return round
    }
  }
}
