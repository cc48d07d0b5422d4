import CMnl
import Glibc
import Wire

/// The host's interfaces and addresses at one moment, as far as they matter to where it can be reached.
struct HostNetwork: Equatable {
  struct Link: Equatable {
    var name: String
    var isUp = true
    var isLoopback = false
    /// A TUN of whatever program, or WireGuard's own: what lies on it is reached through somebody's tunnel.
    var isTunnel = false
    /// What the kernel calls its sort, as `bridge` or `veth`; empty for hardware.
    var kind = ""
    /// The bridge or the like that it is a port of.
    var master: Int?
  }

  struct Address: Equatable {
    var ip: IPAddress
    var link: Int
    /// Of the network that it is in.
    var prefixLength: Int?
    /// IPv6 privacy address, which changes.
    var isTemporary = false
    /// Not usable yet, no longer, or never: duplicate detection runs or failed, or the address is deprecated.
    var isUnsettled = false
  }

  var links: [Int: Link] = [:]
  var addresses: [Address] = []
  /// Links with a default route.
  var defaultRoutes: Set<Int> = []
  /// The default routes of IPv4 that lead to a gateway.
  var gateways: [Gateway] = []
  /// The routes to private networks, by link.
  private(set) var privateRoutes: [Int: Set<IPPrefix>] = [:]
  private var own: Int?
  /// All routes over the own link.
  private(set) var ownRoutes: Set<IPPrefix> = []

  /// A default route: the less its metric, the more it is preferred.
  struct Gateway: Hashable {
    var ip: IPAddress
    var link: Int
    var metric: UInt32 = 0
  }

  init(links: [Int: Link] = [:], addresses: [Address] = [], defaultRoutes: Set<Int> = []) {
    self.links = links
    self.addresses = addresses
    self.defaultRoutes = defaultRoutes
  }

  /// What matters to ways out of this host. As long as it is the same no way has changed; what happens on tunnels, the own one among
  /// them, changes nothing.
  struct Outline: Hashable {
    var addresses: Set<IPAddress> = []
    var defaultRoutes: Set<Int> = []
    var gateways: Set<Gateway> = []
  }

  var outline: Outline {
    let usable = links.filter { $0.value.isUp && !$0.value.isLoopback && !$0.value.isTunnel }
    return Outline(
      addresses: Set(
        addresses.filter { usable[$0.link] != nil && !$0.isUnsettled && !$0.ip.isLinkLocal }.map(\.ip)),
      defaultRoutes: defaultRoutes.filter { usable[$0] != nil },
      gateways: Set(gateways.filter { usable[$0.link] != nil }))
  }

  /// The gateway that IPv4 goes through, and the host's address on that link.
  var gateway: (ip: IPAddress, host: IPAddress)? {
    let chosen = gateways.filter { links[$0.link]?.isUp == true && links[$0.link]?.isTunnel == false }
      .min { ($0.metric, $0.link) < ($1.metric, $1.link) }
    guard let chosen,
      let host = addresses.first(where: { $0.link == chosen.link && $0.ip.family == .v4 && !$0.isUnsettled })
    else { return nil }
    return (chosen.ip, host.ip)
  }

  /// Whether a link is a bridge that leads to nobody but guests of this host, containers and virtual machines (`docker0`, `virbr0`):
  /// no default route goes over it, and nothing that could lead outside is a port of it.
  func isForGuests(_ index: Int) -> Bool {
    guard links[index]?.kind == "bridge", !defaultRoutes.contains(index) else { return false }
    return links.values.allSatisfy { $0.master != index || Self.guestPorts.contains($0.kind) }
  }

  /// Kinds of ports by which guests are joined to a bridge, or hosts of guests to each other.
  private static let guestPorts: Set<String> = ["veth", "tun", "vxlan", "dummy"]

  /// Asks the kernel.
  ///
  /// - Parameter own: the link of which all routes are kept.
  init(_ socket: NetlinkSocket, own: Int? = nil) throws(EngineError) {
    var found = HostNetwork()
    found.own = own
    var status = socket.list(NetlinkRequest(RTM_GETLINK, flags: 0, ifinfomsg())) { type, content in
      if type == UInt16(RTM_NEWLINK) { found.addLink(content) }
    }
    if status == 0 {
      status = socket.list(NetlinkRequest(RTM_GETADDR, flags: 0, ifaddrmsg())) { type, content in
        if type == UInt16(RTM_NEWADDR) { found.addAddress(content) }
      }
    }
    if status == 0 {
      status = socket.list(NetlinkRequest(RTM_GETROUTE, flags: 0, rtmsg())) { type, content in
        if type == UInt16(RTM_NEWROUTE) { found.addRoute(content) }
      }
    }
    guard status == 0 else { throw .system("listing the host's addresses", reason: reason(of: status)) }
    self = found
  }

  /// `ifinfomsg`, 16 bytes: family 1, padding 1, type 2, index 4, flags 4, change 4.
  mutating func addLink(_ content: UnsafeRawBufferPointer) {
    guard content.count >= 16 else { return }
    let attributes = NetlinkAttributes(UnsafeRawBufferPointer(rebasing: content[16...]))
    let flags = content.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
    let type = content.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
    let kind = attributes.nested(IFLA_LINKINFO)?.string(IFLA_INFO_KIND)
    links[Int(content.loadUnaligned(fromByteOffset: 4, as: CInt.self))] = Link(
      name: attributes.string(IFLA_IFNAME) ?? "",
      isUp: flags & UInt32(IFF_UP) != 0,
      isLoopback: flags & UInt32(IFF_LOOPBACK) != 0,
      // A TAP is of kind "tun" too, but has Ethernet's type, and may well lead to a neighbour.
      isTunnel: (kind == "tun" || kind == "wireguard") && type == HostNetwork.typeWithoutLinkLayer, kind: kind ?? "",
      master: attributes.uint32(IFLA_MASTER).map(Int.init))
  }

  /// `ifaddrmsg`, 8 bytes: family 1, prefix length 1, flags 1, scope 1, index 4.
  mutating func addAddress(_ content: UnsafeRawBufferPointer) {
    guard content.count >= 8 else { return }
    let attributes = NetlinkAttributes(UnsafeRawBufferPointer(rebasing: content[8...]))
    // With a point-to-point peer IFA_ADDRESS is the other end's.
    guard let ip = attributes.address(IFA_LOCAL) ?? attributes.address(IFA_ADDRESS) else { return }
    let flags = attributes.uint32(IFA_FLAGS) ?? UInt32(content[2])
    addresses.append(
      Address(
        ip: ip, link: Int(content.loadUnaligned(fromByteOffset: 4, as: UInt32.self)), prefixLength: Int(content[1]),
        isTemporary: ip.family == .v6 && flags & UInt32(IFA_F_TEMPORARY) != 0,
        isUnsettled: flags & UInt32(IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED) != 0
          && flags & UInt32(IFA_F_OPTIMISTIC) == 0))
  }

  /// `rtmsg`, 12 bytes: family 1, destination length 1, source length 1, service 1, table 1, protocol 1, scope 1, type 1,
  /// flags 4.
  mutating func addRoute(_ content: UnsafeRawBufferPointer) {
    guard content.count >= 12, content[4] == UInt8(RT_TABLE_MAIN.rawValue), content[7] == UInt8(RTN_UNICAST) else {
      return
    }
    let attributes = NetlinkAttributes(UnsafeRawBufferPointer(rebasing: content[12...]))
    guard let link = attributes.uint32(Int(RTA_OIF.rawValue)) else { return }
    guard content[1] == 0 else {
      if let destination = attributes.address(Int(RTA_DST.rawValue)),
        let prefix = IPPrefix(destination, length: Int(content[1]))
      {
        addRoute(prefix, over: Int(link))
      }
      return
    }
    defaultRoutes.insert(Int(link))
    if let gateway = attributes.address(Int(RTA_GATEWAY.rawValue)), gateway.family == .v4 {
      gateways.append(
        Gateway(ip: gateway, link: Int(link), metric: attributes.uint32(Int(RTA_PRIORITY.rawValue)) ?? 0))
    }
  }

  /// Notes a route that is none by default, if it leads to a private network. A full tunnel is often written as dozens of routes, to
  /// all that is public, and a router of the Internet has a million of them: neither says where a machine of the mesh is.
  mutating func addRoute(_ destination: IPPrefix, over link: Int) {
    if link == own { ownRoutes.insert(destination) }
    guard destination.isPrivate, privateRoutes[link]?.count ?? 0 < HostNetwork.mostRoutes else { return }
    privateRoutes[link, default: []].insert(destination)
  }

  /// Of one link.
  private static let mostRoutes = 1024
  /// ARPHRD_NONE.
  private static let typeWithoutLinkLayer: UInt16 = 0xfffe
}
