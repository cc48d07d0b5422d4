import Wire

/// Reads the members of a JSON object one after the other, and at the end refuses those that nobody asked for.
///
/// What it throws has the status and the codes of a node's schema validation.
struct MemberReader {
  let object: JSONObject
  /// Stands before a member's name in messages to people, such as `descriptor.`.
  let place: String
  private var known: Set<String> = []

  init(_ object: JSONObject, at place: String) {
    self.object = object
    self.place = place
  }

  init(_ json: JSONValue?, at place: String) throws(DWNError) {
    guard let object = json?.object else { throw .schema("\(place.dropLast()) must be an object") }
    self.init(object, at: place)
  }

  mutating func required<Value>(
    _ name: String, _ expectation: String, _ read: (JSONValue) throws(DWNError) -> Value?
  ) throws(DWNError) -> Value {
    guard let value = try optional(name, expectation, read) else { throw .schema("\(place)\(name) is missing") }
    return value
  }

  mutating func optional<Value>(
    _ name: String, _ expectation: String, _ read: (JSONValue) throws(DWNError) -> Value?
  ) throws(DWNError) -> Value? {
    known.insert(name)
    guard let json = object[name] else { return nil }
    guard let value = try read(json) else { throw .schema("\(place)\(name) must be \(expectation)") }
    return value
  }

  /// Throws if there are members that were not read.
  func end() throws(DWNError) {
    for name in object.names where !known.contains(name) { throw .additional("\(place)\(name) is no known member") }
  }
}

extension DWNError {
  static func schema(_ text: String) -> DWNError { DWNError(400, "SchemaValidatorFailure", text) }

  static func additional(_ text: String) -> DWNError {
    DWNError(400, "SchemaValidatorAdditionalPropertyNotAllowed", text)
  }
}
