/// What one node takes in. Sizes are in bytes.
public struct NodeLimits: Hashable, Sendable {
  /// Data of this size or less stands in the replies to queries.
  public static let inlineData = 30_000
  /// Data of this size or less is kept in the database, larger data in a file of its own.
  public static let dataInDatabase = 256 << 10

  /// Largest data of one record, whatever its protocol allows.
  public var largestData: Int
  /// Bytes of large data that wait for their messages at a time.
  public var largestStaging: Int
  /// The records that a subscription begins with end, with a cursor, before the entry that would make the reply larger than this.
  public var largestSnapshot = 256 << 10
  /// Messages of a tenant that wait to be looked up for its subscribers, and matches that wait to be told. What is beyond them is read
  /// again when its turn comes.
  var eventsWaiting = 1024
  /// Subscriptions that others than the tenant may have to its feed at a time.
  public var subscriptionsByOthers = 65_536
  /// Those of them that claim neither a role nor a grant, so that who has a right finds room.
  /// One network has a 32nd of them at most, and one site an eighth.
  public var subscriptionsWithoutRight = 8192
  /// Those of one author, and those that nobody signed.
  public var subscriptionsByAuthor = 256
  public var subscriptionsUnsigned = 1024
  /// A request of others to follow a feed, in bytes: it is kept for as long as they follow.
  public var largestSubscription = 16 << 10
  /// How long a subscriber may leave a full window of events unacknowledged while more of them wait.
  public var acknowledgementPatience: Duration = .seconds(300)
  /// How long an answer may be looked for, waiting included; then it is 503.
  public var longestQuestion: Duration = .seconds(10)
  /// A reply to a query ends, with a cursor, before the entry that would make it larger than this.
  public var largestReply: Int
  /// A query over filters is told the fingerprint of what matches at a tenant with so many messages at most: all of them have to be
  /// looked at for it.
  public var mostFingerprinted = 100_000
  /// Records that others than the tenant may have at one path below one parent when the protocol lets anyone create them there.
  /// Those that the tenant deleted no longer count.
  public var recordsByAnyone: Int
  /// How many of these one author may have there, so that nobody takes the room of all others.
  public var recordsByStranger: Int
  /// When there is no room for a stranger's record, those that came longer ago than this make some.
  public var strangersStay = Duration.seconds(30 * 86_400)
  /// How much one author may write to one tenant, other than the author's own: none of those who may write there slows the others
  /// down. `nil` is no limit.
  public var writesOfOthers: RateLimit? = RateLimit(perSecond: 10, burst: 300)
  /// What others may have stored at a tenant who is named; what the tenant itself may have is not bounded.
  public var guestsOfNamed: TenantQuota? = TenantQuota(messages: 200_000, bytes: 2 << 30)
  /// For all tenants together.
  public var bounds = NodeBounds()
  /// A message without its data that others than the tenant send, in bytes: so that it fits in a frame to a subscriber
  /// (dwn-server 12.4), with what stands around it.
  public var largestOfOthers = 28 << 10
  /// For tenants that are not named one by one.
  public var quota: TenantQuota?

  /// Whether the node is as narrow as the newest upstream where it is wider by default (dwn-server 15): it refuses encryption of
  /// types that do not require it, roles that anyone creates, and the JWE envelope with its directive, and leaves `encodedData` out
  /// of what a RecordsRead gives.
  public var isStrict: Bool

  public init(
    largestData: Int = 10 << 20, largestStaging: Int = 1 << 30, largestReply: Int = 16 << 20,
    recordsByAnyone: Int = 500, recordsByStranger: Int = 50, isStrict: Bool = false
  ) {
    self.isStrict = isStrict
    self.largestData = largestData
    self.largestStaging = largestStaging
    self.largestReply = largestReply
    self.recordsByAnyone = recordsByAnyone
    self.recordsByStranger = recordsByStranger
  }

  /// For the records that a subscription begins with.
  var ofSnapshot: NodeLimits {
    var limits = self
    limits.largestReply = min(largestReply, largestSnapshot)
    return limits
  }
}
