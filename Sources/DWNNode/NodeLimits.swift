/// What one node takes in. Everything is in bytes.
public struct NodeLimits: Hashable, Sendable {
  /// Data of this size or less stands in the replies to queries.
  public static let inlineData = 30_000

  /// Largest data of one record, whatever its protocol allows.
  public var largestData: Int
  /// A reply to a query ends, with a cursor, before the entry that would make it larger than this.
  public var largestReply: Int

  public init(largestData: Int = 10 << 20, largestReply: Int = 16 << 20) {
    self.largestData = largestData
    self.largestReply = largestReply
  }
}
