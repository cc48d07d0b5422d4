import Wire

extension JSONSchema {
  func check(_ value: JSONValue, at place: JSONPointer) throws(JSONSchemaError) {
    for rule in rules { try rule.check(value, at: place) }
  }

  func accepts(_ value: JSONValue) -> Bool {
    do {
      try check(value)
      return true
    } catch {
      return false
    }
  }
}

extension JSONSchema.Rule {
  fileprivate func check(_ value: JSONValue, at place: JSONPointer) throws(JSONSchemaError) {
    func demand(_ holds: Bool, _ reason: @autoclosure () -> String) throws(JSONSchemaError) {
      if !holds { throw .violation(place: place.text, reason: "must " + reason()) }
    }
    switch (self, value) {
    case (.nothing, _):
      try demand(false, "not be there")
    case (.type(let types), _):
      try demand(types.contains { $0.contains(value) }, "be of type " + types.map(\.rawValue).joined(separator: " or "))
    case (.oneOf(let choices), _):
      try demand(choices.contains(value), "be " + choices.map(\.text).joined(separator: " or "))
    case (.required(let names), .object(let object)):
      for name in names { try demand(object.contains(name), "have the member \"\(name)\"") }
    case (.members(let known, let additional), .object(let object)):
      for (name, member) in object.members {
        try (known[Array(name.utf8)] ?? additional).check(member, at: place.member(name))
      }
    case (.items(let schema), .array(let items)):
      for (index, item) in items.enumerated() { try schema.check(item, at: place.item(index)) }
    case (.itemCount(let bounds), .array(let items)):
      try demand(bounds.contains(items.count), "have \(bounds.phrase("items"))")
    case (.uniqueItems, .array(let items)):
      try demand(Set(items).count == items.count, "not repeat an item")
    case (.contains(let schema, let bounds), .array(let items)):
      let count = items.count { schema.accepts($0) }
      try demand(bounds.contains(count), "have \(bounds.phrase("items of the form that is asked for"))")
    case (.length(let bounds), .string(let text)):
      try demand(bounds.contains(text.unicodeScalars.count), "have \(bounds.phrase("characters"))")
    case (.pattern(let pattern, let source), .string(let text)):
      try demand(pattern.matches(text), "match \(source)")
    case (.number(let comparison, let bound), .integer), (.number(let comparison, let bound), .number):
      try demand(comparison.holds(value.double ?? 0, bound.double ?? 0), "be \(comparison.phrase) \(bound.text)")
    default: break
    }
  }
}
