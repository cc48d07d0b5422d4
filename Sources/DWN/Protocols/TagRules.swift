public import Wire

/// `$tags`: which tags records at a path have, and of what form.
public struct TagRules: Hashable, Sendable {
  /// The directive as it was received.
  public let json: JSONObject
  private let schema: JSONSchema

  init(_ json: JSONObject) throws(JSONSchemaError) {
    self.json = json
    self.schema = try JSONSchema(tags: json)
  }

  /// Throws the first violation. A record without tags is checked as one with none.
  public func check(_ tags: JSONObject?) throws(JSONSchemaError) {
    try schema.check(.object(tags ?? JSONObject()))
  }

  public static func == (a: TagRules, b: TagRules) -> Bool { a.json == b.json }

  public func hash(into hasher: inout Hasher) { hasher.combine(json) }
}
