import Netmap
import Wire

extension HostNetwork {
  /// Where nothing is sent to find a way (`reach.md` 5): what lies behind tunnels of this host, but for the link `own`, whose blocks the
  /// netmap has; and the broadcast addresses of its networks.
  func bounds(besides own: Int) -> HostBounds {
    var (tunnelled, broadcast, direct): (Set<IPPrefix>, Set<IPPrefix>, Set<IPPrefix>) = ([], [], [])
    for address in addresses {
      guard let link = links[address.link], address.link != own else { continue }
      let network = address.prefixLength.flatMap { IPPrefix(address.ip, length: $0) } ?? IPPrefix(host: address.ip)
      if link.isTunnel { tunnelled.insert(network) } else { direct.insert(network) }
      if !link.isTunnel, let last = Self.broadcast(of: network) { broadcast.insert(IPPrefix(host: last)) }
    }
    for (link, prefixes) in routes where link != own {
      if links[link]?.isTunnel == true {
        tunnelled.formUnion(prefixes.filter(Self.isNetwork))
      } else {
        direct.formUnion(prefixes)
      }
    }
    let ruledOut = tunnelled.sorted().prefix(Self.most) + broadcast.sorted().prefix(Self.most)
    let spared = direct.filter { network in tunnelled.contains { $0.contains(network) && $0 != network } }
    return HostBounds(ruledOut: Array(ruledOut), spared: Array(spared.sorted().prefix(Self.most)))
  }

  /// Every address that is looked at is compared with all of them.
  private static let most = 256

  /// Routes that stand for half the Internet or so are no network's: with such ones a VPN takes everything, and there is no other way.
  private static func isNetwork(_ prefix: IPPrefix) -> Bool { prefix.length >= (prefix.family == .v4 ? 8 : 16) }

  private static func broadcast(of network: IPPrefix) -> IPAddress? {
    guard network.family == .v4, (1..<31).contains(network.length) else { return nil }
    return IPAddress(v4: UInt32(network.address.value) | UInt32.max >> UInt32(network.length))
  }
}
