import NIOCore
import Wire

/// Who sends, as far as the network tells.
struct Caller: Hashable, Sendable, CustomStringConvertible {
  /// `nil` for what has no address, such as a socket of Unix.
  let address: IPAddress?
  /// Whether a proxy spoke for it, as far as a proxy says so: then it is no program on this machine, whatever its address.
  let isForwarded: Bool

  init(_ address: IPAddress?) {
    self.address = address?.unmapped
    isForwarded = false
  }

  /// The other end of a connection. When that is a proxy that is trusted, whom the last entry of `X-Forwarded-For` names that is no
  /// such proxy itself; what stands before it could be anybody's invention. Clients whom a proxy names in no way that can be read, or
  /// that is believed, have the proxy's address, all of them.
  init(
    remote: NIOCore.SocketAddress?, forwardedFor: [String] = [], isForwarded: Bool = false,
    trusting proxies: [IPPrefix] = []
  ) {
    var address = remote?.ipAddress.flatMap { IPAddress($0)?.unmapped }
    var hops = forwardedFor.joined(separator: ",").split(separator: ",").map { $0.filter { $0 != " " && $0 != "\t" } }
    while let current = address, proxies.contains(where: { $0.contains(current) }), let hop = hops.popLast() {
      guard let next = Self.address(of: hop) else { break }
      address = next
    }
    self.address = address
    self.isForwarded = isForwarded || !forwardedFor.isEmpty
  }

  /// An address, an IPv6 address in brackets, or one of them with a port.
  private static func address(of hop: String) -> IPAddress? {
    if hop.hasPrefix("[") { return IPAddress(hop.dropFirst().prefix { $0 != "]" })?.unmapped }
    let isV4WithPort = hop.contains(".") && hop.count { $0 == ":" } == 1
    return IPAddress(isV4WithPort ? hop.prefix { $0 != ":" } : hop[...])?.unmapped
  }

  /// Whom a bound holds for: an IPv4 address or an IPv6 /64, which one machine usually has to itself. `nil` for this machine.
  var network: UInt128? { block(v4: 32, v6: 64) }

  /// What one customer usually has: an IPv4 /24 or an IPv6 /48.
  var site: UInt128? { block(v4: 24, v6: 48) }

  private func block(v4: Int, v6: Int) -> UInt128? {
    guard let address, isForwarded || !address.isLoopback else { return nil }
    return address.family == .v4 ? address.value >> UInt128(32 - v4) : (address.value >> UInt128(128 - v6)) << 64
  }

  var description: String { address?.description ?? "local" }
}
