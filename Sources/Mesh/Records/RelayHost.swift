public import Wire

/// What stands before the port in a relay's URL.
public enum RelayHost: Hashable, Sendable, CustomStringConvertible {
  /// A DNS name, in the spelling of the record.
  case name(String)
  case address(IPAddress)

  /// A name of letters, digits, hyphens and dots, or a literal address without brackets.
  public init?(_ text: some StringProtocol) {
    if let address = IPAddress(text) {
      self = .address(address)
      return
    }
    let labels = String(text).split(separator: ".", omittingEmptySubsequences: false)
    guard text.utf8.count <= 253, labels.allSatisfy(Self.isLabel), labels.last.map({ Int($0) == nil }) ?? false else {
      return nil
    }
    self = .name(String(text))
  }

  /// `HOST:PORT`, an IPv6 address in brackets. `nil` for anything else.
  public static func split(_ text: Substring) -> (host: RelayHost, port: UInt16)? {
    if let address = SocketAddress(text), address.port != 0 { return (.address(address.ip), address.port) }
    guard let colon = text.lastIndex(of: ":"), case .name(let name)? = RelayHost(text[..<colon]) else { return nil }
    let digits = text[text.index(after: colon)...]
    guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let port = UInt16(digits), port != 0
    else { return nil }
    return (.name(name), port)
  }

  public var isAddress: Bool { if case .address = self { true } else { false } }

  /// Without brackets.
  public var text: String {
    switch self {
    case .name(let name): name
    case .address(let address): address.description
    }
  }

  /// As it stands in a URL.
  public var description: String {
    if case .address(let address) = self, address.family == .v6 { "[\(address)]" } else { text }
  }

  private static func isLabel(_ label: Substring) -> Bool {
    (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
      && label.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
          || byte == UInt8(ascii: "-")
      }
  }
}
