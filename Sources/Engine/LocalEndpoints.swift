import Wire

/// Where this machine can be reached, as far as it can see by itself.
enum LocalEndpoints {
  /// What an endpoint record has room for.
  static let maximumPublic = 8
  static let maximumPrivate = 12

  /// Every address of the host, with the UDP port, but loopback, link-local and what lies inside a mesh or on a TUN.
  ///
  /// Public IPv4 first, then public IPv6, stable before temporary, then private addresses of links with a default route, then
  /// the rest; within these, by number.
  static func list(
    _ host: HostNetwork, meshPrefixes: [IPPrefix], port: UInt16, hasIPv4: Bool = true, hasIPv6: Bool = true
  ) -> [SocketAddress] {
    func rank(_ address: HostNetwork.Address) -> Int {
      if address.ip.isPrivate { return host.defaultRoutes.contains(address.link) ? 3 : 4 }
      if address.ip.family == .v4 { return 0 }
      return address.isTemporary ? 2 : 1
    }
    let candidates = host.addresses.filter { address in
      guard let link = host.links[address.link], link.isUp, !link.isLoopback, !link.isTunnel, !address.isUnsettled
      else { return false }
      return (address.ip.family == .v4 ? hasIPv4 : hasIPv6)
        && EndpointHygiene.isUsable(SocketAddress(address.ip, port: port), meshPrefixes: meshPrefixes)
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

/// Which addresses are never published and never sent to.
enum EndpointHygiene {
  /// Candidates of one peer that are tried.
  static let maximumCandidates = 20

  /// Not loopback, unspecified, multicast, broadcast, link-local, port 0, nor anything inside a mesh: a packet to the mesh
  /// would enter the tunnel that it is to carry.
  static func isUsable(_ address: SocketAddress, meshPrefixes: [IPPrefix]) -> Bool {
    let ip = address.ip.unmapped
    return address.port != 0 && !ip.isLoopback && !ip.isUnspecified && !ip.isMulticast && !ip.isLinkLocal
      && !(ip.family == .v4 && (ip.value == 0xffff_ffff || ip.value >> 24 == 0))
      && !meshPrefixes.contains { $0.contains(ip) }
  }

  /// The usable ones of a peer's addresses, each once, in their order, IPv4-mapped ones as IPv4.
  static func candidates(
    _ endpoints: [SocketAddress], meshPrefixes: [IPPrefix], has: (IPAddress.Family) -> Bool
  ) -> [SocketAddress] {
    var seen: Set<SocketAddress> = []
    let usable = endpoints.map { SocketAddress($0.ip.unmapped, port: $0.port) }.filter {
      isUsable($0, meshPrefixes: meshPrefixes) && has($0.ip.family) && seen.insert($0).inserted
    }
    return Array(usable.prefix(maximumCandidates))
  }
}
