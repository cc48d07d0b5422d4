/// What is wrong with a schema, or with a value under it. Places are JSON Pointers (RFC 6901); the whole is the empty pointer.
public enum JSONSchemaError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The schema says something that this program does not know, or means nothing.
  case invalidSchema(place: String, reason: String)
  /// The value is not what the schema asks for. `reason` begins with "must".
  case violation(place: String, reason: String)

  public var description: String {
    switch self {
    case .invalidSchema(let place, let reason): "the schema is invalid at \(Self.name(place)): \(reason)"
    case .violation(let place, let reason): "\(Self.name(place)) \(reason)"
    }
  }

  private static func name(_ place: String) -> String { place.isEmpty ? "the top" : place }
}

/// A place in a JSON value, as RFC 6901 writes it.
struct JSONPointer {
  var text = ""

  func member(_ name: String) -> JSONPointer {
    var escaped = ""
    for character in name.unicodeScalars {
      switch character {
      case "~": escaped += "~0"
      case "/": escaped += "~1"
      default: escaped.unicodeScalars.append(character)
      }
    }
    return JSONPointer(text: text + "/" + escaped)
  }

  func item(_ index: Int) -> JSONPointer { JSONPointer(text: text + "/" + String(index)) }
}
