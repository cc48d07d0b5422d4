/// A URL as the WHATWG URL standard takes it apart, of printable ASCII without query and fragment. There is no base
/// URL: a text without a scheme is none.
///
///     scheme ":" opaque path                                             urn:a:b
///     scheme ":" "//" [userinfo "@"] host [":" port] *("/" segment)      https://example.com/a/b
///     scheme ":" *("/" segment)                                          foo:/a/b
struct ParsedURL {
  private enum Path {
    case opaque([UInt8])
    case segments([[UInt8]])
  }

  private let scheme: URLScheme
  /// Percent-encoded.
  private var username: [UInt8] = []
  private var password: [UInt8] = []
  /// Empty in `file:///x` and `foo:///x`; `nil` where no `//` announced one.
  private var host: String?
  /// `nil` for the scheme's own.
  private var port: Int?
  private var path = Path.segments([])

  /// WHATWG URL 4.4 (URL parsing). `nil` for what the standard calls a failure.
  init?(_ text: ArraySlice<UInt8>) {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")), Self.isScheme(text[..<colon]) else { return nil }
    scheme = URLScheme(text[..<colon])
    let rest = text[(colon + 1)...]
    if scheme.isFile {
      guard readFile(rest) else { return nil }
    } else if scheme.isSpecial {
      guard readAuthorityAndPath(rest.drop(while: scheme.isSlash)) else { return nil }
    } else if rest.starts(with: "//".utf8) {
      guard readAuthorityAndPath(rest.dropFirst(2)) else { return nil }
    } else if rest.first == UInt8(ascii: "/") {
      path = .segments(segments(rest))
    } else {
      // Printable ASCII is outside the C0 control percent-encode set.
      path = .opaque(Array(rest))
    }
  }

  /// A letter, then letters, digits, `+`, `-` and `.`.
  static func isScheme(_ text: ArraySlice<UInt8>) -> Bool {
    guard let first = text.first, isLetter(first) else { return false }
    return text.allSatisfy { RecordID.isPlain($0) || "+-.".utf8.contains($0) }
  }

  private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }

  /// WHATWG URL 4.5 (URL serializing).
  var serialized: [UInt8] {
    var text = Array(scheme.name.utf8) + ":".utf8
    if let host {
      text += "//".utf8
      text += username
      if !password.isEmpty { text += ":".utf8 + password }
      if !username.isEmpty || !password.isEmpty { text += "@".utf8 }
      text += host.utf8
      if let port { text += ":\(port)".utf8 }
    }
    switch path {
    case .opaque(let path): text += path
    case .segments(let segments):
      // Two slashes would announce a host.
      if host == nil, segments.count > 1, segments[0].isEmpty { text += "/.".utf8 }
      for segment in segments { text += "/".utf8 + segment }
    }
    return text
  }
}

// MARK: - Authority

extension ParsedURL {
  private mutating func readAuthorityAndPath(_ text: ArraySlice<UInt8>) -> Bool {
    let end = text.firstIndex(where: scheme.isSlash) ?? text.endIndex
    guard readAuthority(text[..<end]) else { return false }
    path = .segments(segments(text[end...]))
    return true
  }

  /// The authority state and the host state. The last `@` ends the userinfo, and its first `:` the user's name.
  private mutating func readAuthority(_ text: ArraySlice<UInt8>) -> Bool {
    var address = text
    if let at = text.lastIndex(of: UInt8(ascii: "@")) {
      let userinfo = text[..<at]
      let colon = userinfo.firstIndex(of: UInt8(ascii: ":")) ?? at
      username = Self.encoded(userinfo[..<colon], Self.userinfoEncoded)
      password = Self.encoded(userinfo[colon...].dropFirst(), Self.userinfoEncoded)
      address = text[(at + 1)...]
      guard !address.isEmpty else { return false }
    }
    let name: ArraySlice<UInt8>
    if let colon = Self.portColon(address) {
      name = address[..<colon]
      guard !name.isEmpty, readPort(address[(colon + 1)...]) else { return false }
    } else {
      name = address
    }
    guard !name.isEmpty || !scheme.isSpecial else { return false }
    host = URLHost.parse(name, isSpecial: scheme.isSpecial)
    return host != nil
  }

  /// The first colon outside of square brackets.
  private static func portColon(_ text: ArraySlice<UInt8>) -> Int? {
    var isInBrackets = false
    for (index, byte) in zip(text.indices, text) {
      switch byte {
      case UInt8(ascii: "["): isInBrackets = true
      case UInt8(ascii: "]"): isInBrackets = false
      case UInt8(ascii: ":") where !isInBrackets: return index
      default: break
      }
    }
    return nil
  }

  /// The port state: digits, or nothing at all.
  private mutating func readPort(_ text: ArraySlice<UInt8>) -> Bool {
    var number = 0
    for byte in text {
      guard let digit = URLHost.digit(byte, radix: 10) else { return false }
      number = number * 10 + digit
      guard number <= 65535 else { return false }
    }
    port = text.isEmpty || number == scheme.defaultPort ? nil : number
    return true
  }
}

// MARK: - Path

extension ParsedURL {
  /// The path start state and the path state.
  private func segments(_ text: ArraySlice<UInt8>) -> [[UInt8]] {
    guard !text.isEmpty || scheme.isSpecial else { return [] }
    let startsWithSlash = text.first.map(scheme.isSlash) ?? false
    let rest = startsWithSlash ? text.dropFirst() : text
    var segments: [[UInt8]] = []
    var endsInDots = false
    for segment in rest.split(omittingEmptySubsequences: false, whereSeparator: scheme.isSlash) {
      let dots = Self.dots(segment)
      endsInDots = dots != nil
      if dots == 2 { removeLast(of: &segments) }
      guard dots == nil else { continue }
      var segment = Self.encoded(segment, Self.pathEncoded)
      if scheme.isFile, segments.isEmpty, Self.isDriveLetter(segment[...]) { segment[1] = UInt8(ascii: ":") }
      segments.append(segment)
    }
    if endsInDots { segments.append([]) }
    return segments
  }

  /// 1 for a single-dot URL path segment, 2 for a double-dot one. `%2e` is a dot.
  private static func dots(_ segment: ArraySlice<UInt8>) -> Int? {
    var count = 0
    var rest = segment
    while let first = rest.first {
      if first == UInt8(ascii: ".") {
        rest = rest.dropFirst()
      } else if rest.starts(with: "%2e".utf8) || rest.starts(with: "%2E".utf8) {
        rest = rest.dropFirst(3)
      } else {
        return nil
      }
      count += 1
      guard count <= 2 else { return nil }
    }
    return count == 0 ? nil : count
  }

  /// To shorten a path (WHATWG URL 4.2). A drive of `file:` stays.
  private func removeLast(of segments: inout [[UInt8]]) {
    if scheme.isFile, segments.count == 1, Self.isDriveLetter(segments[0][...]), segments[0][1] == UInt8(ascii: ":") {
      return
    }
    _ = segments.popLast()
  }

  /// A letter and `:` or `|`.
  private static func isDriveLetter(_ text: ArraySlice<UInt8>) -> Bool {
    guard text.count == 2, let first = text.first, let last = text.last else { return false }
    return isLetter(first) && (last == UInt8(ascii: ":") || last == UInt8(ascii: "|"))
  }

  /// The file state, the file slash state and the file host state.
  private mutating func readFile(_ text: ArraySlice<UInt8>) -> Bool {
    host = ""
    guard text.count >= 2, text.prefix(2).allSatisfy(scheme.isSlash) else {
      path = .segments(segments(text))
      return true
    }
    let rest = text.dropFirst(2)
    let end = rest.firstIndex(where: scheme.isSlash) ?? rest.endIndex
    let name = rest[..<end]
    if Self.isDriveLetter(name) {
      path = .segments(segments(rest))
      return true
    }
    path = .segments(segments(rest[end...]))
    guard !name.isEmpty else { return true }
    guard let parsed = URLHost.parse(name, isSpecial: true) else { return false }
    host = parsed == "localhost" ? "" : parsed
    return true
  }
}

// MARK: - Percent-encoding

extension ParsedURL {
  /// Those of the path percent-encode set that are printable (WHATWG URL 1.3).
  private static let pathEncoded = Set("\"#<>?^`{}".utf8)
  /// Those of the userinfo percent-encode set that are printable.
  private static let userinfoEncoded = pathEncoded.union("/:;=@[\\]|".utf8)

  private static let digits = Array("0123456789ABCDEF".utf8)

  private static func encoded(_ text: ArraySlice<UInt8>, _ set: Set<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    for byte in text {
      if set.contains(byte) {
        result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      } else {
        result.append(byte)
      }
    }
    return result
  }
}

/// A scheme in lower case. The special ones (WHATWG URL 4.2) have a host that is a domain, and take `\` for `/`.
private struct URLScheme {
  let name: String
  let isSpecial: Bool
  let defaultPort: Int?

  init(_ text: ArraySlice<UInt8>) {
    name = String(decoding: text, as: UTF8.self).lowercased()
    switch name {
    case "http", "ws": defaultPort = 80
    case "https", "wss": defaultPort = 443
    case "ftp": defaultPort = 21
    default: defaultPort = nil
    }
    isSpecial = defaultPort != nil || name == "file"
  }

  var isFile: Bool { name == "file" }

  func isSlash(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "/") || isSpecial && byte == UInt8(ascii: "\\") }
}
