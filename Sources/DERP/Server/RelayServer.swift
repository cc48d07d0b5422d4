public import Cryptography
public import Logging
public import NIOCore
public import NIOPosix
public import NIOSSL
import Wire

/// A relay: takes connections over TLS and carries packets between those who are admitted.
///
/// It may have a listener of its own, or take connections of another one (`install`).
public final class RelayServer: Sendable {
  /// What every connection shares.
  struct Core: Sendable {
    let key: X25519PrivateKey
    let certificate: Bytes32?
    let table: RelayTable
    let strangers: StrangerBudget
    let admission: any RelayAdmission
    let logger: Logger
    let random: any RandomSource
    let now: @Sendable () -> Instant
  }

  let core: Core

  /// - Parameters:
  ///   - key: the relay's own, which must never be that of an identity.
  ///   - certificate: SHA-256 of the leaf that it shows; `nil` for one that speaks without TLS.
  public init(
    key: X25519PrivateKey, certificate: Bytes32?, admission: any RelayAdmission, limits: RelayLimits = RelayLimits(),
    logger: Logger = Logger(label: "meshd.relay")
  ) {
    core = Core(
      key: key, certificate: certificate, table: RelayTable(limits: limits), strangers: StrangerBudget(limits),
      admission: admission, logger: logger, random: SystemRandom(), now: Instant.now)
  }

  public var table: RelayTable { core.table }

  /// Makes the connection a relay's: it must not have been read from. TLS, if there is any, is in its pipeline already.
  ///
  /// Buffers stay with a connection for its life, so they are kept small: most clients are idle most of the time.
  public func install(on channel: any Channel) throws {
    try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
    try channel.syncOptions?.setOption(
      .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1 << 10, initial: 2 << 10, maximum: 16 << 10))
    try channel.pipeline.syncOperations.addHandler(RelayConnectionHandler(core))
  }

  /// Listens until `close` of the channel; on an IPv6 address for IPv6 alone. Without a TLS context it speaks plainly, which is for
  /// tests.
  public func listen(
    on address: NIOCore.SocketAddress, tls: NIOSSLContext?,
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) async throws -> any Channel {
    var bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.backlog, value: 1024)
      .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          if let tls {
            var configuration = NIOSSLHandler.Configuration()
            configuration.maximumPreservedOutboundBufferCapacity = 16 << 10
            try channel.pipeline.syncOperations.addHandler(
              NIOSSLServerHandler(context: tls, configuration: configuration))
          }
          try install(on: channel)
        }
      }
    if address.protocol == .inet6 {
      // The wildcard of IPv6 would take the port on IPv4 too.
      bootstrap = bootstrap.serverChannelOption(
        ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 1)
    }
    return try await bootstrap.bind(to: address).get()
  }

  /// Ends all connections of clients.
  public func closeClients() { core.table.closeAll() }
}
