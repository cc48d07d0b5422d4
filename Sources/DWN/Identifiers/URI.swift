/// Protocol and schema URIs, which are compared as text and must therefore be in one spelling.
public enum URI {
  /// Bounded, printable ASCII.
  static func isPlausible(_ text: String) -> Bool {
    (1...1024).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
  }

  /// The one spelling: lower-case scheme and host, no query, no fragment, no trailing slash, `http://` where there was no scheme.
  /// `nil` if the text cannot be a URL.
  public static func normalized(_ text: String) -> String? {
    guard isPlausible(text) else { return nil }
    var rest = text[...]
    if let cut = rest.firstIndex(where: { $0 == "?" || $0 == "#" }) { rest = rest[..<cut] }
    var scheme = "http"
    if let colon = rest.firstIndex(of: ":"), Self.isScheme(rest[..<colon]), rest.index(after: colon) < rest.endIndex {
      let after = rest[rest.index(after: colon)...]
      if after.hasPrefix("//") || !after.allSatisfy({ $0.isNumber || $0 == "/" }) {
        scheme = rest[..<colon].lowercased()
        guard after.hasPrefix("//") else { return scheme + ":" + after }
        rest = after.dropFirst(2)
      }
    }
    let host = rest.prefix { $0 != "/" }
    guard !host.isEmpty else { return nil }
    var result = scheme + "://" + host.lowercased() + rest.dropFirst(host.count)
    if result.hasSuffix("/") { result.removeLast() }
    return result
  }

  public static func isNormalized(_ text: String) -> Bool { normalized(text) == text }

  private static func isScheme(_ text: Substring) -> Bool {
    text.first.map { $0.isASCII && $0.isLetter } ?? false
      && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "+" || $0 == "-" || $0 == ".") }
  }
}
