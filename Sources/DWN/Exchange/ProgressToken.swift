public import Wire

/// A position in one tenant's durable feed (`dwn-messages.md` 8.1), as its node names it: what a subscriber gives back to go on
/// from there. Opaque, except that positions within one stream and epoch can be compared.
public struct ProgressToken: Hashable, Sendable {
  /// Which tenant's feed: 16 hexadecimal digits, made from the tenant's DID.
  public var streamID: String
  /// Changes when the feed is made anew; positions of two epochs have nothing to do with each other.
  public var epoch: String
  public var position: FeedPosition
  /// Of the message at the position, if there is one.
  public var messageCID: CID?

  public init(streamID: String, epoch: String, position: FeedPosition, messageCID: CID? = nil) {
    self.streamID = streamID
    self.epoch = epoch
    self.position = position
    self.messageCID = messageCID
  }

  /// Longest text of a member that is taken from a stranger, in bytes.
  private static let textLimit = 256

  /// `nil` unless stream and epoch are there, and the position is a decimal number.
  public init?(_ json: JSONValue) {
    guard let streamID = json["streamId"]?.string, let epoch = json["epoch"]?.string,
      (1...Self.textLimit).contains(streamID.utf8.count), (1...Self.textLimit).contains(epoch.utf8.count),
      let position = json["position"]?.string.flatMap({ FeedPosition($0) })
    else { return nil }
    var messageCID: CID?
    if let text = json["messageCid"] {
      guard let cid = text.string.flatMap({ CID($0) }) else { return nil }
      messageCID = cid
    }
    self.init(streamID: streamID, epoch: epoch, position: position, messageCID: messageCID)
  }

  public var json: JSONValue {
    var object: JSONObject = [
      "streamId": .string(streamID), "epoch": .string(epoch), "position": .string(position.text),
    ]
    object["messageCid"] = messageCID.map { .string($0.text) }
    return .object(object)
  }

  /// Whether positions of both can be compared.
  public func isInSameFeed(as other: ProgressToken) -> Bool { streamID == other.streamID && epoch == other.epoch }
}

/// A number in a feed: decimal, of any size, without leading zeros. 0 stands before the first entry.
public struct FeedPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let text: String

  /// Most digits.
  public static let maximumDigits = 64

  public init(_ number: UInt64) { text = String(number) }

  public init?(_ text: some StringProtocol) {
    guard (1...Self.maximumDigits).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      text.utf8.count == 1 || text.utf8.first != 0x30
    else { return nil }
    self.text = String(text)
  }

  /// `nil` if it is larger than this machine counts.
  public var number: UInt64? { UInt64(text) }

  public static func < (a: FeedPosition, b: FeedPosition) -> Bool {
    a.text.utf8.count == b.text.utf8.count ? a.text < b.text : a.text.utf8.count < b.text.utf8.count
  }

  public var description: String { text }
}
