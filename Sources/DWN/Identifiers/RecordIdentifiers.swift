/// The id of a record: the CID of its initial descriptor together with its author.
public struct RecordID: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let text: String

  /// Letters, digits and hyphens, at most 64.
  public init?(_ text: some StringProtocol) {
    guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy({ Self.isPlain($0) || $0 == 0x2d }) else {
      return nil
    }
    self.text = String(text)
  }

  public init(_ cid: CID) { text = cid.text }

  /// Of a context id, which has no other segments.
  fileprivate init(segment: Substring) { text = String(segment) }

  static func isPlain(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }

  public static func < (a: RecordID, b: RecordID) -> Bool { a.text < b.text }
  public var description: String { text }
}

/// Where a record stands in its tree: the ids from the root down to itself.
public struct ContextID: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let text: String

  /// Segments of letters and digits joined by `/`, at most 600 characters.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count <= 600, Self.hasGoodSegments(Array(text.utf8)) else { return nil }
    self.text = String(text)
  }

  private static func hasGoodSegments(_ text: [UInt8]) -> Bool {
    var length = 0
    for byte in text {
      if byte == separator {
        guard length > 0 else { return false }
        length = 0
      } else {
        guard length < 64, RecordID.isPlain(byte) else { return false }
        length += 1
      }
    }
    return length > 0
  }

  private static let separator = UInt8(ascii: "/")

  public init(root: RecordID) { text = root.text }

  public init(_ parent: ContextID, _ record: RecordID) { text = parent.text + "/" + record.text }

  public var segments: [RecordID] {
    text.utf8.split(separator: Self.separator).map { RecordID(segment: Substring($0)) }
  }
  public var depth: Int { text.utf8.count { $0 == Self.separator } + 1 }

  /// The last segment: the record itself.
  public var record: RecordID {
    let start = text.utf8.lastIndex(of: Self.separator).map(text.utf8.index(after:)) ?? text.startIndex
    return RecordID(segment: text[start...])
  }

  public var root: RecordID {
    RecordID(segment: text[..<(text.utf8.firstIndex(of: Self.separator) ?? text.endIndex)])
  }

  /// `nil` for a root.
  public var parent: ContextID? {
    text.utf8.lastIndex(of: Self.separator).flatMap { ContextID(text[..<$0]) }
  }

  /// The first `count` segments; `nil` when there are fewer or none is asked for.
  public func prefix(_ count: Int) -> ContextID? {
    let segments = segments
    guard count > 0, count <= segments.count else { return nil }
    return ContextID(segments.prefix(count).map(\.text).joined(separator: "/"))
  }

  /// Whether `other` is this record or lies below it.
  public func contains(_ other: ContextID) -> Bool {
    other.text == text || other.text.hasPrefix(text + "/")
  }

  public static func < (a: ContextID, b: ContextID) -> Bool { a.text < b.text }
  public var description: String { text }
}

/// The place of a record type in a protocol's structure: type names joined by `/`.
public struct ProtocolPath: Hashable, Sendable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
  public let text: String

  /// Names of letters joined by `/`, at most ten; or one of the two control paths under `$encryption`.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count <= 600,
      Self.isOfTypes(Array(text.utf8)) || text == "$encryption/audience"
        || text == "$encryption/delivery"
    else { return nil }
    self.text = String(text)
  }

  private static func isOfTypes(_ text: [UInt8]) -> Bool {
    var depth = 1
    var isEmpty = true
    for byte in text {
      if byte == separator {
        guard !isEmpty, depth < 10 else { return false }
        depth += 1
        isEmpty = true
      } else {
        guard (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) else { return false }
        isEmpty = false
      }
    }
    return !isEmpty
  }

  private static let separator = UInt8(ascii: "/")

  public init(stringLiteral text: StaticString) {
    self.init(text.description)!
  }

  public var segments: [String] { text.utf8.split(separator: Self.separator).map { String(Substring($0)) } }
  public var depth: Int { text.utf8.count { $0 == Self.separator } + 1 }
  public var typeName: String {
    let start = text.utf8.lastIndex(of: Self.separator).map(text.utf8.index(after:)) ?? text.startIndex
    return String(text[start...])
  }
  public var parent: ProtocolPath? {
    text.utf8.lastIndex(of: Self.separator).flatMap { ProtocolPath(text[..<$0]) }
  }
  public var isControl: Bool { text.hasPrefix("$") }

  public static func < (a: ProtocolPath, b: ProtocolPath) -> Bool { a.text < b.text }
  public var description: String { text }
}
