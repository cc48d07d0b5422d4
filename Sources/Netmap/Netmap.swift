public import Cryptography
public import Wire

/// Everything the engine has to know of a network, as one value: who this machine is in it, its peers, the relays, the packet
/// filter and names.
///
/// It holds no secret and no type of the control plane, so it can be compared, stored, printed, and replayed in a test. Peers
/// are named by their WireGuard key.
public struct Netmap: Hashable, Sendable {
  /// The network's name, for people.
  public var networkName: String
  public var node: LocalNode
  /// Sorted by key; keys are unique and none is the node's own.
  public var peers: [Peer]
  public var relays: [Relay]
  public var filter: PacketFilterRules
  public var dns: NameService

  public init(
    networkName: String, node: LocalNode, peers: [Peer] = [], relays: [Relay] = [],
    filter: PacketFilterRules = .denyAll,
    dns: NameService = NameService()
  ) {
    self.networkName = networkName
    self.node = node
    self.peers = peers.sorted { $0.key < $1.key }
    self.relays = relays
    self.filter = filter
    self.dns = dns
  }
}

/// This machine in the network.
public struct LocalNode: Hashable, Sendable {
  public var name: String
  public var key: X25519PublicKey
  /// One address of each family that the mesh uses, as /32 and /128.
  public var addresses: [IPPrefix]
  /// The blocks that belong to the mesh: nothing inside them is ever used as an endpoint.
  public var meshPrefixes: [IPPrefix]

  public init(name: String, key: X25519PublicKey, addresses: [IPPrefix], meshPrefixes: [IPPrefix]) {
    self.name = name
    self.key = key
    self.addresses = addresses
    self.meshPrefixes = meshPrefixes
  }
}

/// Another machine of the network.
public struct Peer: Hashable, Sendable {
  public var key: X25519PublicKey
  public var name: String
  public var addresses: [IPPrefix]
  /// What it may send from and what is routed to it: its addresses, then the routes it announces.
  public var allowedIPs: [IPPrefix]
  /// Where it may be reached, best guess first.
  public var endpoints: [SocketAddress]
  /// Its key for path discovery; without one the peer speaks plain WireGuard.
  public var discoKey: X25519PublicKey?
  /// Ids of the relays it listens on, home first.
  public var relayIDs: [UInt16]
  /// How its NAT maps, as it found out itself; `nil`: it does not know.
  public var natMapping: NATMapping?
  /// Whether a gateway maps a port to it.
  public var hasMappedPort: Bool
  /// Changes when the peer's records say that it has started again or moved: the engine then initiates again at once. Ports alone
  /// do not change it for a peer with a disco key.
  public var revision: UInt64

  public init(
    key: X25519PublicKey, name: String, addresses: [IPPrefix], allowedIPs: [IPPrefix], endpoints: [SocketAddress] = [],
    discoKey: X25519PublicKey? = nil, relayIDs: [UInt16] = [], natMapping: NATMapping? = nil,
    hasMappedPort: Bool = false, revision: UInt64 = 0
  ) {
    self.key = key
    self.name = name
    self.addresses = addresses
    self.allowedIPs = allowedIPs
    self.endpoints = endpoints
    self.discoKey = discoKey
    self.relayIDs = relayIDs
    self.natMapping = natMapping
    self.hasMappedPort = hasMappedPort
    self.revision = revision
  }
}

/// A server that forwards packets between machines that cannot reach each other.
public struct Relay: Hashable, Sendable {
  /// How it is reached over one family of addresses.
  public enum Way: Hashable, Sendable {
    case address(IPAddress)
    /// Ask the DNS for the host's name.
    case name
    /// Not at all.
    case off
  }

  public var id: UInt16
  public var region: String
  /// A name or an address.
  public var host: String
  public var port: UInt16
  /// Where it is reached instead of what `host` stands for.
  public var ipv4: IPAddress?
  public var ipv6: IPAddress?
  /// SHA-256 of the leaf certificate's DER; without it the certificate is checked against the system's roots.
  public var certificateSHA256: Bytes32?
  /// 0: it answers no STUN.
  public var stunPorts: [UInt16]
  public var relaysTraffic: Bool
  /// A member has offered it. Nobody is led into networks of their own by the name that it gave: see `admits`.
  public var isOffered: Bool

  public init(
    id: UInt16, region: String, host: String, port: UInt16, ipv4: IPAddress? = nil, ipv6: IPAddress? = nil,
    certificateSHA256: Bytes32? = nil, stunPorts: [UInt16] = [], relaysTraffic: Bool = true,
    isOffered: Bool = false
  ) {
    self.id = id
    self.region = region
    self.host = host
    self.port = port
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.certificateSHA256 = certificateSHA256
    self.stunPorts = stunPorts
    self.relaysTraffic = relaysTraffic
    self.isOffered = isOffered
  }

  /// Whether the host's name may stand for this address: what the DNS says of a member's name is up to that member, at any time.
  public func admits(_ address: IPAddress) -> Bool { !isOffered || PublicAddresses.contains(address) }

  public func way(over family: IPAddress.Family) -> Way {
    if let address = family == .v4 ? ipv4 : ipv6 { return .address(address) }
    guard let address = IPAddress(host) else { return .name }
    return address.family == family ? .address(address) : .off
  }
}

/// Names that the mesh gives its machines.
public struct NameService: Hashable, Sendable {
  /// Without dots at its ends; empty: no names.
  public var suffix: String
  public var resolvers: [String]

  public init(suffix: String = "", resolvers: [String] = []) {
    self.suffix = suffix
    self.resolvers = resolvers
  }
}
