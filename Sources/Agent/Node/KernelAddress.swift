import CLinux
import Glibc
import Wire

/// Addresses as system calls take and give them.
enum KernelAddress {
  /// `nil` if it is of neither family of IP.
  static func address(at pointer: UnsafeRawPointer) -> SocketAddress? {
    switch Int32(pointer.loadUnaligned(as: sockaddr.self).sa_family) {
    case AF_INET:
      let address = pointer.loadUnaligned(as: sockaddr_in.self)
      return SocketAddress(
        IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
    case AF_INET6:
      let address = pointer.loadUnaligned(as: sockaddr_in6.self)
      return withUnsafeBytes(of: address.sin6_addr) { IPAddress(bytes: Array($0)) }
        .map { SocketAddress($0, port: UInt16(bigEndian: address.sin6_port)) }
    default: return nil
    }
  }

  static func with<R>(_ address: SocketAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    var storage = sockaddr_storage()
    let length = fill(&storage, address)
    return withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  private static func fill(_ storage: inout sockaddr_storage, _ address: SocketAddress) -> socklen_t {
    withUnsafeMutableBytes(of: &storage) { bytes in
      if address.ip.family == .v4 {
        var kernel = sockaddr_in()
        kernel.sin_family = sa_family_t(AF_INET)
        kernel.sin_port = address.port.bigEndian
        kernel.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.ip.value).bigEndian
        withUnsafeBytes(of: kernel) { bytes.copyMemory(from: $0) }
        return socklen_t(MemoryLayout<sockaddr_in>.size)
      }
      var kernel = sockaddr_in6()
      kernel.sin6_family = sa_family_t(AF_INET6)
      kernel.sin6_port = address.port.bigEndian
      withUnsafeMutableBytes(of: &kernel.sin6_addr) { $0.copyBytes(from: address.ip.bytes) }
      withUnsafeBytes(of: kernel) { bytes.copyMemory(from: $0) }
      return socklen_t(MemoryLayout<sockaddr_in6>.size)
    }
  }
}
