import CLinux
import DataPath
import Glibc
import Wire
import WireGuard

/// How long packets to peers without a disco key may be. Nobody asks their paths, so what the kernel knows counts: the width of the link
/// that the route leads over, and what routers said when something was too long for them.
extension Engine {
  func limitToRoute(_ id: PeerID) {
    guard let peer = peers[id], !peer.hasRoute, let endpoint = peer.endpoint else { return }
    let limit = RouteWidth.wireMTU(to: endpoint).map { PeerState.innerLimit(wireMTU: $0, family: endpoint.ip.family) }
    // What is longer than the interface takes is no limit.
    let innerLimit = limit.flatMap { $0 < configuration.mtu ? $0 : nil }
    guard innerLimit != peer.innerLimit else { return }
    peers[id]?.innerLimit = innerLimit
    stalePeers.insert(id)
  }

  /// After a change of links or routes.
  func limitToRoutes() {
    for id in peers.keys { limitToRoute(id) }
  }
}

/// What the kernel knows of a route.
enum RouteWidth {
  private static let bufferSize: CInt = 4096

  /// The longest IP packet that gets there; `nil` if there is no route.
  static func wireMTU(to address: SocketAddress) -> Int? {
    let isIPv4 = address.ip.family == .v4
    let descriptor = clinux_udp_open(isIPv4 ? AF_INET : AF_INET6, 0, bufferSize)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var kernel = clinux_address(address)
    let length = kernel.length
    let status = withUnsafePointer(to: &kernel) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, length) }
    }
    guard status == 0 else { return nil }
    var width: CInt = 0
    var size = socklen_t(MemoryLayout<CInt>.size)
    let (level, option) = isIPv4 ? (CInt(IPPROTO_IP), IP_MTU) : (CInt(IPPROTO_IPV6), IPV6_MTU)
    guard getsockopt(descriptor, level, option, &width, &size) == 0, width > 0 else { return nil }
    return Int(width)
  }
}
