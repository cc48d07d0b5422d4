import NIOCore
import NIOPosix
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The addresses of a host, as this machine's resolver gives them.
struct HostLookup: Sendable {
  /// In the order in which they should be tried. Throws `FetchFailure` when there are none, or not before the deadline.
  let addresses: @Sendable (_ host: String, _ deadline: NIODeadline) async throws -> [IPAddress]

  /// Most addresses of one host that count.
  static let maximumCount = 16

  /// `getaddrinfo`, on threads of its own, since it waits and cannot be stopped: what has not come by the deadline is not waited for.
  static let system = HostLookup { host, deadline in
    if let address = IPAddress(host) { return [address] }
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let promise = loop.makePromise(of: [IPAddress].self)
    let timer = loop.scheduleTask(deadline: deadline) { promise.fail(FetchFailure("its name was not found in time")) }
    threads.submit { state in
      guard case .active = state, NIODeadline.now() < deadline else { return }
      let found = resolve(host)
      if found.isEmpty { promise.fail(FetchFailure("its name \(host) is not known")) } else { promise.succeed(found) }
    }
    defer { timer.cancel() }
    return try await promise.futureResult.get()
  }

  private static let threads: NIOThreadPool = {
    let threads = NIOThreadPool(numberOfThreads: 4)
    threads.start()
    return threads
  }()

  private static func resolve(_ host: String) -> [IPAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var addresses: [IPAddress] = []
    var entry = list
    while let current = entry, addresses.count < maximumCount {
      if let address = address(current.pointee), !addresses.contains(address) { addresses.append(address) }
      entry = current.pointee.ai_next
    }
    return addresses
  }

  private static func address(_ entry: addrinfo) -> IPAddress? {
    var text = [CChar](repeating: 0, count: 64)
    let status = getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
    return status == 0
      ? IPAddress(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)) : nil
  }
}
