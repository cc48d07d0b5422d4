#if canImport(Glibc)
  import Glibc
#endif
import NIOCore
import Wire

/// Why an address cannot be listened on, in words for people.
enum ListenFailure {
  static func describe(_ error: any Error, address: Wire.SocketAddress) -> NodeError {
    let text = address.description
    guard let error = error as? IOError else { return .cannotListen(address: text, reason: "\(error)") }
    switch error.errnoCode {
    case EADDRINUSE: return .addressInUse(address: text)
    case EADDRNOTAVAIL: return .addressNotHere(address: text)
    case EACCES, EPERM: return .portNeedsPermission(address: text)
    case EAFNOSUPPORT: return .familyMissing(address: text)
    default: return .cannotListen(address: text, reason: String(cString: strerror(error.errnoCode)).lowercased())
    }
  }
}

extension ChannelOption where Self == ChannelOptions.Types.SocketOption {
  /// An IPv6 socket that leaves IPv4 alone.
  static var ipv6Only: Self {
    .init(level: .ipv6, name: .init(rawValue: IPV6_V6ONLY))
  }
}
