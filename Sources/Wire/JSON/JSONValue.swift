/// A JSON text as a value that loses nothing a hash or a signature could depend on: member order is kept, members that nobody
/// knows are kept, and a number is an integer exactly if its value is one.
public enum JSONValue: Sendable {
  case null
  case bool(Bool)
  /// An integer of magnitude at most 2^53 − 1, however it was spelled (`1`, `1.0`, `1e3`).
  case integer(Int64)
  /// Any other finite number.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// The largest magnitude that a JSON number may have as an integer (RFC 8259 section 6, I-JSON).
  public static let greatestInteger: Int64 = 9_007_199_254_740_991

  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
  public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }

  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The member of an object; `nil` for an absent member and for anything that is not an object.
  public subscript(_ name: String) -> JSONValue? { object?[name] }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
}

/// Values are equal when every hash over them would be: texts and names are compared by their bytes.
extension JSONValue: Hashable {
  public static func == (a: JSONValue, b: JSONValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): ExactText(a) == ExactText(b)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a == b
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .null: hasher.combine(0)
    case .bool(let value): hasher.combine(value)
    case .integer(let value): hasher.combine(value)
    case .number(let value): hasher.combine(value)
    case .string(let value): hasher.combine(ExactText(value))
    case .array(let value): hasher.combine(value)
    case .object(let value): hasher.combine(value)
    }
  }
}

/// A text compared by its bytes. Swift takes canonically equivalent texts for equal, such as the two spellings of "é", and a hash
/// does not.
private struct ExactText: Hashable, Sendable {
  private let text: String

  init(_ text: String) { self.text = text }

  static func == (a: ExactText, b: ExactText) -> Bool {
    guard a.text.utf8.count == b.text.utf8.count else { return false }
    // Texts of this platform are contiguous.
    return a.text.utf8.withContiguousStorageIfAvailable { a in
      b.text.utf8.withContiguousStorageIfAvailable { b in a.elementsEqual(b) }
    }.flatMap { $0 } ?? a.text.utf8.elementsEqual(b.text.utf8)
  }

  func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    hasher.combine(UInt8(0xff))
  }
}

/// The members of a JSON object in their order. Names are unique.
///
/// Two objects are equal when they have equal members, in whatever order.
public struct JSONObject: Sendable {
  public private(set) var members: [(name: String, value: JSONValue)] = []
  /// Where each name stands, once there are too many to look through.
  private var index: [ExactText: Int]?

  private static let few = 16

  public init() {}

  /// Later members of the same name replace earlier ones.
  public init(_ members: some Sequence<(String, JSONValue)>) {
    for (name, value) in members { self[name] = value }
  }

  public var count: Int { members.count }
  public var isEmpty: Bool { members.isEmpty }
  public var names: [String] { members.map(\.name) }

  public func contains(_ name: String) -> Bool { place(of: name) != nil }

  private func place(of name: String) -> Int? {
    let name = ExactText(name)
    if let index { return index[name] }
    return members.firstIndex { ExactText($0.name) == name }
  }

  private mutating func makeIndex() {
    index =
      members.count > Self.few
      ? Dictionary(uniqueKeysWithValues: members.enumerated().map { (ExactText($1.name), $0) }) : nil
  }

  /// Setting `nil` removes the member; setting an existing one keeps its place.
  public subscript(_ name: String) -> JSONValue? {
    get { place(of: name).map { members[$0].value } }
    set {
      if let place = place(of: name) {
        if let newValue {
          members[place].value = newValue
        } else {
          members.remove(at: place)
          makeIndex()
        }
      } else if let newValue {
        members.append((name, newValue))
        if index == nil { makeIndex() } else { index?[ExactText(name)] = members.count - 1 }
      }
    }
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}

extension JSONObject: Hashable {
  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.count == b.count && a.members.allSatisfy { b[$0.name] == $0.value }
  }

  public func hash(into hasher: inout Hasher) {
    // Order must not matter, so the members' own hashes are joined by an operation that does not see it.
    var members = 0
    for (name, value) in self.members {
      var member = Hasher()
      member.combine(ExactText(name))
      member.combine(value)
      members ^= member.finalize()
    }
    hasher.combine(members)
  }
}
