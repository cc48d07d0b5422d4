#if canImport(Glibc)
  import Glibc
#endif

/// Why a text is not JSON that this program accepts.
public enum JSONError: Error, Equatable, CustomStringConvertible {
  case unexpected(offset: Int)
  case truncated
  case tooDeep(limit: Int)
  case tooLarge(limit: Int)
  case duplicateMember(String)
  case numberOutOfRange(offset: Int)
  case invalidUTF8
  case invalidEscape(offset: Int)

  public var description: String {
    switch self {
    case .unexpected(let offset): "not JSON: unexpected character at byte \(offset)"
    case .truncated: "not JSON: the text ends too early"
    case .tooDeep(let limit): "JSON nested deeper than \(limit) levels"
    case .tooLarge(let limit): "JSON text larger than \(limit) bytes"
    case .duplicateMember(let name): "JSON object has two members named \"\(name)\""
    case .numberOutOfRange(let offset): "JSON number out of range at byte \(offset)"
    case .invalidUTF8: "JSON text is not UTF-8"
    case .invalidEscape(let offset): "JSON string has an invalid escape at byte \(offset)"
    }
  }
}

extension JSONValue {
  /// Nesting that no message of the protocols here needs to exceed.
  public static let defaultDepth = 16

  /// Parses RFC 8259 text strictly: UTF-8, no duplicate members, no unpaired surrogates, no integers beyond 2^53 − 1, bounded
  /// nesting, nothing after the value.
  public init(
    parsing text: some Collection<UInt8>, depth: Int = JSONValue.defaultDepth, limit: Int = 64 << 20
  ) throws(JSONError) {
    guard text.count <= limit else { throw .tooLarge(limit: limit) }
    var parser = JSONParser(bytes: Array(text), depthLimit: depth)
    self = try parser.parseDocument()
  }

  public init(parsing text: String, depth: Int = JSONValue.defaultDepth) throws(JSONError) {
    try self.init(parsing: Array(text.utf8), depth: depth)
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  let depthLimit: Int
  var position = 0

  init(bytes: [UInt8], depthLimit: Int) {
    self.bytes = bytes
    self.depthLimit = depthLimit
  }

  mutating func parseDocument() throws(JSONError) -> JSONValue {
    let value = try parseValue(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw .unexpected(offset: position) }
    return value
  }

  mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0a, 0x0d: position += 1
      default: return
      }
    }
  }

  func peek() throws(JSONError) -> UInt8 {
    guard position < bytes.count else { throw .truncated }
    return bytes[position]
  }

  mutating func expect(_ literal: StaticString) throws(JSONError) {
    for index in 0..<literal.utf8CodeUnitCount {
      guard try peek() == literal.utf8Start[index] else { throw .unexpected(offset: position) }
      position += 1
    }
  }

  mutating func parseValue(depth: Int) throws(JSONError) -> JSONValue {
    skipSpace()
    switch try peek() {
    case UInt8(ascii: "{"):
      guard depth < depthLimit else { throw .tooDeep(limit: depthLimit) }
      return .object(try parseObject(depth: depth + 1))
    case UInt8(ascii: "["):
      guard depth < depthLimit else { throw .tooDeep(limit: depthLimit) }
      return .array(try parseArray(depth: depth + 1))
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "t"):
      try expect("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try expect("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try expect("null")
      return .null
    default: return try parseNumber()
    }
  }

  mutating func parseObject(depth: Int) throws(JSONError) -> JSONObject {
    position += 1
    var object = JSONObject()
    skipSpace()
    if try peek() == UInt8(ascii: "}") {
      position += 1
      return object
    }
    while true {
      skipSpace()
      guard try peek() == UInt8(ascii: "\"") else { throw .unexpected(offset: position) }
      let name = try parseString()
      guard !object.contains(name) else { throw .duplicateMember(name) }
      skipSpace()
      guard try peek() == UInt8(ascii: ":") else { throw .unexpected(offset: position) }
      position += 1
      object[name] = try parseValue(depth: depth)
      skipSpace()
      switch try peek() {
      case UInt8(ascii: ","): position += 1
      case UInt8(ascii: "}"):
        position += 1
        return object
      default: throw .unexpected(offset: position)
      }
    }
  }

  mutating func parseArray(depth: Int) throws(JSONError) -> [JSONValue] {
    position += 1
    var array: [JSONValue] = []
    skipSpace()
    if try peek() == UInt8(ascii: "]") {
      position += 1
      return array
    }
    while true {
      array.append(try parseValue(depth: depth))
      skipSpace()
      switch try peek() {
      case UInt8(ascii: ","): position += 1
      case UInt8(ascii: "]"):
        position += 1
        return array
      default: throw .unexpected(offset: position)
      }
    }
  }

  mutating func parseString() throws(JSONError) -> String {
    position += 1
    var text: [UInt8] = []
    while true {
      let start = position
      while position < bytes.count, Self.isPlain(bytes[position]) { position += 1 }
      let plain = bytes[start..<position]
      let byte = try peek()
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        let string =
          text.isEmpty ? String(validating: plain, as: UTF8.self) : String(validating: text + plain, as: UTF8.self)
        guard let string else { throw .invalidUTF8 }
        return string
      case UInt8(ascii: "\\"):
        text += plain
        try parseEscape(into: &text)
      default: throw .unexpected(offset: position - 1)
      }
    }
  }

  /// Whether it stands for itself in a text.
  private static func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
  }

  mutating func parseEscape(into text: inout [UInt8]) throws(JSONError) {
    let start = position - 1
    let kind = try peek()
    position += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(kind)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      var unit = try parseHexUnit()
      if unit >> 10 == 0x36 {
        guard try peek() == UInt8(ascii: "\\") else { throw .invalidEscape(offset: start) }
        position += 1
        guard try peek() == UInt8(ascii: "u") else { throw .invalidEscape(offset: start) }
        position += 1
        let low = try parseHexUnit()
        guard low >> 10 == 0x37 else { throw .invalidEscape(offset: start) }
        unit = 0x10000 + (unit & 0x3ff) << 10 + low & 0x3ff
      }
      guard let scalar = Unicode.Scalar(unit) else { throw .invalidEscape(offset: start) }
      text.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw .invalidEscape(offset: start)
    }
  }

  mutating func parseHexUnit() throws(JSONError) -> UInt32 {
    guard position + 4 <= bytes.count else { throw .truncated }
    guard let pair = Hex.decode(String(decoding: bytes[position..<position + 4], as: UTF8.self)), pair.count == 2 else {
      throw .invalidEscape(offset: position)
    }
    position += 4
    return UInt32(pair[0]) << 8 | UInt32(pair[1])
  }

  mutating func parseNumber() throws(JSONError) -> JSONValue {
    let start = position
    func digits(_ parser: inout JSONParser) throws(JSONError) {
      let first = parser.position
      while parser.position < parser.bytes.count, (0x30...0x39).contains(parser.bytes[parser.position]) {
        parser.position += 1
      }
      if parser.position == first {
        if parser.position == parser.bytes.count { throw .truncated }
        throw .unexpected(offset: parser.position)
      }
    }
    if bytes[position] == UInt8(ascii: "-") { position += 1 }
    if try peek() == UInt8(ascii: "0") {
      position += 1
    } else {
      try digits(&self)
    }
    var isPlain = true
    if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      isPlain = false
      position += 1
      try digits(&self)
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      isPlain = false
      position += 1
      if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
        position += 1
      }
      try digits(&self)
    }
    guard position - start <= 400 else { throw .numberOutOfRange(offset: start) }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isPlain {
      guard let value = Int64(text), value.magnitude <= JSONValue.greatestInteger.magnitude else {
        throw .numberOutOfRange(offset: start)
      }
      return .integer(value)
    }
    guard let value = Double(text), value.isFinite else { throw .numberOutOfRange(offset: start) }
    if value.rounded(.towardZero) == value {
      guard value.magnitude <= Double(JSONValue.greatestInteger) else { throw .numberOutOfRange(offset: start) }
      return .integer(Int64(value))
    }
    return .number(value)
  }
}
