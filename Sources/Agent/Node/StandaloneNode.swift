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
    /// Whether messages go on without their large data though all of it is gone.
    public var givesUpData = false
    /// How many WebSockets may be open at a time; `nil`: as many as usual, and as the system lets this process have.
    public var webSockets: Int?
    /// Bytes of one frame over a WebSocket.
    public var largestFrame = WebSocketConfiguration.usualFrame
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
    let files = try openFiles(for: options.webSockets)
    let tls = try options.tls.map { try TLSFiles(certificatePath: $0.certificate, keyPath: $0.key) }
    let directory = try StateDirectory(opening: options.data)
    guard let lock = try DaemonLock(directory, for: .node) else { throw directory.heldByAnother }
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let node = try await EmbeddedNode.start(
      in: directory, tenants: options.tenants, listen: options.listen, dids: options.dids, limits: options.limits,
      accepting: options.givesUpData ? [.data, .log] : [], logger: logger
    ) {
      $0.fit(inFiles: files, webSockets: options.webSockets ?? WebSocketConfiguration().connections)
      $0.webSocket.largestFrame = options.largestFrame
      $0.tls = tls
      $0.requiresTLS = options.requiresTLS
      $0.trustedProxies = options.trustedProxies
      $0.logsAccess = options.logsAccess
      $0.publicURL = options.publicURL
      if options.offersMetrics { $0.metrics = PrometheusRegistry() }
    }
    // A certificate that was renewed is taken up without being told.
    let renewal = tls.map { tls in
      Task { await tls.watch(every: .seconds(30)) { report($0, logger) } }
    }
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

  /// As many as the system allows; throws where those are too few for what was asked for.
  private static func openFiles(for webSockets: Int?) throws -> Int {
    guard let webSockets else { return OpenFiles.raiseLimit() }
    let needed = ServerConfiguration.files(forWebSockets: webSockets)
    let files = OpenFiles.raiseLimit(to: max(needed, OpenFiles.usual))
    guard files >= needed else {
      throw AgentError.failed(
        "--max-websockets \(webSockets) takes \(needed) open files, and this process may have \(files): raise its limit "
          + "(LimitNOFILE= in a unit of systemd, ulimit -n in a shell)")
    }
    return files
  }

  private static func reload(_ tls: TLSFiles, _ logger: Logger) {
    do throws(NodeError) {
      try tls.reload()
      report(nil, logger)
    } catch {
      report(error, logger)
    }
  }

  private static func report(_ failure: NodeError?, _ logger: Logger) {
    if let failure {
      logger.error("the certificate in use stays", metadata: ["reason": "\(failure)"])
    } else {
      logger.info("the certificate was read again")
    }
  }
}
