import Wire

/// How a router translates addresses (RFC 4787): which packets to other destinations share a mapping, and who may answer through it.
struct NATBehaviour: Hashable {
  enum Filtering { case none, address, addressAndPort }
  /// Every destination gets a port of its own.
  var isSymmetric = false
  var filtering = Filtering.addressAndPort
  /// Lets no UDP through at all.
  var blocksUDP = false

  static let fullCone = NATBehaviour(filtering: .none)
  static let addressRestricted = NATBehaviour(filtering: .address)
  static let portRestricted = NATBehaviour()
  static let symmetric = NATBehaviour(isSymmetric: true)
  static let blocked = NATBehaviour(blocksUDP: true)
}

/// A router that translates, between its inner network and whatever is outside.
final class VirtualNAT {
  struct Mapping {
    let inner: SocketAddress
    let port: UInt16
    /// Only for symmetric ones.
    let destination: SocketAddress?
    var permitted: Set<SocketAddress> = []
  }

  let behaviour: NATBehaviour
  let address: IPAddress
  /// The router that this one is behind.
  let outer: VirtualNAT?
  private var mappings: [Mapping] = []
  private var nextPort: UInt16

  init(_ behaviour: NATBehaviour, address: IPAddress, behind outer: VirtualNAT? = nil, firstPort: UInt16) {
    self.behaviour = behaviour
    self.address = address
    self.outer = outer
    nextPort = firstPort
  }

  /// The outer source of a packet; `nil` if it is dropped.
  func outgoing(from inner: SocketAddress, to destination: SocketAddress) -> SocketAddress? {
    guard !behaviour.blocksUDP else { return nil }
    let wanted = behaviour.isSymmetric ? destination : nil
    if !mappings.contains(where: { $0.inner == inner && $0.destination == wanted }) {
      mappings.append(Mapping(inner: inner, port: nextPort, destination: wanted))
      // Not in a row: nobody shall guess the next one.
      nextPort = nextPort &* 31 &+ 7919 | 0x4000
    }
    guard let index = mappings.firstIndex(where: { $0.inner == inner && $0.destination == wanted }) else { return nil }
    mappings[index].permitted.insert(destination)
    return SocketAddress(address, port: mappings[index].port)
  }

  /// The inner destination of a packet that came to `port`; `nil` if it is dropped.
  func incoming(from source: SocketAddress, to port: UInt16) -> SocketAddress? {
    guard let mapping = mappings.first(where: { $0.port == port }) else { return nil }
    switch behaviour.filtering {
    case .none: return mapping.inner
    case .address: return mapping.permitted.contains { $0.ip == source.ip } ? mapping.inner : nil
    case .addressAndPort: return mapping.permitted.contains(source) ? mapping.inner : nil
    }
  }

  /// As after a restart: every mapping is gone, and ports are others.
  func forget() {
    mappings = []
    nextPort = nextPort &+ 10_000 | 0x4000
  }
}

/// Where a host is: its own addresses, and the router between it and everything.
struct VirtualPlace {
  var addresses: [SocketAddress]
  var nat: VirtualNAT?
}

/// Follows datagrams through routers. Only what is on the way of IPv4 and IPv6; time and loss are the simulation's.
struct VirtualInternet {
  var places: [VirtualPlace] = []

  /// Who gets a datagram, and from where it seems to come; `nil` if nobody does.
  func deliver(from host: Int, to destination: SocketAddress) -> (host: Int, source: SocketAddress)? {
    let place = places[host]
    guard var source = place.addresses.first(where: { $0.ip.family == destination.ip.family }) else { return nil }
    // Within one network packets pass no router.
    if destination.ip.isPrivate {
      guard place.nat?.behaviour.blocksUDP != true else { return nil }
      let near = places.indices.first {
        $0 != host && places[$0].nat === place.nat && places[$0].addresses.contains(destination)
      }
      guard let near, isOneLink(host, near) else { return nil }
      return (near, source)
    }
    var chain: [VirtualNAT] = []
    var router = place.nat
    while let nat = router {
      // No hairpin: what is meant for the router's own outer address ends there.
      guard nat.address != destination.ip, let outer = nat.outgoing(from: source, to: destination) else { return nil }
      source = outer
      chain.append(nat)
      router = nat.outer
    }
    if let open = places.indices.first(where: { places[$0].nat == nil && places[$0].addresses.contains(destination) }) {
      return (open, source)
    }
    for index in places.indices where places[index].nat != nil {
      guard let inner = enter(places[index].nat, from: source, to: destination),
        places[index].addresses.contains(inner)
      else { continue }
      return (index, source)
    }
    return nil
  }

  /// What a server outside sees, by which a host learns its own address. It opens the way as any packet does.
  func observed(_ host: Int, by server: SocketAddress) -> SocketAddress? {
    guard var source = places[host].addresses.first(where: { $0.ip.family == server.ip.family }) else { return nil }
    var router = places[host].nat
    while let nat = router {
      guard let outer = nat.outgoing(from: source, to: server) else { return nil }
      source = outer
      router = nat.outer
    }
    return source
  }

  /// From the outermost router inwards.
  private func enter(_ nat: VirtualNAT?, from source: SocketAddress, to destination: SocketAddress) -> SocketAddress? {
    guard let nat else { return destination }
    guard let outer = enter(nat.outer, from: source, to: destination), outer.ip == nat.address else { return nil }
    return nat.incoming(from: source, to: outer.port)
  }

  /// Customers behind one big router do not see each other.
  private func isOneLink(_ a: Int, _ b: Int) -> Bool { places[a].nat == nil && places[b].nat == nil }
}
