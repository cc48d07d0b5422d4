import Wire

/// Ends a record, and with `prune` everything below it (dwn-messages 5.4).
public struct RecordsDelete: Hashable, Sendable {
  public var recordID: RecordID
  public var prune: Bool
  public var permissionGrantID: RecordID?

  public init(_ recordID: RecordID, prune: Bool, permissionGrantID: RecordID? = nil) {
    self.recordID = recordID
    self.prune = prune
    self.permissionGrantID = permissionGrantID
  }

  init(_ members: inout MemberReader) throws(DWNError) {
    recordID = try members.required("recordId", "a record id") { $0.string.flatMap { RecordID($0) } }
    prune = try members.required("prune", "a boolean") { $0.bool }
    permissionGrantID = try members.permissionGrantID()
    try members.end()
  }

  var members: JSONObject {
    var object: JSONObject = ["recordId": .string(recordID.text), "prune": .bool(prune)]
    object["permissionGrantId"] = permissionGrantID.map { .string($0.text) }
    return object
  }
}
