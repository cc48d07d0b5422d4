import Identity
import NIOCore
import NIOPosix
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The addresses of a host, as this machine's resolver gives them.
struct HostLookup: Sendable {
  /// In the order in which they should be tried. Throws `FetchFailure` when there are none, or not before the deadline; `.busy` when
  /// nobody was asked.
  let addresses: @Sendable (_ host: String, _ deadline: NIODeadline) async throws -> [IPAddress]

  /// Most addresses of one host that count.
  static let maximumCount = 16

  /// `getaddrinfo`.
  static let system: HostLookup = {
    // One for each document that is fetched.
    let count = DIDFetchSettings().concurrency
    let threads = NIOThreadPool(numberOfThreads: count)
    threads.start()
    return waiting(on: threads, count: count, for: resolve)
  }()

  /// Asks on threads of its own a function that waits and cannot be stopped: what has not come by the deadline is not waited for.
  ///
  /// The thread waits on. Until it is through, it counts for the site and for who asked (`FetchSlots`), so that names whose servers
  /// never answer do not keep all of them.
  static func waiting(
    on threads: NIOThreadPool, count: Int, for resolve: @escaping @Sendable (_ host: String) -> [IPAddress]
  ) -> HostLookup {
    let slots = FetchSlots(count, waiting: 4 * count)
    return HostLookup { host, deadline in
      if let address = IPAddress(host) { return [address] }
      let loop = MultiThreadedEventLoopGroup.singleton.next()
      let promise = loop.makePromise(of: [IPAddress].self)
      let waiting = loop.scheduleTask(deadline: deadline) { promise.fail(FetchFailure.busy) }
      // Not a part of whoever asked, who waits no longer than until the deadline.
      Task {
        let errand = FetchSlots.Errand(site: FetchSlots.site(of: host), asker: DocumentAsker.network)
        let found = await slots.run(errand) { () -> [IPAddress]? in
          guard NIODeadline.now() < deadline else { return nil }
          waiting.cancel()
          let asking = loop.scheduleTask(deadline: deadline) {
            promise.fail(FetchFailure("its name was not found in time"))
          }
          defer { asking.cancel() }
          return (try? await threads.runIfActive { resolve(host) }) ?? []
        }
        waiting.cancel()
        switch found {
        case nil, .some(nil): promise.fail(FetchFailure.busy)
        case .some(.some(let addresses)) where addresses.isEmpty:
          promise.fail(FetchFailure("its name \(host) is not known"))
        case .some(.some(let addresses)): promise.succeed(addresses)
        }
      }
      return try await promise.futureResult.get()
    }
  }

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
