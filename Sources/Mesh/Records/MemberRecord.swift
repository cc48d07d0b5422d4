public import Wire

/// `network/member`: a person or wallet that owns machines. The record's recipient is its DID.
public struct MemberRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.member

  public var addedAt: WallTime
  public var label: String?

  public init(addedAt: WallTime, label: String? = nil) {
    self.addedAt = addedAt
    self.label = label
  }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    addedAt = try reader.requiredTime("addedAt")
    label = try reader.label("label")
  }

  public var json: JSONValue {
    var object: JSONObject = ["addedAt": .string(addedAt.rfc3339)]
    object["label"] = label.map { .string($0) }
    return .object(object)
  }
}
