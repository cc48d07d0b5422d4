import Wire

/// Asks for one record with its data: the first match in the order (dwn-messages 5.2).
public struct RecordsRead: Hashable, Sendable {
  public var filter: RecordsFilter
  /// `nil` means `createdAscending`.
  public var sort: DateSort?
  public var permissionGrantID: RecordID?
  /// Of newer nodes, for those that replicate; without effect here.
  public var includesReplicationSupport: Bool?

  public init(_ filter: RecordsFilter, sort: DateSort? = nil, permissionGrantID: RecordID? = nil) {
    self.filter = filter
    self.sort = sort
    self.permissionGrantID = permissionGrantID
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    filter = try members.recordsFilter()
    sort = try members.dateSort()
    permissionGrantID = try members.permissionGrantID()
    includesReplicationSupport = try members.optional("includeReplicationSupport", "a boolean") { $0.bool }
    try members.end()
  }

  var members: JSONObject {
    var object: JSONObject = ["filter": filter.json]
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    object["dateSort"] = sort.map { .string($0.rawValue) }
    object["includeReplicationSupport"] = includesReplicationSupport.map { .bool($0) }
    return object
  }
}
