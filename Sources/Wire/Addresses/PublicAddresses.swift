/// Which addresses a stranger's word may lead to: those that any host of the Internet could connect to.
///
/// After IANA's special-purpose registries (RFC 6890), without what is there for relays and tunnels: an IPv6 address that carries
/// an IPv4 one would lead past the table for IPv4.
public enum PublicAddresses {
  public static func contains(_ address: IPAddress) -> Bool {
    switch address.family {
    case .v4: !reservedV4.contains { $0.contains(address) }
    case .v6: globalUnicast.contains { $0.contains(address) } && !reservedV6.contains { $0.contains(address) }
    }
  }

  private static let reservedV4 = blocks([
    "0.0.0.0/8",  // this network
    "10.0.0.0/8",  // private
    "100.64.0.0/10",  // shared by carriers, and meshes
    "127.0.0.0/8",  // loopback
    "169.254.0.0/16",  // link-local, and clouds' metadata
    "172.16.0.0/12",  // private
    "192.0.0.0/24",  // protocol assignments
    "192.0.2.0/24",  // documentation
    "192.88.99.0/24",  // 6to4 relays
    "192.168.0.0/16",  // private
    "198.18.0.0/15",  // benchmarks
    "198.51.100.0/24",  // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/4",  // multicast
    "240.0.0.0/4",  // reserved, and broadcast
  ])

  /// What is not in here is loopback, link-local, unique-local (meshes among it), multicast, mapped (`::ffff:0:0/96`) and translated
  /// (`64:ff9b::/96`, `64:ff9b:1::/48`) addresses, and what nobody has assigned yet.
  private static let globalUnicast = blocks(["2000::/3"])

  private static let reservedV6 = blocks([
    "2001::/23",  // protocol assignments, Teredo, ORCHID
    "2001:db8::/32",  // documentation
    "2002::/16",  // 6to4
    "3fff::/20",  // documentation
  ])

  private static func blocks(_ texts: [String]) -> [IPPrefix] { texts.compactMap { IPPrefix($0) } }
}
