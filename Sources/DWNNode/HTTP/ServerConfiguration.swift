public import CoreMetrics
public import Wire

/// Where a server listens and what it takes in.
public struct ServerConfiguration: Sendable {
  /// Port 0 lets the system choose.
  public var listen: [Wire.SocketAddress]
  /// Told in `/info`.
  public var version: String
  /// Where the node is reached from outside; told in `/info`.
  public var publicURL: String?
  /// Largest data of a request, in bytes.
  public var largestBody: Int
  /// Bytes of bodies that are in memory at one time, for all connections together.
  public var bodyBudget: Int
  /// Bodies that go to the disk at one time, from one IPv4 address or one IPv6 /64; loopback is not counted.
  public var largeBodiesPerNetwork = 4
  public var maximumConnections: Int
  /// From one IPv4 address or one IPv6 /64; loopback is not counted.
  public var maximumConnectionsPerNetwork: Int
  /// How long a connection may be silent between requests, or take to send the head of one.
  public var headTimeout: Duration
  /// How long a body may take, beside the time that `slowestRate` grants its length; and the same for a reply.
  public var bodyTimeout: Duration
  /// How long nothing may come of a body.
  public var idleTimeout = Duration.seconds(60)
  /// Bytes a second below which a body or a reply is given up.
  public var slowestRate: Int
  /// How long a refused connection may still send, so that it gets to read why.
  public var lingerTimeout: Duration
  /// How long requests that are being answered may go on after `shutdown`.
  public var shutdownGrace: Duration
  public var webSocket = WebSocketConfiguration()
  public var rates = RateConfiguration()
  /// Reverse proxies whose `X-Forwarded-For` is believed.
  public var trustedProxies: [IPPrefix] = []
  /// With it, a connection that begins with a TLS handshake speaks TLS, on the same port as those that do not.
  public var tls: TLSFiles?
  /// Whether connections without TLS are closed.
  public var requiresTLS = false
  /// Another protocol on the same port, behind TLS.
  public var takeover: ConnectionTakeover?
  /// Whether each message gets a line in the log at the usual level, and not only when more is logged.
  public var logsAccess = false
  /// Where the server counts. A `PrometheusRegistry` is shown at `/metrics`, to programs on this machine alone.
  public var metrics: any MetricsFactory = NOOPMetricsHandler.instance

  public init(
    listen: [Wire.SocketAddress], version: String = "dev", largestBody: Int = 10 << 20, bodyBudget: Int = 64 << 20,
    maximumConnections: Int = 512, maximumConnectionsPerNetwork: Int = 64, headTimeout: Duration = .seconds(60),
    bodyTimeout: Duration = .seconds(30),
    slowestRate: Int = 16 << 10, lingerTimeout: Duration = .seconds(5), shutdownGrace: Duration = .seconds(5)
  ) {
    self.listen = listen
    self.version = version
    self.largestBody = largestBody
    self.bodyBudget = bodyBudget
    self.maximumConnections = maximumConnections
    self.maximumConnectionsPerNetwork = maximumConnectionsPerNetwork
    self.headTimeout = headTimeout
    self.bodyTimeout = bodyTimeout
    self.slowestRate = slowestRate
    self.lingerTimeout = lingerTimeout
    self.shutdownGrace = shutdownGrace
  }
}
