/// What one node takes in. Sizes are in bytes.
public struct NodeLimits: Hashable, Sendable {
  /// Data of this size or less stands in the replies to queries.
  public static let inlineData = 30_000

  /// Largest data of one record, whatever its protocol allows.
  public var largestData: Int
  /// A reply to a query ends, with a cursor, before the entry that would make it larger than this.
  public var largestReply: Int
  /// Records that others than the tenant may have at one path below one parent when the protocol lets anyone create them there.
  /// Those that the tenant deleted no longer count.
  public var recordsByAnyone: Int

  public init(largestData: Int = 10 << 20, largestReply: Int = 16 << 20, recordsByAnyone: Int = 500) {
    self.largestData = largestData
    self.largestReply = largestReply
    self.recordsByAnyone = recordsByAnyone
  }
}
