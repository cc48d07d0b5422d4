import Wire
import WireGuard

/// The address that stands for a peer where WireGuard wants one, whatever way packets to it take: inside 100::/64, which leads nowhere
/// (RFC 6666), with the peer's number in its low bits. It is in no datagram.
enum PseudoAddress {
  private static let high: UInt128 = 0x0100_0000_0000_0000 << 64
  private static let port: UInt16 = 1

  static func of(_ peer: PeerID) -> SocketAddress {
    SocketAddress(IPAddress(v6: high | UInt128(peer.number)), port: port)
  }

  /// The peer that the address stands for; `nil` if it is a real one.
  static func peer(_ address: SocketAddress) -> PeerID? {
    guard isPseudo(address.ip), let number = UInt32(exactly: address.ip.value & UInt128(UInt64.max)) else { return nil }
    return PeerID(number)
  }

  static func isPseudo(_ ip: IPAddress) -> Bool { ip.family == .v6 && ip.value >> 64 == high >> 64 }
}
