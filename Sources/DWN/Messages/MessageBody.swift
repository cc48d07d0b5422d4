public import Wire

/// What a message asks for: the members of its descriptor beyond `interface`, `method` and `messageTimestamp`, as types.
///
/// It exists only if it keeps every rule that the descriptor alone can break (dwn-messages 5 to 8).
public enum MessageBody: Hashable, Sendable {
  case recordsWrite(RecordsWriteDescriptor)
  case recordsRead(RecordsRead)
  case recordsQuery(RecordsQuery)
  case recordsCount(RecordsCount)
  case recordsSubscribe(RecordsSubscribe)
  case recordsDelete(RecordsDelete)
  case protocolsConfigure(ProtocolsConfigure)
  case protocolsQuery(ProtocolsQuery)
  case messagesQuery(MessagesQuery)
  case messagesRead(MessagesRead)
  case messagesSubscribe(MessagesSubscribe)

  /// Throws status 400.
  init(_ kind: Message.Kind, descriptor: JSONObject) throws(DWNError) {
    var members = MemberReader(descriptor, at: "descriptor.")
    for name in ["interface", "method", "messageTimestamp"] {
      _ = try members.required(name, "text") { $0.string }
    }
    switch kind {
    case .recordsWrite: self = .recordsWrite(try RecordsWriteDescriptor(&members))
    case .recordsRead: self = .recordsRead(try RecordsRead(&members))
    case .recordsQuery: self = .recordsQuery(try RecordsQuery(&members))
    case .recordsCount: self = .recordsCount(try RecordsCount(&members))
    case .recordsSubscribe: self = .recordsSubscribe(try RecordsSubscribe(&members))
    case .recordsDelete: self = .recordsDelete(try RecordsDelete(&members))
    case .protocolsConfigure: self = .protocolsConfigure(try ProtocolsConfigure(&members))
    case .protocolsQuery: self = .protocolsQuery(try ProtocolsQuery(&members))
    case .messagesQuery: self = .messagesQuery(try MessagesQuery(&members))
    case .messagesRead: self = .messagesRead(try MessagesRead(&members))
    case .messagesSubscribe: self = .messagesSubscribe(try MessagesSubscribe(&members))
    }
  }

  public var kind: Message.Kind {
    switch self {
    case .recordsWrite: .recordsWrite
    case .recordsRead: .recordsRead
    case .recordsQuery: .recordsQuery
    case .recordsCount: .recordsCount
    case .recordsSubscribe: .recordsSubscribe
    case .recordsDelete: .recordsDelete
    case .protocolsConfigure: .protocolsConfigure
    case .protocolsQuery: .protocolsQuery
    case .messagesQuery: .messagesQuery
    case .messagesRead: .messagesRead
    case .messagesSubscribe: .messagesSubscribe
    }
  }

  /// The members as they stand in a descriptor.
  public var members: JSONObject {
    switch self {
    case .recordsWrite(let body): body.members
    case .recordsRead(let body): body.members
    case .recordsQuery(let body): body.members
    case .recordsCount(let body): body.members
    case .recordsSubscribe(let body): body.members
    case .recordsDelete(let body): body.members
    case .protocolsConfigure(let body): body.members
    case .protocolsQuery(let body): body.members
    case .messagesQuery(let body): body.members
    case .messagesRead(let body): body.members
    case .messagesSubscribe(let body): body.members
    }
  }

  /// The filter of a read, query, count or subscription of records.
  public var recordsFilter: RecordsFilter? {
    switch self {
    case .recordsRead(let body): body.filter
    case .recordsQuery(let body): body.filter
    case .recordsCount(let body): body.filter
    case .recordsSubscribe(let body): body.filter
    default: nil
    }
  }

  /// The grant that a message of the Records or Protocols interface invokes.
  public var permissionGrantID: RecordID? {
    switch self {
    case .recordsWrite(let body): body.permissionGrantID
    case .recordsRead(let body): body.permissionGrantID
    case .recordsQuery(let body): body.permissionGrantID
    case .recordsCount(let body): body.permissionGrantID
    case .recordsSubscribe(let body): body.permissionGrantID
    case .recordsDelete(let body): body.permissionGrantID
    case .protocolsConfigure(let body): body.permissionGrantID
    case .protocolsQuery(let body): body.permissionGrantID
    case .messagesQuery, .messagesRead, .messagesSubscribe: nil
    }
  }

  /// The grants that a message of the Messages interface invokes; empty when it invokes none.
  public var permissionGrantIDs: [RecordID] {
    switch self {
    case .messagesQuery(let body): body.permissionGrantIDs
    case .messagesRead(let body): body.permissionGrantIDs
    case .messagesSubscribe(let body): body.permissionGrantIDs
    default: []
    }
  }
}

extension MemberReader {
  mutating func permissionGrantID() throws(DWNError) -> RecordID? {
    try optional("permissionGrantId", "the id of a grant") { $0.string.flatMap { RecordID($0) } }
  }

  /// Not empty, ascending, without repetition.
  mutating func permissionGrantIDs() throws(DWNError) -> [RecordID] {
    try optional("permissionGrantIds", "a list of ids of grants") { json throws(DWNError) in
      try GrantInvocation.list(json)
    } ?? []
  }

  mutating func recordsFilter() throws(DWNError) -> RecordsFilter {
    try required("filter", "a filter") { json throws(DWNError) in try RecordsFilter(json) }
  }

  mutating func dateSort() throws(DWNError) -> DateSort? {
    try optional("dateSort", "a sort order") { $0.string.flatMap { DateSort(rawValue: $0) } }
  }

  mutating func pagination() throws(DWNError) -> Pagination? {
    try optional("pagination", "a page") { json throws(DWNError) in try Pagination(json) }
  }

  mutating func progressToken() throws(DWNError) -> ProgressToken? {
    try optional("cursor", "a position of a feed") { json in
      let names: Set<String> = ["streamId", "epoch", "position", "messageCid"]
      guard let object = json.object, names.isSuperset(of: object.names) else { return nil }
      return ProgressToken(json)
    }
  }
}
