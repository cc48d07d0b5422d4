import Glibc
public import NIOPosix
public import Wire

/// Asks the system's resolver for the addresses of a name.
public enum HostLookup {
  /// Threads that wait for the resolver and do nothing else: names whose servers never answer keep nobody from the disk.
  public static let threads: NIOThreadPool = {
    let threads = NIOThreadPool(numberOfThreads: 4)
    threads.start()
    return threads
  }()

  /// So many addresses of a name count.
  static let maximum = 8

  /// Waits as long as the resolver does. Empty if the name is not known, or has no address of the family that is asked for.
  public static func addresses(of host: String, _ family: IPAddress.Family? = nil) -> [IPAddress] {
    var hints = addrinfo()
    hints.ai_family = family.map { $0 == .v4 ? AF_INET : AF_INET6 } ?? AF_UNSPEC
    hints.ai_socktype = CInt(SOCK_DGRAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var found: [IPAddress] = []
    var entry = list
    while let info = entry?.pointee, found.count < maximum {
      if let address = info.ai_addr.flatMap({ HostLookup.address($0, info.ai_addrlen) }) { found.append(address) }
      entry = info.ai_next
    }
    return found
  }

  /// `sockaddr_in`: family 2, port 2, address 4. `sockaddr_in6`: family 2, port 2, flow 4, address 16.
  private static func address(_ pointer: UnsafePointer<sockaddr>, _ length: socklen_t) -> IPAddress? {
    let bytes = UnsafeRawBufferPointer(start: pointer, count: Int(length))
    switch CInt(pointer.pointee.sa_family) {
    case AF_INET where bytes.count >= 8: return IPAddress(bytes: bytes[4..<8])
    case AF_INET6 where bytes.count >= 24: return IPAddress(bytes: bytes[8..<24])
    default: return nil
    }
  }
}
