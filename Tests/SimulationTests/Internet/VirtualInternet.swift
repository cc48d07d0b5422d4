import Wire

/// Where a host is: its own addresses, and the router between it and everything.
struct VirtualPlace {
  var addresses: [SocketAddress]
  var nat: VirtualNAT?
  /// Addresses of others that the host says are its own.
  var claims: [SocketAddress] = []
  /// Ports that the host has opened beside its own.
  var furtherPorts: Set<UInt16> = []

  var routers: [VirtualNAT] { nat?.chain ?? [] }

  func owns(_ address: SocketAddress) -> Bool {
    addresses.contains { $0 == address || ($0.ip == address.ip && furtherPorts.contains(address.port)) }
  }
}

/// Follows datagrams through routers. Only what is on the way of IPv4 and IPv6; time and loss are the simulation's.
struct VirtualInternet {
  var places: [VirtualPlace] = []

  /// What becomes of a datagram.
  struct Delivery {
    /// Who gets it, and at which of its ports.
    let host: Int
    let port: UInt16
    /// From where it seems to come.
    let source: SocketAddress
  }

  /// `nil` if nobody gets it.
  ///
  /// - Parameter port: from which the host sends; `nil`: its own.
  func deliver(from host: Int, port: UInt16? = nil, to destination: SocketAddress) -> Delivery? {
    let place = places[host]
    guard var source = place.addresses.first(where: { $0.ip.family == destination.ip.family }) else { return nil }
    source.port = port ?? source.port
    // Within one network packets pass no router.
    if destination.ip.isPrivate {
      let near = places.indices.first {
        $0 != host && isOneNetwork(host, $0) && places[$0].owns(destination)
      }
      return near.map { Delivery(host: $0, port: destination.port, source: source) }
    }
    for nat in place.routers {
      // No hairpin: what is meant for the router's own outer address ends there.
      guard nat.address != destination.ip, let outer = nat.outgoing(from: source, to: destination) else { return nil }
      source = outer
    }
    if let open = places.indices.first(where: { places[$0].nat == nil && places[$0].owns(destination) }) {
      return Delivery(host: open, port: destination.port, source: source)
    }
    for index in places.indices where places[index].nat != nil {
      guard let inner = enter(places[index].nat, from: source, to: destination),
        places[index].owns(inner)
      else { continue }
      return Delivery(host: index, port: inner.port, source: source)
    }
    return nil
  }

  /// What a server outside sees, by which a host learns its own address. It opens the way as any packet does.
  func observed(_ host: Int, by server: SocketAddress) -> SocketAddress? {
    guard var source = places[host].addresses.first(where: { $0.ip.family == server.ip.family }) else { return nil }
    for nat in places[host].routers {
      guard let outer = nat.outgoing(from: source, to: server) else { return nil }
      source = outer
    }
    return source
  }

  /// Whether two hosts are behind the same router, and it lets them see each other.
  func isOneNetwork(_ a: Int, _ b: Int) -> Bool {
    guard let nat = places[a].nat else { return false }
    return nat === places[b].nat && !nat.behaviour.isolates
  }

  /// From the outermost router inwards.
  private func enter(_ nat: VirtualNAT?, from source: SocketAddress, to destination: SocketAddress) -> SocketAddress? {
    guard let nat else { return destination }
    guard let outer = enter(nat.outer, from: source, to: destination), outer.ip == nat.address else { return nil }
    return nat.incoming(from: source, to: outer.port)
  }
}
