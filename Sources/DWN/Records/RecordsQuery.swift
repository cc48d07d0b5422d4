import Wire

/// Asks for all records that match, in pages (dwn-messages 5.3).
public struct RecordsQuery: Hashable, Sendable {
  public var filter: RecordsFilter
  /// `nil` means `createdAscending`.
  public var sort: DateSort?
  public var pagination: Pagination?
  public var permissionGrantID: RecordID?

  public init(
    _ filter: RecordsFilter, sort: DateSort? = nil, pagination: Pagination? = nil, permissionGrantID: RecordID? = nil
  ) {
    self.filter = filter
    self.sort = sort
    self.pagination = pagination
    self.permissionGrantID = permissionGrantID
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    filter = try members.recordsFilter()
    sort = try members.dateSort()
    pagination = try members.pagination()
    permissionGrantID = try members.permissionGrantID()
    try members.end()
    try filter.checkSort(sort)
    try filter.checkNesting("RecordsQuery")
  }

  var members: JSONObject {
    var object: JSONObject = ["filter": filter.json]
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    object["dateSort"] = sort.map { .string($0.rawValue) }
    object["pagination"] = pagination?.json
    return object
  }
}

/// Asks how many records match.
public struct RecordsCount: Hashable, Sendable {
  public var filter: RecordsFilter
  public var permissionGrantID: RecordID?

  public init(_ filter: RecordsFilter, permissionGrantID: RecordID? = nil) {
    self.filter = filter
    self.permissionGrantID = permissionGrantID
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    filter = try members.recordsFilter()
    permissionGrantID = try members.permissionGrantID()
    try members.end()
    try filter.checkNesting("RecordsCount")
  }

  var members: JSONObject {
    var object: JSONObject = ["filter": filter.json]
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    return object
  }
}

/// Asks for the records that match and for every change of them; or, with a cursor, for what came after that position.
public struct RecordsSubscribe: Hashable, Sendable {
  public var filter: RecordsFilter
  /// Of the first reply's records.
  public var sort: DateSort?
  public var pagination: Pagination?
  public var permissionGrantID: RecordID?
  /// The position in the feed to go on from. Without one, the reply has the records that are there now.
  public var cursor: ProgressToken?

  public init(
    _ filter: RecordsFilter, sort: DateSort? = nil, pagination: Pagination? = nil, cursor: ProgressToken? = nil,
    permissionGrantID: RecordID? = nil
  ) {
    self.filter = filter
    self.sort = sort
    self.pagination = pagination
    self.cursor = cursor
    self.permissionGrantID = permissionGrantID
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    filter = try members.recordsFilter()
    sort = try members.dateSort()
    pagination = try members.pagination()
    permissionGrantID = try members.permissionGrantID()
    cursor = try members.progressToken()
    try members.end()
    try filter.checkSort(sort)
    if pagination?.limit == nil { try filter.checkNesting("RecordsSubscribe") }
  }

  var members: JSONObject {
    var object: JSONObject = ["filter": filter.json]
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    object["dateSort"] = sort.map { .string($0.rawValue) }
    object["pagination"] = pagination?.json
    object["cursor"] = cursor?.json
    return object
  }
}

extension RecordsFilter {
  fileprivate func checkSort(_ sort: DateSort?) throws(DWNError) {
    guard published == false, sort == .publishedAscending || sort == .publishedDescending else { return }
    throw DWNError(
      400, "RecordsQueryParseFilterPublishedSortInvalid", "unpublished records cannot be sorted by publication")
  }

  /// Records below others are asked for below one parent or ancestor. How deep those of a protocol stand, its definition says.
  fileprivate func checkNesting(_ method: String) throws(DWNError) {
    guard let path, !path.isControl, path.depth > 1 else { return }
    if parentID != nil, contextID == nil { return }
    guard let contextID else { throw notNested(method, path, depth: path.depth) }
    if protocolURI == nil { try checkNesting(method, path, contextID, depth: path.depth) }
  }

  /// `depth` is how many segments the contexts of the path's records have.
  package func checkNesting(_ method: String, depth: Int) throws(DWNError) {
    guard let path, let contextID else { return }
    try checkNesting(method, path, contextID, depth: depth)
  }

  private func checkNesting(
    _ method: String, _ path: ProtocolPath, _ contextID: ContextID, depth: Int
  ) throws(DWNError) {
    guard contextID.depth <= depth else { throw notNested(method, path, depth: depth) }
  }

  private func notNested(_ method: String, _ path: ProtocolPath, depth: Int) -> DWNError {
    DWNError(
      400, method + "NestedProtocolPathContextIdInvalid",
      "at \(path) a filter names a parentId, or a contextId of at most \(depth) segments")
  }
}
