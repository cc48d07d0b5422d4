import Logging
import NIOCore
import NIOHTTP1
import Synchronization
import Wire

/// Tells who sends each request of a server.
final class RequestCallers: Sendable {
  private let proxies: [IPPrefix]
  private let log: Logger
  private let hasWarned = Atomic(false)

  init(trusting proxies: [IPPrefix], log: Logger) {
    self.proxies = proxies
    self.log = log
  }

  /// `headers` are empty where the request could not be read.
  func caller(_ remote: NIOCore.SocketAddress?, _ headers: HTTPHeaders) -> Caller {
    let caller = Caller(
      remote: remote, forwardedFor: headers["x-forwarded-for"], isForwarded: headers.contains(name: "forwarded"),
      trusting: proxies)
    if caller.isForwarded, let address = caller.address, address.isLoopback,
      !proxies.contains(where: { $0.contains(address) }), !hasWarned.exchange(true, ordering: .relaxed)
    {
      log.warning(
        "requests come through a proxy on this machine that is not trusted: its clients count as one",
        metadata: ["proxy": "\(caller)"])
    }
    return caller
  }
}
