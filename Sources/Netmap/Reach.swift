public import Cryptography
public import Wire

/// What this machine tells the others about how to reach it.
public struct Reach: Hashable, Sendable {
  /// An address, and how it became known.
  public struct Endpoint: Hashable, Sendable {
    public enum Source: Hashable, Sendable {
      /// A gateway maps a port of it here.
      case natPMP, pcp, upnp
      /// Somebody outside saw it.
      case stun
      /// A person said so.
      case fixed
      /// The host has it itself.
      case host
    }

    public var address: SocketAddress
    public var source: Source

    public init(_ address: SocketAddress, _ source: Source) {
      self.address = address
      self.source = source
    }
  }

  /// Most useful first (`reach.md` 4): mapped, seen from outside, fixed, then the host's own.
  public var endpoints: [Endpoint]
  /// `nil`: not known.
  public var natMapping: NATMapping?
  /// The key for path discovery; `nil`: this machine speaks plain WireGuard.
  public var discoKey: X25519PublicKey?
  /// Ids of the relay at which it waits, and of the next best.
  public var homeRelay: UInt16?
  public var standbyRelay: UInt16?

  public init(
    endpoints: [Endpoint] = [], natMapping: NATMapping? = nil, discoKey: X25519PublicKey? = nil,
    homeRelay: UInt16? = nil, standbyRelay: UInt16? = nil
  ) {
    self.endpoints = endpoints
    self.natMapping = natMapping
    self.discoKey = discoKey
    self.homeRelay = homeRelay
    self.standbyRelay = standbyRelay
  }

  /// A machine that knows only its own addresses.
  public init(hostAddresses: [SocketAddress]) {
    self.init(endpoints: hostAddresses.map { Endpoint($0, .host) })
  }

  public var addresses: [SocketAddress] { endpoints.map(\.address) }
}

/// How a NAT between a machine and the Internet gives out addresses, as far as it was found out.
public enum NATMapping: String, Hashable, Sendable {
  /// One address whoever is spoken to (or no NAT at all): others can be told of it.
  case endpointIndependent = "endpoint-independent"
  /// Another address for each who is spoken to.
  case endpointDependent = "endpoint-dependent"
}
