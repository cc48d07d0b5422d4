public import Identity
public import Wire

/// Which records a read or a query asks for: all members that are there must hold.
public struct RecordsFilter: Hashable, Sendable {
  public struct DateRange: Hashable, Sendable {
    /// Inclusive.
    public var from: WallTime?
    /// Exclusive.
    public var to: WallTime?

    public init(from: WallTime? = nil, to: WallTime? = nil) {
      self.from = from
      self.to = to
    }

    public func contains(_ time: WallTime) -> Bool {
      (from.map { time >= $0 } ?? true) && (to.map { time < $0 } ?? true)
    }
  }

  public enum TagFilter: Hashable, Sendable {
    /// Text, number or boolean, compared with its type.
    case equals(JSONValue)
    case startsWith(String)
    /// Bounds with their type; `inclusive` tells `gte` from `gt` and `lte` from `lt`.
    case range(lower: Bound?, upper: Bound?)

    public struct Bound: Hashable, Sendable {
      public var value: JSONValue
      public var isInclusive: Bool
    }
  }

  public var protocolURI: String?
  public var path: ProtocolPath?
  public var schema: String?
  public var recordID: RecordID?
  public var parentID: RecordID?
  /// This record and everything below it.
  public var contextID: ContextID?
  public var dataFormat: String?
  public var dataCID: String?
  /// Any of these; empty means any at all.
  public var author: [DID] = []
  public var recipient: [DID] = []
  public var attester: DID?
  public var published: Bool?
  public var dataSize: (ClosedRange<Int64>)?
  public var dateCreated: DateRange?
  public var datePublished: DateRange?
  /// Of `messageTimestamp`.
  public var dateUpdated: DateRange?
  public var tags: [String: TagFilter] = [:]

  public init(
    protocolURI: String? = nil, path: ProtocolPath? = nil, recordID: RecordID? = nil, parentID: RecordID? = nil,
    contextID: ContextID? = nil, recipient: [DID] = [], tags: [String: TagFilter] = [:], dateUpdated: DateRange? = nil
  ) {
    self.protocolURI = protocolURI
    self.path = path
    self.recordID = recordID
    self.parentID = parentID
    self.contextID = contextID
    self.recipient = recipient
    self.tags = tags
    self.dateUpdated = dateUpdated
  }
}

/// The order of a query's results. Ties are broken by message CID, in the same direction.
public enum DateSort: String, Hashable, Sendable {
  case createdAscending, createdDescending, publishedAscending, publishedDescending, updatedAscending, updatedDescending
}

/// A page of a query's results.
public struct Pagination: Hashable, Sendable {
  /// Position after an entry: its CID and its sort value.
  public struct Cursor: Hashable, Sendable {
    public var messageCID: String
    public var value: JSONValue

    public init(messageCID: String, value: JSONValue) {
      self.messageCID = messageCID
      self.value = value
    }

    public var json: JSONValue { ["messageCid": .string(messageCID), "value": value] }

    /// `nil` unless it has exactly the two members, the value being text or a number.
    public init?(_ json: JSONValue) {
      guard json.object?.count == 2, let cid = json["messageCid"]?.string, let value = json["value"],
        value.string != nil || value.double != nil
      else { return nil }
      self.init(messageCID: cid, value: value)
    }
  }

  /// 1…1000
  public var limit: Int?
  public var cursor: Cursor?

  public init(limit: Int? = nil, cursor: Cursor? = nil) {
    self.limit = limit
    self.cursor = cursor
  }

  /// Throws status 400.
  init(_ json: JSONValue) throws(DWNError) {
    var members = try MemberReader(json, at: "pagination.")
    limit = try members.optional("limit", "1 to 1000") { json in
      json.integer.flatMap { (1...1000).contains($0) ? Int($0) : nil }
    }
    cursor = try members.optional("cursor", "one that a reply gave") { Cursor($0) }
    try members.end()
  }

  public var json: JSONValue {
    var object = JSONObject()
    object["limit"] = limit.map { .integer(Int64($0)) }
    object["cursor"] = cursor?.json
    return .object(object)
  }
}
