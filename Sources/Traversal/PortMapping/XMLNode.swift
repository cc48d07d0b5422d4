/// An element of a small XML text, as routers write them: names without their prefixes, children, and text. Attributes are skipped.
///
/// What a description or a SOAP answer needs, and nothing that could be turned against its reader: document types are refused, no
/// entity but the five of XML is known, and size, depth and number are bounded.
struct XMLNode: Hashable {
  var name: String
  /// Of the element itself, without white space around it.
  var text = ""
  var children: [XMLNode] = []

  static let maximumSize = 256 << 10
  static let maximumDepth = 32
  static let maximumCount = 4096

  struct Invalid: Error {}

  /// Reads one document.
  init(parsing bytes: [UInt8]) throws(Invalid) {
    guard bytes.count <= Self.maximumSize else { throw Invalid() }
    var reader = Reader(rest: bytes[...])
    try reader.skipMisc()
    self = try reader.element(depth: 0)
  }

  fileprivate init(name: String) {
    self.name = name
  }

  subscript(name: String) -> XMLNode? { children.first { $0.name == name } }

  /// The first element of the name below this one, at any depth, in the order of the text.
  func descendant(_ name: String) -> XMLNode? {
    for child in children {
      if child.name == name { return child }
      if let found = child.descendant(name) { return found }
    }
    return nil
  }

  private struct Reader {
    var rest: ArraySlice<UInt8>
    var count = 0

    /// The declaration, comments, processing instructions and white space between elements.
    mutating func skipMisc() throws(Invalid) {
      if rest.starts(with: [0xef, 0xbb, 0xbf]) { rest = rest.dropFirst(3) }
      while true {
        rest = rest.drop { Self.isSpace($0) }
        if rest.starts(with: "<?".utf8) {
          try skip(past: "?>")
        } else if rest.starts(with: "<!--".utf8) {
          try skip(past: "-->")
        } else {
          return
        }
      }
    }

    mutating func element(depth: Int) throws(Invalid) -> XMLNode {
      count += 1
      guard depth < XMLNode.maximumDepth, count <= XMLNode.maximumCount, rest.popFirst() == UInt8(ascii: "<") else {
        throw Invalid()
      }
      let qualified = try name()
      var node = XMLNode(name: String(qualified.split(separator: ":").last ?? ""))
      guard try !skipAttributes() else { return node }
      var text: [UInt8] = []
      while true {
        guard let next = rest.first else { throw Invalid() }
        if next != UInt8(ascii: "<") {
          let run = rest.prefix { $0 != UInt8(ascii: "<") }
          text += try Self.unescaped(run)
          rest = rest.dropFirst(run.count)
        } else if rest.starts(with: "</".utf8) {
          rest = rest.dropFirst(2)
          guard try name() == qualified else { throw Invalid() }
          rest = rest.drop { Self.isSpace($0) }
          guard rest.popFirst() == UInt8(ascii: ">") else { throw Invalid() }
          node.text = try Self.trimmed(text)
          return node
        } else if rest.starts(with: "<![CDATA[".utf8) {
          rest = rest.dropFirst(9)
          let begin = rest
          try skip(past: "]]>")
          text += begin.prefix(begin.count - rest.count - 3)
        } else if rest.starts(with: "<!--".utf8) || rest.starts(with: "<?".utf8) {
          try skip(past: rest.starts(with: "<?".utf8) ? "?>" : "-->")
        } else {
          node.children.append(try element(depth: depth + 1))
        }
      }
    }

    private mutating func name() throws(Invalid) -> String {
      let bytes = rest.prefix { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: ":"), UInt8(ascii: "_"), UInt8(ascii: "-"),
          UInt8(ascii: "."):
          true
        default: false
        }
      }
      guard !bytes.isEmpty, bytes.count <= 100 else { throw Invalid() }
      rest = rest.dropFirst(bytes.count)
      return String(decoding: bytes, as: UTF8.self)
    }

    /// Up to the end of the tag. Whether that ends the element as well.
    private mutating func skipAttributes() throws(Invalid) -> Bool {
      var quote: UInt8?
      while let byte = rest.popFirst() {
        if let open = quote {
          if byte == open { quote = nil }
        } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
          quote = byte
        } else if byte == UInt8(ascii: ">") {
          return false
        } else if byte == UInt8(ascii: "/") {
          guard rest.popFirst() == UInt8(ascii: ">") else { throw Invalid() }
          return true
        } else if byte == UInt8(ascii: "<") {
          throw Invalid()
        }
      }
      throw Invalid()
    }

    private mutating func skip(past end: StaticString) throws(Invalid) {
      let end = end.withUTF8Buffer { Array($0) }
      while !rest.isEmpty {
        if rest.starts(with: end) {
          rest = rest.dropFirst(end.count)
          return
        }
        rest = rest.dropFirst()
      }
      throw Invalid()
    }

    private static func unescaped(_ run: ArraySlice<UInt8>) throws(Invalid) -> [UInt8] {
      guard run.contains(UInt8(ascii: "&")) else { return Array(run) }
      var result: [UInt8] = []
      var rest = run
      while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "&") else {
          result.append(byte)
          continue
        }
        let entity = rest.prefix { $0 != UInt8(ascii: ";") }
        let known = ["lt": "<", "gt": ">", "amp": "&", "quot": "\"", "apos": "'"]
        guard entity.count < rest.count, let text = known[String(decoding: entity, as: UTF8.self)] else {
          throw Invalid()
        }
        result += text.utf8
        rest = rest.dropFirst(entity.count + 1)
      }
      return result
    }

    private static func trimmed(_ bytes: [UInt8]) throws(Invalid) -> String {
      let start = bytes.drop { isSpace($0) }
      guard let text = String(validating: start.reversed().drop { isSpace($0) }.reversed(), as: UTF8.self) else {
        throw Invalid()
      }
      return text
    }

    private static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0a, 0x0d].contains(byte) }
  }
}
