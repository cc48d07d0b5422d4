import Wire

/// Turns the JSON of a schema into rules.
struct JSONSchemaCompiler {
  /// Which keywords may stand in a schema.
  enum Vocabulary {
    /// All that `JSONSchema` knows.
    case all
    /// Those of a tag in a `$tags` directive.
    case tag
    /// Those below `items` and `contains` of such a tag.
    case tagItem
  }

  let vocabulary: Vocabulary

  func compile(_ json: JSONValue, at place: JSONPointer) throws(JSONSchemaError) -> JSONSchema {
    if vocabulary == .all, let accepts = json.bool { return JSONSchema(rules: accepts ? [] : [.nothing]) }
    guard let object = json.object else { throw .invalidSchema(place: place.text, reason: "it must be an object") }
    for name in object.names where !vocabulary.keywords.contains(name) {
      throw .invalidSchema(place: place.member(name).text, reason: "this keyword is not supported here")
    }
    let keywords = JSONSchemaKeywords(object: object, place: place)
    let types = try keywords.types(among: vocabulary.types)
    if vocabulary != .all, types.count != 1 {
      throw .invalidSchema(place: place.text, reason: "a tag has exactly one \"type\"")
    }
    var rules: [JSONSchema.Rule] = types.isEmpty ? [] : [.type(types)]
    if let choices = try keywords.choices() { rules.append(.oneOf(choices)) }
    if let constant = object["const"] { rules.append(.oneOf([constant])) }
    if let bounds = try keywords.bounds("minLength", "maxLength") { rules.append(.length(bounds)) }
    if let pattern = object["pattern"] { rules.append(try keywords.pattern(pattern)) }
    for comparison in JSONSchema.Comparison.allCases {
      if let bound = try keywords.number(comparison.rawValue) { rules.append(.number(comparison, bound)) }
    }
    rules += try arrayRules(keywords)
    rules += try objectRules(keywords)
    return JSONSchema(rules: rules)
  }

  /// `$tags`: the named tags are its members that do not begin with `$`.
  func compile(tags: JSONObject) throws(JSONSchemaError) -> JSONSchema {
    var known: [[UInt8]: JSONSchema] = [:]
    var required: [String] = []
    var allowsOthers = false
    let top = JSONPointer()
    for (name, value) in tags.members {
      switch name {
      case "$requiredTags": required = try JSONSchemaKeywords(object: tags, place: top).names(name)
      case "$allowUndefinedTags": allowsOthers = try JSONSchemaKeywords(object: tags, place: top).flag(name)
      default:
        guard !name.hasPrefix("$") else {
          throw .invalidSchema(place: top.member(name).text, reason: "this directive is not supported")
        }
        known[Array(name.utf8)] = try compile(value, at: top.member(name))
      }
    }
    let others = JSONSchema(rules: allowsOthers ? [] : [.nothing])
    return JSONSchema(rules: [.type([.object]), .required(required), .members(known, additional: others)])
  }

  private func arrayRules(_ keywords: JSONSchemaKeywords) throws(JSONSchemaError) -> [JSONSchema.Rule] {
    var rules: [JSONSchema.Rule] = []
    if let bounds = try keywords.bounds("minItems", "maxItems") { rules.append(.itemCount(bounds)) }
    if try keywords.flag("uniqueItems") { rules.append(.uniqueItems) }
    if let items = keywords.object["items"] {
      rules.append(.items(try nested.compile(items, at: keywords.place.member("items"))))
    }
    let bounds = try keywords.bounds("minContains", "maxContains", least: 1)
    if let contained = keywords.object["contains"] {
      let schema = try nested.compile(contained, at: keywords.place.member("contains"))
      rules.append(.contains(schema, bounds ?? JSONSchema.CountBounds(least: 1)))
    }
    return rules
  }

  private func objectRules(_ keywords: JSONSchemaKeywords) throws(JSONSchemaError) -> [JSONSchema.Rule] {
    var rules: [JSONSchema.Rule] = []
    if keywords.object.contains("required") { rules.append(.required(try keywords.names("required"))) }
    let additional = keywords.object["additionalProperties"]
    var known: [[UInt8]: JSONSchema] = [:]
    if let properties = keywords.object["properties"] {
      let place = keywords.place.member("properties")
      guard let object = properties.object else {
        throw .invalidSchema(place: place.text, reason: "it must be an object")
      }
      for (name, schema) in object.members {
        known[Array(name.utf8)] = try nested.compile(schema, at: place.member(name))
      }
    }
    if additional != nil || !known.isEmpty {
      let others = try nested.compile(additional ?? true, at: keywords.place.member("additionalProperties"))
      rules.append(.members(known, additional: others))
    }
    return rules
  }

  private var nested: JSONSchemaCompiler {
    JSONSchemaCompiler(vocabulary: vocabulary == .all ? .all : .tagItem)
  }
}

extension JSONSchemaCompiler.Vocabulary {
  fileprivate var keywords: Set<String> {
    switch self {
    case .all: Self.tagKeywords.union(Self.otherKeywords)
    case .tag: Self.tagKeywords
    case .tagItem: Self.itemKeywords
    }
  }

  fileprivate var types: Set<JSONType> {
    switch self {
    case .all: [.null, .boolean, .integer, .number, .string, .array, .object]
    case .tag: [.boolean, .integer, .number, .string, .array]
    case .tagItem: [.integer, .number, .string]
    }
  }

  private static let itemKeywords: Set<String> = [
    "type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
  ]
  private static let tagKeywords = itemKeywords.union([
    "items", "contains", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains",
  ])
  private static let otherKeywords: Set<String> = [
    "const", "pattern", "properties", "required", "additionalProperties", "$schema", "$id", "$comment", "title",
    "description",
    "examples", "default", "format",
  ]
}

/// The keywords of one schema object, read by type.
private struct JSONSchemaKeywords {
  let object: JSONObject
  let place: JSONPointer

  func invalid(_ name: String, _ reason: String) -> JSONSchemaError {
    .invalidSchema(place: place.member(name).text, reason: reason)
  }

  func types(among allowed: Set<JSONType>) throws(JSONSchemaError) -> [JSONType] {
    guard let value = object["type"] else { return [] }
    let names = value.array ?? [value]
    let types = names.compactMap { $0.string.flatMap { JSONType(rawValue: $0) } }
    guard !types.isEmpty, types.count == names.count, types.allSatisfy({ allowed.contains($0) }) else {
      throw invalid("type", "it must be one of \(allowed.map(\.rawValue).sorted().joined(separator: ", "))")
    }
    return types
  }

  func choices() throws(JSONSchemaError) -> [JSONValue]? {
    guard let value = object["enum"] else { return nil }
    guard let choices = value.array, !choices.isEmpty else {
      throw invalid("enum", "it must be a list that is not empty")
    }
    return choices
  }

  func pattern(_ value: JSONValue) throws(JSONSchemaError) -> JSONSchema.Rule {
    guard let text = value.string, let pattern = SchemaPattern(text) else {
      throw invalid("pattern", "it must be a regular expression of the supported forms")
    }
    return .pattern(pattern, text: text)
  }

  func number(_ name: String) throws(JSONSchemaError) -> JSONValue? {
    guard let value = object[name] else { return nil }
    guard value.double != nil else { throw invalid(name, "it must be a number") }
    return value
  }

  func flag(_ name: String) throws(JSONSchemaError) -> Bool {
    guard let value = object[name] else { return false }
    guard let flag = value.bool else { throw invalid(name, "it must be true or false") }
    return flag
  }

  func names(_ name: String) throws(JSONSchemaError) -> [String] {
    let items = object[name]?.array
    let names = items?.compactMap(\.string)
    guard let names, names.count == items?.count, Set(names).count == names.count else {
      throw invalid(name, "it must be a list of different names")
    }
    return names
  }

  /// `nil` if neither keyword is there.
  func bounds(_ lower: String, _ upper: String, least: Int = 0) throws(JSONSchemaError) -> JSONSchema.CountBounds? {
    guard object.contains(lower) || object.contains(upper) else { return nil }
    var bounds = JSONSchema.CountBounds(least: least)
    if let value = try count(lower) { bounds.least = value }
    if let value = try count(upper) { bounds.most = value }
    return bounds
  }

  private func count(_ name: String) throws(JSONSchemaError) -> Int? {
    guard let value = object[name] else { return nil }
    guard let count = value.integer, count >= 0 else {
      throw invalid(name, "it must be an integer that is not negative")
    }
    return Int(count)
  }
}
