import Netmap
import Wire

extension HostNetwork {
  /// Where nothing is sent to find a way (`reach.md` 5): private networks behind tunnels of this host, but for the link `own`, whose
  /// blocks the netmap has; its addresses on those tunnels; and the broadcast addresses of its networks.
  ///
  /// What is public is reached over whatever link the kernel chooses: a VPN that takes all traffic leaves no other way.
  func bounds(besides own: Int) -> HostBounds {
    var (tunnelled, broadcast, direct): (Set<IPPrefix>, Set<IPPrefix>, Set<IPPrefix>) = ([], [], [])
    for address in addresses {
      guard let link = links[address.link], address.link != own else { continue }
      let network = address.prefixLength.flatMap { IPPrefix(address.ip, length: $0) } ?? IPPrefix(host: address.ip)
      if link.isTunnel {
        tunnelled.insert(network.isPrivate ? network : IPPrefix(host: address.ip))
      } else {
        direct.insert(network)
        if let last = Self.broadcast(of: network) { broadcast.insert(IPPrefix(host: last)) }
      }
    }
    for (link, prefixes) in privateRoutes where link != own {
      if links[link]?.isTunnel == true { tunnelled.formUnion(prefixes) } else { direct.formUnion(prefixes) }
    }
    let ruledOut = tunnelled.sorted().prefix(Self.most) + broadcast.sorted().prefix(Self.most)
    let spared = direct.filter { network in tunnelled.contains { $0.contains(network) && $0 != network } }
    return HostBounds(ruledOut: Array(ruledOut), spared: Array(spared.sorted().prefix(Self.most)))
  }

  /// Every address that is looked at is compared with all of them.
  private static let most = 256

  private static func broadcast(of network: IPPrefix) -> IPAddress? {
    network.family == .v4 && (1..<31).contains(network.length) ? network.last : nil
  }
}
