public import Wire

/// A compiled JSON Schema (draft 2020-12) of the few keywords that this program's own schemas and the `$tags` of protocol
/// definitions use. What it does not know it refuses to compile, so that no rule is passed over in silence.
///
/// Validation: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `minItems`, `maxItems`,
/// `uniqueItems`, `contains`, `minContains`, `maxContains`, `minLength`, `maxLength`, `pattern`, `minimum`, `maximum`,
/// `exclusiveMinimum`, `exclusiveMaximum`. Annotations, which say nothing about a value: `$schema`, `$id`, `$comment`, `title`,
/// `description`, `examples`, `default`, `format`.
///
/// Checking takes a time that grows with the value and the schema, never faster, and stops at the first violation. What it says
/// of a violation does not repeat the value.
public struct JSONSchema: Hashable, Sendable {
  let rules: [Rule]

  init(rules: [Rule]) {
    self.rules = rules
  }

  /// Compiles a schema: an object, or `true` or `false`.
  public init(_ json: JSONValue) throws(JSONSchemaError) {
    self = try JSONSchemaCompiler(vocabulary: .all).compile(json, at: JSONPointer())
  }

  /// Compiles the value of a `$tags` directive into the schema of a record's `tags`: `$requiredTags`, `$allowUndefinedTags`
  /// (without it, no tag but the named ones), and a schema for each tag.
  public init(tags: JSONObject) throws(JSONSchemaError) {
    self = try JSONSchemaCompiler(vocabulary: .tag).compile(tags: tags)
  }

  /// Throws the first violation.
  public func check(_ value: JSONValue) throws(JSONSchemaError) {
    try check(value, at: JSONPointer())
  }

  /// One thing that a schema asks of a value. Rules about one type say nothing about values of another.
  indirect enum Rule: Hashable, Sendable {
    /// `false`: nothing conforms.
    case nothing
    case type([JSONType])
    case oneOf([JSONValue])
    /// By the bytes of their names.
    case members([[UInt8]: JSONSchema], additional: JSONSchema)
    case required([String])
    case items(JSONSchema)
    case itemCount(CountBounds)
    case uniqueItems
    case contains(JSONSchema, CountBounds)
    /// In Unicode scalars.
    case length(CountBounds)
    case pattern(SchemaPattern, text: String)
    case number(Comparison, JSONValue)
  }

  /// Both inclusive.
  struct CountBounds: Hashable, Sendable {
    var least = 0
    var most = Int.max

    func contains(_ count: Int) -> Bool { least <= count && count <= most }

    func phrase(_ noun: String) -> String {
      most == .max ? "at least \(least) \(noun)" : "\(least) to \(most) \(noun)"
    }
  }

  enum Comparison: String, Sendable, CaseIterable {
    case minimum
    case maximum
    case exclusiveMinimum
    case exclusiveMaximum

    func holds(_ value: Double, _ bound: Double) -> Bool {
      switch self {
      case .minimum: value >= bound
      case .maximum: value <= bound
      case .exclusiveMinimum: value > bound
      case .exclusiveMaximum: value < bound
      }
    }

    var phrase: String {
      switch self {
      case .minimum: "at least"
      case .maximum: "at most"
      case .exclusiveMinimum: "greater than"
      case .exclusiveMaximum: "less than"
      }
    }
  }
}

/// The types that a schema can name. An integer is also a number.
enum JSONType: String, Sendable {
  case null
  case boolean
  case integer
  case number
  case string
  case array
  case object

  func contains(_ value: JSONValue) -> Bool {
    switch value {
    case .null: self == .null
    case .bool: self == .boolean
    case .integer: self == .integer || self == .number
    case .number: self == .number
    case .string: self == .string
    case .array: self == .array
    case .object: self == .object
    }
  }
}
