/// What a node goes on without, once whoever runs it has said so.
public struct AcceptedLosses: OptionSet, Sendable {
  public let rawValue: Int

  public init(rawValue: Int) { self.rawValue = rawValue }

  /// Large data, though all of it is gone.
  public static let data = AcceptedLosses(rawValue: 1)
  /// What was committed behind a damaged place of the log.
  public static let log = AcceptedLosses(rawValue: 2)
}
