/// Protocol and schema URIs, which are compared as text and must therefore be in one spelling.
public enum URI {
  /// Bounded, printable ASCII.
  static func isPlausible(_ text: String) -> Bool {
    (1...1024).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
  }

  /// The one spelling: the text as the WHATWG URL standard writes it, without query and fragment and without one `/` at
  /// the end; `http://` comes in front where there was no scheme. `nil` if the text cannot be a URL.
  public static func normalized(_ text: String) -> String? {
    guard isPlausible(text) else { return nil }
    var bytes = Array(text.utf8)
    if !startsWithScheme(bytes) { bytes = Array("http://".utf8) + bytes }
    // Both end whatever part they stand in, so the rest is parsed as if they had never been there.
    let end = bytes.firstIndex { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") } ?? bytes.endIndex
    guard let url = ParsedURL(bytes[..<end]) else { return nil }
    var result = url.serialized
    if result.last == UInt8(ascii: "/") { result.removeLast() }
    return String(decoding: result, as: UTF8.self)
  }

  public static func isNormalized(_ text: String) -> Bool { normalized(text) == text }

  /// `scheme:`, perhaps `//`, then something other than a slash. What only has a port, as `localhost:8080`, counts too.
  private static func startsWithScheme(_ text: [UInt8]) -> Bool {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")), ParsedURL.isScheme(text[..<colon]) else { return false }
    var rest = text[(colon + 1)...]
    if rest.starts(with: "//".utf8) { rest = rest.dropFirst(2) }
    return rest.first.map { $0 != UInt8(ascii: "/") } ?? false
  }
}
