import Wire

/// The kinds of host that the lab builds too.
enum HostKind: String, CaseIterable, Sendable, CustomStringConvertible {
  case open, fullCone, addressRestricted, portRestricted, symmetric, double, cgnat, blocked, ipv6Only, upnp

  var description: String { rawValue }

  /// A place of this kind, with addresses that no other number has.
  ///
  /// - Parameter sharing: the router that it is behind, with others; `nil`: a router of its own.
  func place(_ number: UInt32, sharing: VirtualNAT? = nil) -> VirtualPlace {
    let network = 0xc0a8_0000 + number << 8
    let inner = SocketAddress(IPAddress(v4: network + 2), port: 41641)
    let outer = IPAddress(v4: 0xc633_6400 + number)
    let ipv6 = SocketAddress(IPAddress(v6: 0x2001_0db8 << 96 | UInt128(number + 1) << 64 | 2), port: 41641)
    let firstPort = UInt16(20_000 + 777 * number)
    func behind(_ behaviour: NATBehaviour, gateway: IPAddress? = nil) -> VirtualPlace {
      VirtualPlace(
        addresses: [inner],
        nat: sharing ?? VirtualNAT(behaviour, address: outer, gateway: gateway, firstPort: firstPort))
    }
    switch self {
    case .open: return VirtualPlace(addresses: [SocketAddress(outer, port: 41641), ipv6])
    case .fullCone: return behind(.fullCone)
    case .addressRestricted: return behind(.addressRestricted)
    case .portRestricted: return behind(.portRestricted)
    case .symmetric: return behind(.symmetric)
    case .double:
      let first = sharing ?? VirtualNAT(.portRestricted, address: outer, firstPort: firstPort)
      return VirtualPlace(
        addresses: [inner],
        nat: VirtualNAT(
          .portRestricted, address: IPAddress(v4: 0x0a01_0002 + number), behind: first, firstPort: firstPort + 1000))
    case .cgnat: return behind(.carrierGrade)
    case .blocked: return behind(.blocked)
    case .ipv6Only: return VirtualPlace(addresses: [ipv6])
    case .upnp: return behind(.portRestricted, gateway: IPAddress(v4: network + 1))
    }
  }
}
