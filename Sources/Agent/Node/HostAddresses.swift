import CLinux
import Glibc
public import Wire

/// This host's addresses, as the kernel lists them now.
public enum HostAddresses {
  /// Addresses that other machines could use: without loopback, link-local, multicast and unspecified ones, and without those of
  /// `excluded` blocks (the mesh's own). The source address of the default route comes first, for IPv4 and then IPv6.
  public static func reachable(excluding excluded: [IPPrefix]) -> [IPAddress] {
    let preferred = [IPAddress.Family.v4, .v6].compactMap(defaultRouteSource)
    var result: [IPAddress] = []
    for address in preferred + interfaceAddresses() {
      let isUsable =
        !address.isLoopback && !address.isLinkLocal && !address.isMulticast && !address.isUnspecified
        && !excluded.contains { $0.contains(address) }
      if isUsable, !result.contains(address) { result.append(address) }
    }
    return result
  }

  private static func interfaceAddresses() -> [IPAddress] {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return [] }
    defer { freeifaddrs(list) }
    var addresses: [IPAddress] = []
    var entry = list
    while let current = entry {
      if let address = current.pointee.ifa_addr, let ip = KernelAddress.address(at: address)?.ip {
        addresses.append(ip)
      }
      entry = current.pointee.ifa_next
    }
    return addresses.sorted()
  }

  /// Connecting a datagram socket sends nothing, but makes the kernel choose a source address. `nil` without a default route.
  private static func defaultRouteSource(_ family: IPAddress.Family) -> IPAddress? {
    let descriptor = socket(
      family == .v4 ? AF_INET : AF_INET6, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    // Addresses reserved for documentation (RFC 5737, RFC 3849): nobody has a route to them but the default one.
    let target = IPAddress(family == .v4 ? "192.0.2.1" : "2001:db8::1")!
    guard KernelAddress.with(SocketAddress(target, port: 9), { connect(descriptor, $0, $1) }) == 0 else { return nil }
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &storage) { storage in
      let status = storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
      return status == 0 ? KernelAddress.address(at: storage)?.ip : nil
    }
  }
}
