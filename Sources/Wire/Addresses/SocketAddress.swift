/// An address and a UDP or TCP port.
public struct SocketAddress: Hashable, Sendable {
  public var ip: IPAddress
  public var port: UInt16

  public init(_ ip: IPAddress, port: UInt16) {
    self.ip = ip
    self.port = port
  }

  /// `192.0.2.1:51820` or `[2001:db8::1]:51820`. Names are not resolved, and an IPv6 address needs its brackets.
  public init?(_ text: some StringProtocol) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let port = UInt16(digits)
    else { return nil }
    var host = text[..<colon]
    if host.first == "[" {
      guard host.last == "]" else { return nil }
      host = host.dropFirst().dropLast()
      guard let ip = IPAddress(host), ip.family == .v6 else { return nil }
      self.init(ip, port: port)
    } else {
      guard let ip = IPAddress(host), ip.family == .v4 else { return nil }
      self.init(ip, port: port)
    }
  }
}

extension SocketAddress: Comparable {
  public static func < (a: SocketAddress, b: SocketAddress) -> Bool {
    a.ip == b.ip ? a.port < b.port : a.ip < b.ip
  }
}

extension SocketAddress: CustomStringConvertible {
  public var description: String { ip.family == .v4 ? "\(ip):\(port)" : "[\(ip)]:\(port)" }
}
