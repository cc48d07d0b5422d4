/// A path in the protocol where it is written, or, as `alias:path`, in another one that the protocol uses.
public struct PathReference: Hashable, Sendable, CustomStringConvertible {
  /// `nil` for the protocol itself.
  public let alias: String?
  public let path: ProtocolPath

  public init(_ path: ProtocolPath, alias: String? = nil) {
    self.alias = alias
    self.path = path
  }

  /// `nil` unless it is a path of records, and before it at most an alias of the right form.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let last = parts.last, let path = ProtocolPath(last), !path.isControl else { return nil }
    let alias = parts.count == 2 ? String(parts[0]) : nil
    guard alias.map(Self.isAlias) ?? true else { return nil }
    self.init(path, alias: alias)
  }

  /// A letter, then letters, digits, `_` and `-`.
  static func isAlias(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.count <= 64, isLetter(first) else { return false }
    return text.utf8.allSatisfy { isLetter($0) || (0x30...0x39).contains($0) || $0 == 0x5f || $0 == 0x2d }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }

  public var description: String { alias.map { "\($0):\(path)" } ?? path.text }
}
