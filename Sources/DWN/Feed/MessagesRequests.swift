import Wire

/// Asks for the entries of a tenant's feed after a position (dwn-messages 8.2).
public struct MessagesQuery: Hashable, Sendable {
  /// An entry is meant if any of these holds; all are if there is none.
  public var filters: [MessagesFilter]
  public var permissionGrantIDs: [RecordID]
  public var cursor: ProgressToken?
  /// Most entries of the reply.
  public var limit: Int?
  /// `true` leaves the messages themselves out.
  public var cidsOnly: Bool?

  public init(
    _ filters: [MessagesFilter] = [], cursor: ProgressToken? = nil, limit: Int? = nil, cidsOnly: Bool? = nil,
    permissionGrantIDs: Set<RecordID> = []
  ) {
    self.filters = filters
    self.permissionGrantIDs = permissionGrantIDs.sorted()
    self.cursor = cursor
    self.limit = limit
    self.cidsOnly = cidsOnly
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    filters = try members.messagesFilters()
    permissionGrantIDs = try members.permissionGrantIDs()
    cursor = try members.progressToken()
    limit = try members.optional("limit", "an integer that is not negative") { json in
      json.integer.flatMap { $0 >= 0 ? Int(exactly: $0) : nil }
    }
    cidsOnly = try members.optional("cidsOnly", "a boolean") { $0.bool }
    try members.end()
  }

  var members: JSONObject {
    var object: JSONObject = ["filters": .array(filters.map(\.json))]
    object["permissionGrantIds"] = permissionGrantIDs.json
    object["cursor"] = cursor?.json
    object["limit"] = limit.map { .integer(Int64($0)) }
    object["cidsOnly"] = cidsOnly.map { .bool($0) }
    return object
  }
}

/// Asks for one message by its CID.
public struct MessagesRead: Hashable, Sendable {
  public var messageCID: CID
  public var permissionGrantIDs: [RecordID]

  public init(_ messageCID: CID, permissionGrantIDs: Set<RecordID> = []) {
    self.messageCID = messageCID
    self.permissionGrantIDs = permissionGrantIDs.sorted()
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    messageCID = try members.required("messageCid", "text") { json throws(DWNError) in
      guard let text = json.string else { return nil }
      guard let cid = CID(text) else {
        throw DWNError(400, "MessagesReadInvalidCid", "descriptor.messageCid is no CID of a message")
      }
      return cid
    }
    permissionGrantIDs = try members.permissionGrantIDs()
    try members.end()
  }

  var members: JSONObject {
    var object: JSONObject = ["messageCid": .string(messageCID.text)]
    object["permissionGrantIds"] = permissionGrantIDs.json
    return object
  }
}

/// Asks for every entry of a tenant's feed as it comes, from a position on if one is given.
public struct MessagesSubscribe: Hashable, Sendable {
  public var filters: [MessagesFilter]
  public var permissionGrantIDs: [RecordID]
  public var cursor: ProgressToken?

  public init(
    _ filters: [MessagesFilter] = [], cursor: ProgressToken? = nil, permissionGrantIDs: Set<RecordID> = []
  ) {
    self.filters = filters
    self.permissionGrantIDs = permissionGrantIDs.sorted()
    self.cursor = cursor
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    filters = try members.messagesFilters()
    permissionGrantIDs = try members.permissionGrantIDs()
    cursor = try members.progressToken()
    try members.end()
  }

  var members: JSONObject {
    var object: JSONObject = ["filters": .array(filters.map(\.json))]
    object["permissionGrantIds"] = permissionGrantIDs.json
    object["cursor"] = cursor?.json
    return object
  }
}

extension MemberReader {
  fileprivate mutating func messagesFilters() throws(DWNError) -> [MessagesFilter] {
    try required("filters", "a list of at most \(MessagesFilter.limit) filters") { json throws(DWNError) in
      try MessagesFilter.list(json)
    }
  }
}

extension [RecordID] {
  fileprivate var json: JSONValue? { isEmpty ? nil : .array(map { .string($0.text) }) }
}
