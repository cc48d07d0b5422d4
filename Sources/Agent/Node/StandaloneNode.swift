public import DWNNode
public import Logging
import UnixSignals
public import Wire

/// `meshd dwn serve`: a node by itself, until it is interrupted.
public enum StandaloneNode {
  /// What a node is started with.
  public struct Options: Sendable {
    public var listen: [SocketAddress]
    public var data: String
    public var tenants: Tenancy
    /// Certificate chain and key, as PEM files.
    public var tls: (certificate: String, key: String)?
    public var requiresTLS = false
    public var trustedProxies: [IPPrefix] = []
    public var logsAccess = false
    /// Whether `/metrics` answers programs on this machine.
    public var offersMetrics = false
    /// Where the node is reached from outside.
    public var publicURL: String?
    public var limits = NodeLimits()
    /// How DIDs are resolved whose keys are elsewhere.
    public var dids = DIDSettings()

    public init(listen: [SocketAddress], data: String, tenants: Tenancy) {
      self.listen = listen
      self.data = data
      self.tenants = tenants
    }
  }

  public static func run(
    _ options: Options, logger: Logger, whenReady: @Sendable ([SocketAddress]) -> Void
  ) async throws {
    let tls = try options.tls.map { try TLSFiles(certificatePath: $0.certificate, keyPath: $0.key) }
    let directory = try StateDirectory(opening: options.data)
    guard let lock = try DaemonLock(directory) else { throw AgentError.daemonRunning(directory: directory.path) }
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let node = try await EmbeddedNode.start(
      in: directory, tenants: options.tenants, listen: options.listen, dids: options.dids, limits: options.limits,
      logger: logger
    ) {
      $0.tls = tls
      $0.requiresTLS = options.requiresTLS
      $0.trustedProxies = options.trustedProxies
      $0.logsAccess = options.logsAccess
      $0.publicURL = options.publicURL
      if options.offersMetrics { $0.metrics = PrometheusRegistry() }
    }
    let renewal = tls.map { tls in Task { await watch(tls, logger) } }
    defer { renewal?.cancel() }
    whenReady(node.listeners)
    for await signal in signals {
      guard signal == .sighup, let tls else { break }
      reload(tls, logger)
    }
    logger.info("stopping")
    await node.stop()
    withExtendedLifetime(lock) {}
  }

  /// Takes up a certificate that was renewed, without being told.
  private static func watch(_ tls: TLSFiles, _ logger: Logger) async {
    while (try? await Task.sleep(for: .seconds(30))) != nil {
      if tls.haveChanged() { reload(tls, logger) }
    }
  }

  private static func reload(_ tls: TLSFiles, _ logger: Logger) {
    do {
      try tls.reload()
      logger.info("the certificate was read again")
    } catch {
      logger.error("the certificate in use stays", metadata: ["reason": "\(error)"])
    }
  }
}
