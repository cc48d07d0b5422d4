public import Wire

/// The data of a grant or of a request for one, as JSON: what a record of the permissions protocol carries.
public struct PermissionContent: Hashable, Sendable {
  public var scope: PermissionScope
  public var isDelegated: Bool
  public var publication: PermissionGrant.Publication?
  /// Of a grant. For a request, without meaning.
  public var dateExpires: WallTime
  /// Of a grant: which request it answers.
  public var requestID: String?
  /// For people.
  public var text: String?

  public init(
    _ scope: PermissionScope, isDelegated: Bool = false, publication: PermissionGrant.Publication? = nil,
    dateExpires: WallTime, requestID: String? = nil, text: String? = nil
  ) {
    self.scope = scope
    self.isDelegated = isDelegated
    self.publication = publication
    self.dateExpires = dateExpires
    self.requestID = requestID
    self.text = text
  }

  /// Throws status 400.
  init(grant data: [UInt8]) throws(DWNError) {
    var members = try Self.members(data)
    let date = try members.required("dateExpires", "a timestamp") { $0.string.flatMap { WallTime(timestamp: $0) } }
    let isDelegated = try members.optional("delegated", "a boolean") { $0.bool }
    requestID = try members.optional("requestId", "text") { $0.string }
    // Bookkeeping of wallets, of this year's and of last year's.
    for name in ["connectSession", "delegateKeyDelivery"] { _ = try members.optional(name, "an object") { $0.object } }
    (scope, publication, text) = try Self.shared(&members)
    self.dateExpires = date
    self.isDelegated = isDelegated ?? false
  }

  /// Throws status 400.
  static func checkRequest(_ data: [UInt8]) throws(DWNError) -> PermissionScope {
    var members = try Self.members(data)
    _ = try members.required("delegated", "a boolean") { $0.bool }
    return try shared(&members).0
  }

  /// Throws status 400.
  static func checkRevocation(_ data: [UInt8]) throws(DWNError) {
    var members = try Self.members(data)
    _ = try members.optional("description", "text") { $0.string }
    try members.end()
  }

  private static func members(_ data: [UInt8]) throws(DWNError) -> MemberReader {
    guard data.count <= PermissionsProtocol.largestData, let json = try? JSONValue(parsing: data) else {
      throw .schema("the data of a permission record is JSON of at most \(PermissionsProtocol.largestData) bytes")
    }
    return try MemberReader(json, at: "data.")
  }

  private static func shared(
    _ members: inout MemberReader
  ) throws(DWNError) -> (PermissionScope, PermissionGrant.Publication?, String?) {
    let scope = try members.required("scope", "a scope") { json throws(DWNError) in try PermissionScope(json) }
    let text = try members.optional("description", "text") { $0.string }
    var publication: PermissionGrant.Publication?
    _ = try members.optional("conditions", "an object") { json throws(DWNError) -> Bool? in
      var conditions = try MemberReader(json, at: "conditions.")
      publication = try conditions.optional("publication", "Required or Prohibited") {
        $0.string.flatMap { PermissionGrant.Publication(rawValue: $0) }
      }
      try conditions.end()
      return true
    }
    try members.end()
    return (scope, publication, text)
  }

  /// As the data of a grant.
  public var json: JSONValue {
    var object: JSONObject = ["dateExpires": .string(dateExpires.timestamp)]
    object["requestId"] = requestID.map { .string($0) }
    object["description"] = text.map { .string($0) }
    object["delegated"] = .bool(isDelegated)
    object["scope"] = scope.json
    object["conditions"] = publication.map { ["publication": .string($0.rawValue)] }
    return .object(object)
  }
}
