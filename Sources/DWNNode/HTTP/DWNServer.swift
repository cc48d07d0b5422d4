public import DWN
public import Logging
import NIOCore
import NIOPosix
import Synchronization
public import Wire

/// Offers a node to the network: JSON-RPC over HTTP/1.1 and WebSocket on any number of addresses (dwn-server 11, 12).
///
/// Everything a stranger can make it hold is bounded: connections, heads, bodies, and the time each may take. A server is
/// started once and ends when it is shut down.
public final class DWNServer: Sendable {
  private let configuration: ServerConfiguration
  private let connections: Connections
  private let pipeline: ConnectionPipeline
  private let listeners = Mutex<[any Channel]>([])

  public init(serving endpoint: any DWNEndpoint, configuration: ServerConfiguration, log: Logger) {
    self.configuration = configuration
    let metrics = ServerMetrics(factory: configuration.metrics)
    let connections = Connections(configuration, metrics: metrics)
    let service = MessageService(
      endpoint: endpoint, rates: RateLimits(configuration.rates), metrics: metrics, log: log,
      accessLevel: configuration.logsAccess ? .info : .debug)
    self.connections = connections
    self.pipeline = ConnectionPipeline(
      routes: NodeRoutes(service: service, configuration: configuration), configuration: configuration,
      connections: connections,
      subscriptions: SubscriptionBudget(maximum: configuration.webSocket.subscriptions, metrics: metrics))
  }

  /// Listens on every address of the configuration, or on none, and returns those that came out, in the same order.
  public func start() async throws(NodeError) -> [Wire.SocketAddress] {
    var bound: [Wire.SocketAddress] = []
    for address in configuration.listen {
      do {
        let channel = try await listen(on: address)
        listeners.withLock { $0.append(channel) }
        bound.append(
          Wire.SocketAddress(address.ip, port: UInt16(clamping: channel.localAddress?.port ?? Int(address.port))))
      } catch {
        await closeListeners()
        throw ListenFailure.describe(error, address: address)
      }
    }
    return bound
  }

  /// Stops listening, lets the requests that are being answered end, and closes what is left after the grace time.
  public func shutdown() async {
    await closeListeners()
    await connections.close(grace: configuration.shutdownGrace)
  }

  private func closeListeners() async {
    let open = listeners.withLock { channels in
      defer { channels = [] }
      return channels
    }
    for channel in open { try? await channel.close() }
  }

  private func listen(on address: Wire.SocketAddress) async throws -> any Channel {
    var bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { [pipeline] channel in pipeline.install(on: channel) }
    if address.ip.family == .v6 {
      // The wildcard of IPv6 would take the port on IPv4 too, where another listener may be.
      bootstrap = bootstrap.serverChannelOption(.ipv6Only, value: 1)
    }
    // The address itself: the system's resolver knows no IPv6 while the host has none, which may come later.
    let place = try NIOCore.SocketAddress(ipAddress: address.ip.description, port: Int(address.port))
    return try await bootstrap.bind(to: place).get()
  }
}
