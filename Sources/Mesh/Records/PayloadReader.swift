import Cryptography
import Identity
import Wire

/// Takes typed members out of a record's JSON. `null` stands for an absent member everywhere.
struct PayloadReader {
  let record: String
  private let members: JSONObject

  init(_ members: JSONObject, of schema: RecordSchema) {
    self.record = schema.recordName
    self.members = members
  }

  subscript(_ name: String) -> JSONValue? {
    members[name] == .null ? nil : members[name]
  }

  func malformed(_ reason: String) -> MeshError { .malformed(record: record, reason: reason) }

  func wrong(_ name: String, _ expectation: String) -> MeshError { malformed("\(name) must be \(expectation)") }

  /// The member as `read` understands it, `nil` if it is absent. Throws when `read` refuses it.
  func optional<T>(_ name: String, _ expectation: String, _ read: (JSONValue) -> T?) throws(MeshError) -> T? {
    guard let value = self[name] else { return nil }
    guard let result = read(value) else { throw wrong(name, expectation) }
    return result
  }

  func required<T>(_ name: String, _ expectation: String, _ read: (JSONValue) -> T?) throws(MeshError) -> T {
    guard let value = self[name], let result = read(value) else { throw wrong(name, expectation) }
    return result
  }

  func text(_ name: String) throws(MeshError) -> String? {
    try optional(name, "text") { $0.string }
  }

  /// Text for people, without what could deceive them: controls, line ends and changes of direction are taken out. `nil` if
  /// nothing is left.
  func label(_ name: String) throws(MeshError) -> String? {
    guard let text = try text(name) else { return nil }
    let kept = text.unicodeScalars.filter { !Self.isDeceptive($0) }
    return kept.isEmpty ? nil : String(kept)
  }

  func time(_ name: String) throws(MeshError) -> WallTime? {
    try optional(name, "a time like 2026-11-21T12:00:00Z", Self.time)
  }

  func requiredTime(_ name: String) throws(MeshError) -> WallTime {
    try required(name, "a time like 2026-11-21T12:00:00Z", Self.time)
  }

  func did(_ name: String) throws(MeshError) -> DID? {
    try optional(name, "a DID") { $0.string.flatMap { DID($0) } }
  }

  func address(_ name: String, _ family: IPAddress.Family) throws(MeshError) -> IPAddress? {
    try optional(name, family == .v4 ? "an IPv4 address" : "an IPv6 address") { value in
      value.string.flatMap { IPAddress($0) }.flatMap { $0.family == family ? $0 : nil }
    }
  }

  /// A list of text; elements of another kind are left out.
  func texts(_ name: String) throws(MeshError) -> [String] {
    try optional(name, "a list") { $0.array }?.compactMap(\.string) ?? []
  }

  /// A port from 1 to 65535.
  static func port(_ value: JSONValue) -> UInt16? {
    value.integer.flatMap { UInt16(exactly: $0) }.flatMap { $0 == 0 ? nil : $0 }
  }

  /// SHA-256 in 64 hexadecimal digits.
  static func sha256(_ value: JSONValue) -> Bytes32? {
    value.string.flatMap { $0.utf8.count == 64 ? Hex.decode($0) : nil }.flatMap { Bytes32($0) }
  }

  private static func isDeceptive(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: scalar.properties.isBidiControl
    }
  }

  private static func time(_ value: JSONValue) -> WallTime? {
    value.string.flatMap { WallTime(rfc3339: $0) }
  }
}

extension JSONObject {
  /// A list that is left out when it is empty.
  mutating func set(_ name: String, unlessEmpty list: [String]) {
    self[name] = list.isEmpty ? nil : .array(list.map { .string($0) })
  }
}
