import Cryptography
import Netmap
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Wire

/// Connects with a relay over IPv4 and IPv6, whichever is there first, and over TLS.
struct RelayDialer {
  let relay: Relay
  let certificate: ServerCertificate
  let loop: any EventLoop

  /// The channel after the TLS handshake.
  func dial(before deadline: NIODeadline) async throws -> any Channel {
    let secured = loop.makePromise(of: Void.self)
    let bootstrap = ClientBootstrap(group: loop)
      .connectTimeout(max(.milliseconds(1), deadline - .now()))
      .channelOption(.socketOption(.tcp_nodelay), value: 1)
      .resolver(RelayAddresses(relay, loop))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(try certificate.makeHandler(host: relay.host))
          try pipeline.addHandler(HandshakeWatch(secured))
        }
      }
    let channel: any Channel
    do {
      channel = try await bootstrap.connect(host: relay.host, port: Int(relay.port)).get()
    } catch {
      secured.fail(error)
      throw DERPError.notConnected(DialFailure.text(error))
    }
    let timer = loop.scheduleTask(deadline: deadline) { secured.fail(DERPError.silent) }
    defer { timer.cancel() }
    do {
      try await secured.futureResult.get()
      return channel
    } catch {
      channel.close(promise: nil)
      throw certificate.refused.map { DERPError.wrongCertificate(found: Hex.encode($0.array)) } ?? error
    }
  }
}

/// The addresses that a relay's record gives, and for a family of which it gives none those of its name.
private final class RelayAddresses: Resolver, Sendable {
  private let relay: Relay
  private let loop: any EventLoop

  init(_ relay: Relay, _ loop: any EventLoop) {
    self.relay = relay
    self.loop = loop
  }

  func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[NIOCore.SocketAddress]> {
    addresses(.v4, port: port)
  }

  func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[NIOCore.SocketAddress]> {
    addresses(.v6, port: port)
  }

  func cancelQueries() {}

  private func addresses(
    _ family: IPAddress.Family, port: Int
  ) -> EventLoopFuture<[NIOCore.SocketAddress]> {
    switch relay.way(over: family) {
    case .off: return loop.makeSucceededFuture([])
    case .address(let address): return loop.makeCompletedFuture { [try address.socketAddress(port)] }
    case .name:
      return HostLookup.threads.runIfActive(eventLoop: loop) { [relay] in
        let found = HostLookup.addresses(of: relay.host, family)
        let admitted = found.filter(relay.admits)
        if admitted.isEmpty, !found.isEmpty { throw PrivateName() }
        return try admitted.map { try $0.socketAddress(port) }
      }
    }
  }
}

/// The name of a relay that a member offered stands for nothing but addresses that not everybody means the same by.
private struct PrivateName: Error {}

extension IPAddress {
  fileprivate func socketAddress(_ port: Int) throws -> NIOCore.SocketAddress {
    try NIOCore.SocketAddress(ipAddress: description, port: port)
  }
}

/// Says when TLS stands.
private final class HandshakeWatch: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer

  private let secured: EventLoopPromise<Void>

  init(_ secured: EventLoopPromise<Void>) {
    self.secured = secured
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted? = event as? TLSUserEvent {
      secured.succeed()
      context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    secured.fail(DERPError.notConnected(DialFailure.text(error)))
    context.fireErrorCaught(error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    secured.fail(DERPError.closed)
    context.fireChannelInactive()
  }
}

private enum DialFailure {
  /// In words for people, without the library's own wrapping.
  static func text(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
      if error.connectionErrors.isEmpty {
        let isPrivate = error.dnsAError is PrivateName || error.dnsAAAAError is PrivateName
        return isPrivate ? "\(error.host) is no public address" : "the name \(error.host) is not known"
      }
      return error.connectionErrors.map { "\($0.target): \($0.error)" }.joined(separator: "; ")
    case is NIOSSLError, is NIOSSLExtraError: return "its TLS cannot be trusted (\(error))"
    default: return "\(error)"
    }
  }
}
