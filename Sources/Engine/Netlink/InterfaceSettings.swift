import CMnl
import Glibc
import Wire

/// Gives one interface its MTU, addresses and routes.
///
/// Every function returns 0 or the kernel's error number; what that number means is the caller's to say.
struct InterfaceSettings {
  let socket: NetlinkSocket
  let index: CInt

  /// Sets the MTU, switches off the kernel's own IPv6 address, which nobody could reach, and brings the interface up.
  func bringUp(mtu: Int) -> CInt {
    // A kernel without IPv6 refuses this one, and needs it not.
    _ = socket.change(InterfaceSettings.withoutLinkLocalAddress(index))
    return socket.change(InterfaceSettings.up(index, mtu: mtu))
  }

  /// Makes the kernel's super-packets for the interface no larger than so many segments.
  func limitSegments(_ count: Int) -> CInt { socket.change(InterfaceSettings.segments(index, atMost: count)) }

  func add(address: IPPrefix) -> CInt {
    socket.change(InterfaceSettings.address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address, index))
  }

  func remove(address: IPPrefix) -> CInt {
    socket.change(InterfaceSettings.address(RTM_DELADDR, 0, address, index))
  }

  func add(route: IPPrefix) -> CInt {
    socket.change(InterfaceSettings.route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, index))
  }

  func remove(route: IPPrefix) -> CInt {
    socket.change(InterfaceSettings.route(RTM_DELROUTE, 0, route, index))
  }

  // MARK: Messages

  static func up(_ index: CInt, mtu: Int) -> NetlinkRequest {
    var link = ifinfomsg()
    link.ifi_index = index
    link.ifi_flags = UInt32(IFF_UP)
    link.ifi_change = UInt32(IFF_UP)
    var request = NetlinkRequest(RTM_NEWLINK, flags: 0, link)
    request.put(IFLA_MTU, UInt32(truncatingIfNeeded: mtu))
    return request
  }

  static func segments(_ index: CInt, atMost count: Int) -> NetlinkRequest {
    var link = ifinfomsg()
    link.ifi_index = index
    var request = NetlinkRequest(RTM_NEWLINK, flags: 0, link)
    request.put(IFLA_GSO_MAX_SEGS, UInt32(truncatingIfNeeded: count))
    return request
  }

  static func withoutLinkLocalAddress(_ index: CInt) -> NetlinkRequest {
    var link = ifinfomsg()
    link.ifi_index = index
    var request = NetlinkRequest(RTM_NEWLINK, flags: 0, link)
    request.nest(IFLA_AF_SPEC) { families in
      families.nest(Int(AF_INET6)) { $0.put(IFLA_INET6_ADDR_GEN_MODE, UInt8(IN6_ADDR_GEN_MODE_NONE.rawValue)) }
    }
    return request
  }

  static func address(_ type: Int, _ flags: CInt, _ prefix: IPPrefix, _ index: CInt) -> NetlinkRequest {
    var message = ifaddrmsg()
    message.ifa_family = family(prefix)
    message.ifa_prefixlen = UInt8(prefix.length)
    message.ifa_index = UInt32(bitPattern: index)
    var request = NetlinkRequest(type, flags: flags, message)
    request.put(IFA_LOCAL, prefix.address)
    request.put(IFA_ADDRESS, prefix.address)
    // The address belongs to a key, so nobody else can have it: it is usable at once.
    if prefix.family == .v6 { request.put(IFA_FLAGS, UInt32(IFA_F_NODAD)) }
    return request
  }

  static func route(_ type: Int, _ flags: CInt, _ prefix: IPPrefix, _ index: CInt) -> NetlinkRequest {
    var message = rtmsg()
    message.rtm_family = family(prefix)
    message.rtm_dst_len = UInt8(prefix.length)
    message.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
    message.rtm_protocol = UInt8(RTPROT_STATIC)
    message.rtm_scope = UInt8((prefix.family == .v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE).rawValue)
    message.rtm_type = UInt8(RTN_UNICAST)
    var request = NetlinkRequest(type, flags: flags, message)
    request.put(Int(RTA_DST.rawValue), prefix.address)
    request.put(Int(RTA_OIF.rawValue), UInt32(bitPattern: index))
    return request
  }

  private static func family(_ prefix: IPPrefix) -> UInt8 {
    UInt8(prefix.family == .v4 ? AF_INET : AF_INET6)
  }
}
