public import Wire

/// A port of this machine that a router passes on from outside.
public struct PortMapping: Hashable, Sendable {
  public enum Transport: UInt8, Hashable, Sendable, CaseIterable {
    case tcp = 6
    case udp = 17
  }

  /// What is asked for: one port of one protocol.
  public struct Port: Hashable, Sendable {
    public var transport: Transport
    public var number: UInt16

    public init(_ transport: Transport, _ number: UInt16) {
      self.transport = transport
      self.number = number
    }
  }

  /// The ways to ask a router.
  public enum Service: String, Hashable, Sendable, CaseIterable {
    /// RFC 6886
    case natPMP = "NAT-PMP"
    /// RFC 6887
    case pcp = "PCP"
    /// UPnP's Internet Gateway Device
    case upnp = "UPnP"
  }

  public var port: Port
  /// What others connect to.
  public var external: SocketAddress
  public var service: Service
  public var expires: Instant

  /// Asked of routers, in seconds.
  static let lifetime: UInt32 = 7200
  /// Names the mapping in a router's list.
  static let description = "meshd"

  /// Whether others could connect to what a router says that its address is.
  static func isUsable(_ external: IPAddress) -> Bool {
    !external.isUnspecified && !external.isLoopback && !external.isMulticast && !external.isLinkLocal
      && external != IPAddress(v4: .max)
  }
}

extension [PortMapping] {
  /// Those that lead here since then, from elsewhere than before, or by another service. What was merely renewed is not among them.
  public func news(since former: [PortMapping]) -> [PortMapping] {
    filter { mapping in
      !former.contains {
        $0.port == mapping.port && $0.external == mapping.external && $0.service == mapping.service
      }
    }
  }
}
