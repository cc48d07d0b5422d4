import Netmap
public import Wire

/// This host's addresses, as the kernel lists them now.
public enum HostAddresses {
  /// Those under which what listens here may be reached from other machines for more than a day, without those in `excluded` blocks (the
  /// mesh's own). Those beside a default route come first. Empty where the kernel does not tell.
  public static func reachable(excluding excluded: [IPPrefix]) -> [IPAddress] {
    (try? HostNetwork(NetlinkSocket()))?.reachable(excluding: excluded) ?? []
  }
}

extension HostNetwork {
  /// Addresses on links that are up: without loopback, link-local and the like, private ones on tunnels, those that are not settled, and
  /// IPv6 privacy addresses, which change. A public one on a tunnel comes last: somebody has it routed here. Bridges of guests count only
  /// where there is nothing else.
  func reachable(excluding excluded: [IPPrefix]) -> [IPAddress] {
    let hygiene = EndpointHygiene(meshPrefixes: excluded)
    let usable = addresses.filter { address in
      guard let link = links[address.link], link.isUp, !link.isLoopback, !link.isTunnel || !address.ip.isPrivate
      else { return false }
      return !address.isUnsettled && !address.isTemporary && hygiene.checked(SocketAddress(address.ip, port: 1)) != nil
    }
    let outside = usable.filter { !isForGuests($0.link) }
    func rank(_ address: Address) -> Int {
      links[address.link]?.isTunnel == true ? 2 : defaultRoutes.contains(address.link) ? 0 : 1
    }
    var seen: Set<IPAddress> = []
    return (outside.isEmpty ? usable : outside).sorted { (rank($0), $0.ip) < (rank($1), $1.ip) }.map(\.ip)
      .filter { seen.insert($0).inserted }
  }
}
