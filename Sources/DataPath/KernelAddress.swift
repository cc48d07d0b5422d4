public import CLinux
import Glibc
public import Wire

/// A socket address as the kernel reads and writes it, with the conversions at the edge of the packet path.
///
/// | offset | IPv4 | IPv6 |
/// |---|---|---|
/// | 0 | family, 2 bytes, native | the same |
/// | 2 | port, 2 bytes, network order | the same |
/// | 4 | address, 4 bytes | flow, 4 bytes |
/// | 8 | zero | address, 16 bytes |
/// | 24 | | scope, 4 bytes |
extension clinux_address {
  public init(_ address: SocketAddress) {
    self.init()
    switch address.ip.family {
    case .v4:
      v4.sin_family = sa_family_t(AF_INET)
      v4.sin_port = address.port.bigEndian
      v4.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.ip.value).bigEndian
    case .v6:
      v6.sin6_family = sa_family_t(AF_INET6)
      v6.sin6_port = address.port.bigEndian
      let value = address.ip.value.bigEndian
      withUnsafeMutableBytes(of: &v6.sin6_addr) { $0.storeBytes(of: value, as: UInt128.self) }
    }
  }

  /// The length that the kernel wants beside it; 0 without a family.
  public var length: socklen_t {
    switch Int32(family) {
    case AF_INET: socklen_t(MemoryLayout<sockaddr_in>.size)
    case AF_INET6: socklen_t(MemoryLayout<sockaddr_in6>.size)
    default: 0
    }
  }

  /// `nil` without a family.
  public var socketAddress: SocketAddress? {
    switch Int32(family) {
    case AF_INET:
      return SocketAddress(
        IPAddress(v4: UInt32(bigEndian: v4.sin_addr.s_addr)), port: UInt16(bigEndian: v4.sin_port))
    case AF_INET6:
      var copy = v6.sin6_addr
      let value = withUnsafeBytes(of: &copy) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }
      return SocketAddress(IPAddress(v6: value), port: UInt16(bigEndian: v6.sin6_port))
    default:
      return nil
    }
  }
}

/// Whether two kernel addresses name the same family, address and port.
@inline(__always)
func sameAddress(_ a: UnsafePointer<clinux_address>, _ b: UnsafePointer<clinux_address>) -> Bool {
  let left = UnsafeRawPointer(a)
  let right = UnsafeRawPointer(b)
  guard left.loadUnaligned(as: UInt32.self) == right.loadUnaligned(as: UInt32.self) else { return false }
  if left.loadUnaligned(as: UInt16.self) == UInt16(truncatingIfNeeded: AF_INET) {
    return left.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
      == right.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
  }
  return left.loadUnaligned(fromByteOffset: 8, as: UInt128.self)
    == right.loadUnaligned(fromByteOffset: 8, as: UInt128.self)
}
