import Netmap
import Wire

/// Everything that is known about where this machine is, as one list (`reach.md` 4): what a gateway maps, what others saw, then the
/// host's own addresses; each address once, and no more than a record has room for.
enum OwnEndpoints {
  static func list(
    mapped: [Reach.Endpoint], seen: [SocketAddress], host: [SocketAddress], hygiene: EndpointHygiene
  ) -> [Reach.Endpoint] {
    var known: Set<SocketAddress> = []
    var room = (public: LocalEndpoints.maximumPublic, private: LocalEndpoints.maximumPrivate)
    let all = mapped + seen.map { Reach.Endpoint($0, .stun) } + host.map { Reach.Endpoint($0, .host) }
    return all.compactMap { endpoint in
      guard let address = hygiene.checked(endpoint.address), known.insert(address).inserted else { return nil }
      let isPrivate = address.ip.isPrivate
      guard (isPrivate ? room.private : room.public) > 0 else { return nil }
      if isPrivate { room.private -= 1 } else { room.public -= 1 }
      return Reach.Endpoint(address, endpoint.source)
    }
  }
}
