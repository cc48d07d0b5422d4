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
      if let address = current.pointee.ifa_addr, let ip = ip(of: address) { addresses.append(ip) }
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
    var storage = sockaddr_storage()
    let length = fill(&storage, target)
    let connected = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, length) }
    }
    guard connected == 0 else { return nil }
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        getsockname(descriptor, $0, &size) == 0 ? ip(of: $0) : nil
      }
    }
  }

  private static func fill(_ storage: inout sockaddr_storage, _ ip: IPAddress) -> socklen_t {
    withUnsafeMutableBytes(of: &storage) { bytes in
      if ip.family == .v4 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(9).bigEndian
        address.sin_addr.s_addr = UInt32(truncatingIfNeeded: ip.value).bigEndian
        withUnsafeBytes(of: address) { bytes.copyMemory(from: $0) }
        return socklen_t(MemoryLayout<sockaddr_in>.size)
      }
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = UInt16(9).bigEndian
      withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: ip.bytes) }
      withUnsafeBytes(of: address) { bytes.copyMemory(from: $0) }
      return socklen_t(MemoryLayout<sockaddr_in6>.size)
    }
  }

  private static func ip(of address: UnsafeMutablePointer<sockaddr>) -> IPAddress? {
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
      return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        IPAddress(v4: UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
      }
    case AF_INET6:
      return address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
        withUnsafeBytes(of: pointer.pointee.sin6_addr) { IPAddress(bytes: Array($0)) }
      }
    default: return nil
    }
  }
}
