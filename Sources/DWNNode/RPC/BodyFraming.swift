import Wire

/// A request in the body alone (dwn-server 11.1, body framing version 1).
///
/// | bytes | content |
/// | --- | --- |
/// | 1 | flags: 0x01 data follows, all others zero |
/// | 4 | length of the JSON, big-endian |
/// | n | JSON-RPC, UTF-8 |
/// | rest | the data |
struct BodyFraming: Hashable, Sendable {
  static let mediaType = "application/vnd.enbox.dwn-rpc"
  /// As `/info` names it.
  static let name = "body-v1"
  static let headerLength = 5
  static let largestJSON = 1 << 20

  var hasData: Bool
  var jsonLength: Int

  /// `nil` when it is not this framing.
  init?(header: some Collection<UInt8>) {
    let bytes = Array(header.prefix(Self.headerLength))
    guard bytes.count == Self.headerLength, bytes[0] & ~0x01 == 0 else { return nil }
    let length = bytes[1...].reduce(0) { $0 << 8 | Int($1) }
    guard (1...Self.largestJSON).contains(length) else { return nil }
    hasData = bytes[0] == 0x01
    jsonLength = length
  }

  /// Whether a content type names this framing: the media type with `version=1`.
  static func isNamed(by contentType: String) -> Bool {
    let parts = contentType.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
    return parts.first == mediaType && parts.dropFirst().contains { $0 == "version=1" || $0 == "version=\"1\"" }
  }
}
