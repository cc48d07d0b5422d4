import DWN

public import Identity
public import Logging
import UnixSignals
public import Wire

/// `meshd dwn serve`: a node by itself, until it is interrupted.
public enum StandaloneNode {
  public static func run(
    listen: [SocketAddress], data: String, tenants: [DID], logger: Logger,
    whenReady: @Sendable ([SocketAddress]) -> Void
  ) async throws {
    let directory = try StateDirectory(opening: data)
    guard let lock = try DaemonLock(directory) else { throw AgentError.daemonRunning(directory: directory.path) }
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let node = try await EmbeddedNode.start(in: directory, tenants: Set(tenants), listen: listen, logger: logger)
    whenReady(node.listeners)
    for await _ in signals { break }
    logger.info("stopping")
    await node.stop()
    withExtendedLifetime(lock) {}
  }
}
