import Netmap
import Wire

/// Where this machine can be reached, as far as it can see by itself.
enum LocalEndpoints {
  /// What an endpoint record has room for.
  static let maximumPublic = 8
  static let maximumPrivate = 12

  /// Every address of the host, with the UDP port, but loopback, link-local and what lies inside a mesh or on a TUN.
  ///
  /// Public IPv4 first, then public IPv6, stable before temporary, then private addresses of links with a default route, then
  /// the rest, bridges of this host's guests last; within these, by number.
  static func list(
    _ host: HostNetwork, meshPrefixes: [IPPrefix], port: UInt16, hasIPv4: Bool = true, hasIPv6: Bool = true
  ) -> [SocketAddress] {
    func rank(_ address: HostNetwork.Address) -> Int {
      if address.ip.isPrivate {
        return host.defaultRoutes.contains(address.link) ? 3 : host.isForGuests(address.link) ? 5 : 4
      }
      if address.ip.family == .v4 { return 0 }
      return address.isTemporary ? 2 : 1
    }
    let hygiene = EndpointHygiene(meshPrefixes: meshPrefixes)
    let candidates = host.addresses.filter { address in
      guard let link = host.links[address.link], link.isUp, !link.isLoopback, !link.isTunnel, !address.isUnsettled
      else { return false }
      return (address.ip.family == .v4 ? hasIPv4 : hasIPv6)
        && hygiene.checked(SocketAddress(address.ip, port: port)) != nil
    }
    var seen: Set<IPAddress> = []
    var room = (public: maximumPublic, private: maximumPrivate)
    return candidates.sorted { (rank($0), $0.ip) < (rank($1), $1.ip) }.compactMap { address in
      guard seen.insert(address.ip).inserted else { return nil }
      if address.ip.isPrivate {
        room.private -= 1
        guard room.private >= 0 else { return nil }
      } else {
        room.public -= 1
        guard room.public >= 0 else { return nil }
      }
      return SocketAddress(address.ip, port: port)
    }
  }
}
