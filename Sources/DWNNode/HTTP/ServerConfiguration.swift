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
  /// Bytes of answers and events that are in memory until they are read, for all connections together.
  public var replyBudget = 64 << 20
  /// An answer over HTTP up to this length, in bytes, finds room whatever others leave unread.
  public var smallReply = 16 << 10
  /// Bodies that go to the disk at one time, from all, and from one IPv4 address or one IPv6 /64; a site (/24, /48) has twice as many,
  /// and loopback is not counted.
  public var largeBodies = 256
  public var largeBodiesPerNetwork = 4
  /// Connections that carry requests; those that stay open are bounded by `webSocket`.
  public var maximumConnections: Int
  /// From one IPv4 address or one IPv6 /64, and from one /24 or /48; loopback is not counted.
  public var maximumConnectionsPerNetwork: Int
  public var maximumConnectionsPerSite = 128
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

  /// Files that a node has open beside its connections, at most: its database, data that comes and goes, listeners.
  private static let ownFiles = 512

  /// Files that so many WebSockets need, with everything beside them.
  public static func files(forWebSockets number: Int) -> Int {
    number + ServerConfiguration(listen: []).maximumConnections + ownFiles
  }

  /// Makes the connections fit in a number of files: those for requests keep their places as far as a quarter of the files reaches, and
  /// WebSockets get what is left, `webSockets` at most.
  public mutating func fit(inFiles files: Int, webSockets: Int) {
    maximumConnections = max(1, min(maximumConnections, files / 4))
    maximumConnectionsPerNetwork = min(maximumConnectionsPerNetwork, max(1, maximumConnections / 4))
    maximumConnectionsPerSite = min(maximumConnectionsPerSite, max(1, maximumConnections / 2))
    let left = max(1, files - maximumConnections - min(Self.ownFiles, files / 4))
    webSocket = WebSocketConfiguration(connections: min(webSockets, left))
  }
}
