public import Wire

/// Which addresses may be an endpoint at all: never one at which only this host, its link, or the mesh itself answers. Nothing else
/// is published, probed, or sent to.
public struct EndpointHygiene: Hashable, Sendable {
  /// The blocks of the mesh: an endpoint inside them would carry the tunnel through itself.
  public var meshPrefixes: [IPPrefix]

  /// What this host's own network adds.
  public var host: HostBounds

  public init(meshPrefixes: [IPPrefix], host: HostBounds = HostBounds()) {
    self.meshPrefixes = meshPrefixes
    self.host = host
  }

  /// The address with an IPv4-mapped one unmapped; `nil` if nothing may be sent there.
  public func checked(_ address: SocketAddress) -> SocketAddress? {
    let ip = address.ip.unmapped
    guard address.port != 0, !ip.isUnspecified, !ip.isLoopback, !ip.isLinkLocal, !ip.isMulticast,
      ip != IPAddress(v4: .max), !(ip.family == .v4 && ip.value >> 24 == 0),
      !meshPrefixes.contains(where: { $0.contains(ip) }), !host.rulesOut(ip)
    else { return nil }
    return SocketAddress(ip, port: address.port)
  }

  /// Those that pass, each once, in their order.
  public func filter(_ addresses: some Sequence<SocketAddress>, limit: Int) -> [SocketAddress] {
    var seen: Set<SocketAddress> = []
    var result: [SocketAddress] = []
    for case let address? in addresses.lazy.map({ checked($0) }) where seen.insert(address).inserted {
      guard result.count < limit else { break }
      result.append(address)
    }
    return result
  }
}
