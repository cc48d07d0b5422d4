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
    guard text.utf8.count <= 600 else { return nil }
    let segments = text.split(separator: "/", omittingEmptySubsequences: false)
    guard segments.allSatisfy({ (1...64).contains($0.utf8.count) && $0.utf8.allSatisfy(RecordID.isPlain) }) else {
      return nil
    }
    self.text = String(text)
  }

  public init(root: RecordID) { text = root.text }

  public init(_ parent: ContextID, _ record: RecordID) { text = parent.text + "/" + record.text }

  public var segments: [RecordID] { text.split(separator: "/").compactMap { RecordID($0) } }
  public var depth: Int { text.utf8.count { $0 == 0x2f } + 1 }

  /// The last segment: the record itself.
  public var record: RecordID { segments[depth - 1] }

  public var root: RecordID { segments[0] }

  /// `nil` for a root.
  public var parent: ContextID? {
    text.lastIndex(of: "/").flatMap { ContextID(text[..<$0]) }
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
    if text != "$encryption/audience", text != "$encryption/delivery" {
      let segments = text.split(separator: "/", omittingEmptySubsequences: false)
      guard (1...10).contains(segments.count), text.utf8.count <= 600,
        segments.allSatisfy({ segment in
          !segment.isEmpty && segment.utf8.allSatisfy { (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) }
        })
      else { return nil }
    }
    self.text = String(text)
  }

  public init(stringLiteral text: StaticString) {
    self.init(text.description)!
  }

  public var segments: [String] { text.split(separator: "/").map(String.init) }
  public var depth: Int { text.utf8.count { $0 == 0x2f } + 1 }
  public var typeName: String { segments[depth - 1] }
  public var parent: ProtocolPath? { text.lastIndex(of: "/").flatMap { ProtocolPath(text[..<$0]) } }
  public var isControl: Bool { text.hasPrefix("$") }

  public static func < (a: ProtocolPath, b: ProtocolPath) -> Bool { a.text < b.text }
  public var description: String { text }
}
