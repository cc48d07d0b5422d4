extension JSONValue {
  /// Compact UTF-8 in member order, escaping only what RFC 8259 requires: what JavaScript's `JSON.stringify` prints.
  public var text: String { String(decoding: encoded, as: UTF8.self) }

  public var encoded: [UInt8] {
    var writer = JSONWriter(indent: nil, escapeNonASCII: false)
    writer.write(self, level: 0)
    return writer.output
  }

  /// Compact, with every non-ASCII character as `\uXXXX`, so that it may stand in an HTTP header.
  public var asciiText: String {
    var writer = JSONWriter(indent: nil, escapeNonASCII: true)
    writer.write(self, level: 0)
    return String(decoding: writer.output, as: UTF8.self)
  }

  /// With two-space indentation and a line for each member: for people and for files.
  public var prettyText: String {
    var writer = JSONWriter(indent: 2, escapeNonASCII: false)
    writer.write(self, level: 0)
    return String(decoding: writer.output, as: UTF8.self)
  }
}

private struct JSONWriter {
  let indent: Int?
  let escapeNonASCII: Bool
  var output: [UInt8] = []

  init(indent: Int?, escapeNonASCII: Bool) {
    self.indent = indent
    self.escapeNonASCII = escapeNonASCII
  }

  mutating func write(_ value: JSONValue, level: Int) {
    switch value {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .integer(let value): output.append(contentsOf: String(value).utf8)
    case .number(let value): output.append(contentsOf: "\(value)".utf8)
    case .string(let value): write(string: value)
    case .array(let elements):
      output.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        newLine(level + 1)
        write(element, level: level + 1)
      }
      if !elements.isEmpty { newLine(level) }
      output.append(UInt8(ascii: "]"))
    case .object(let object):
      output.append(UInt8(ascii: "{"))
      for (index, member) in object.members.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        newLine(level + 1)
        write(string: member.name)
        output.append(UInt8(ascii: ":"))
        if indent != nil { output.append(UInt8(ascii: " ")) }
        write(member.value, level: level + 1)
      }
      if !object.isEmpty { newLine(level) }
      output.append(UInt8(ascii: "}"))
    }
  }

  mutating func newLine(_ level: Int) {
    guard let indent else { return }
    output.append(0x0a)
    output.append(contentsOf: repeatElement(0x20, count: indent * level))
  }

  mutating func write(string: String) {
    output.append(UInt8(ascii: "\""))
    if escapeNonASCII, !string.utf8.allSatisfy({ $0 < 0x80 }) {
      for scalar in string.unicodeScalars {
        if scalar.isASCII {
          write(ascii: UInt8(scalar.value))
        } else {
          for unit in String(scalar).utf16 { escape(unit) }
        }
      }
    } else {
      var string = string
      string.withUTF8 { bytes in
        var rest = bytes[...]
        while let end = rest.firstIndex(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5c }) {
          output.append(contentsOf: rest[..<end])
          write(ascii: rest[end])
          rest = rest[(end + 1)...]
        }
        output.append(contentsOf: rest)
      }
    }
    output.append(UInt8(ascii: "\""))
  }

  mutating func write(ascii byte: UInt8) {
    switch byte {
    case 0x22: output.append(contentsOf: "\\\"".utf8)
    case 0x5c: output.append(contentsOf: "\\\\".utf8)
    case 0x08: output.append(contentsOf: "\\b".utf8)
    case 0x0c: output.append(contentsOf: "\\f".utf8)
    case 0x0a: output.append(contentsOf: "\\n".utf8)
    case 0x0d: output.append(contentsOf: "\\r".utf8)
    case 0x09: output.append(contentsOf: "\\t".utf8)
    case 0..<0x20: escape(UInt16(byte))
    default: output.append(byte)
    }
  }

  mutating func escape(_ unit: UInt16) {
    output.append(contentsOf: "\\u".utf8)
    output.append(contentsOf: Hex.encode([UInt8(unit >> 8), UInt8(unit & 255)]).utf8)
  }
}
