import NIOCore

/// The head of an HTTP request, as far as a relay looks at it.
struct UpgradeRequest: Hashable {
  static let longestHead = 8 << 10

  let method: String
  let path: String
  /// Names in lower case; of several with one name the last.
  let headers: [String: String]

  /// `nil` until the whole head is there. Throws `badRequest` if there will never be one.
  static func read(_ input: inout ByteBuffer) throws(DERPError) -> UpgradeRequest? {
    let view = input.readableBytesView
    guard let end = view.prefix(longestHead).firstRange(of: Array("\r\n\r\n".utf8)) else {
      guard view.count < longestHead else { throw .badRequest("a head without end") }
      return nil
    }
    let text = String(decoding: view[..<end.lowerBound], as: UTF8.self)
    input.moveReaderIndex(to: end.upperBound)
    let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
    let words = lines[0].split(separator: " ")
    guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { throw .badRequest("no HTTP request") }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { throw .badRequest("no HTTP request") }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      headers[line[..<colon].lowercased()] = String(value)
    }
    return UpgradeRequest(
      method: String(words[0]), path: String(words[1].prefix { $0 != "?" && $0 != "#" }), headers: headers)
  }

  /// Whether the client asks for a relay connection. Very old ones say `websocket` and mean this all the same.
  var wantsRelay: Bool {
    guard method == "GET", path == "/derp" else { return false }
    let wanted = headers["upgrade"]?.lowercased()
    return wanted == "derp"
      || (wanted == "websocket" && headers["sec-websocket-protocol"]?.lowercased().contains("derp") != true)
  }

  /// The client has the relay's key already, and no answer is sent.
  var isFastStart: Bool { headers["derp-fast-start"] == "1" }

  /// Where clients measure how far the relay is.
  var isProbe: Bool { path == "/derp/probe" || path == "/derp/latency-check" }
}
