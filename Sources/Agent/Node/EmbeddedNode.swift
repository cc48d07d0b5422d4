import DWN
import DWNClient
public import DWNNode
public import Logging
public import Wire

/// A node of the DWN kind and the server that offers it, running in this process.
public struct EmbeddedNode: Sendable {
  public let node: DWNNode
  /// Where it listens.
  public let listeners: [SocketAddress]
  private let server: DWNServer

  static let file = "dwn.sqlite"

  /// Opens the records in `directory` and listens, on all addresses or on none.
  ///
  /// It goes on without what is accepted to be lost. With the default addresses, a host whose
  /// kernel has no IPv6 gets the IPv4 one alone.
  public static func start(
    in directory: StateDirectory, tenants: Tenancy, listen: [SocketAddress], dids: DIDSettings = DIDSettings(),
    limits: NodeLimits = NodeLimits(), accepting losses: AcceptedLosses = [], logger: Logger,
    configure: (inout ServerConfiguration) -> Void = { _ in }
  ) async throws -> EmbeddedNode {
    var configuration = ServerConfiguration(
      listen: listen, version: Version.text, largestBody: limits.largestData)
    configure(&configuration)
    let node = try DWNNode(
      databasePath: directory.file(file), tenants: tenants, limits: limits,
      directory: try dids.directory(), accepting: losses,
      repaired: { logger.warning("the records were looked after", metadata: ["what": "\($0)"]) })
    do {
      let (server, listeners) = try await serve(node, configuration, logger)
      logger.info(
        "the embedded node listens", metadata: ["addresses": "\(listeners.map(\.description).joined(separator: " "))"])
      return EmbeddedNode(node: node, listeners: listeners, server: server)
    } catch {
      await node.close()
      throw error
    }
  }

  public func stop() async {
    await server.shutdown()
    await node.close()
  }

  private static func serve(
    _ node: DWNNode, _ configuration: ServerConfiguration, _ logger: Logger
  ) async throws(NodeError) -> (DWNServer, [SocketAddress]) {
    do {
      return try await start(node, configuration, logger)
    } catch {
      guard case .familyMissing = error, configuration.listen == DaemonSettings.defaultListen else { throw error }
      logger.warning("no IPv6 on this host: the embedded node listens on IPv4 alone")
      var configuration = configuration
      configuration.listen.removeAll { $0.ip.family != .v4 }
      return try await start(node, configuration, logger)
    }
  }

  private static func start(
    _ node: DWNNode, _ configuration: ServerConfiguration, _ logger: Logger
  ) async throws(NodeError) -> (DWNServer, [SocketAddress]) {
    let server = DWNServer(serving: node, configuration: configuration, log: logger)
    return (server, try await server.start())
  }
}
