public import NIOCore
public import NIOSSL

/// Another protocol behind TLS on the node's port. It gets the connections whose first request is for a path of its own, from the
/// first byte of that request on: a protocol that answers nothing in HTTP is one too.
public struct ConnectionTakeover: Sendable {
  /// Such as `/derp`: the path itself, what lies below it, and either with a query.
  public let path: String
  private let tls: NIOSSLContext
  let patience: Duration
  let install: @Sendable (any Channel) throws -> Void

  /// - Parameters:
  ///   - tls: for connections that begin with TLS where the node has no certificate of its own.
  ///   - patience: how long a connection may take for TLS and until it is clear whose its first request is.
  ///   - install: puts handlers into the connection's pipeline, on its event loop. They see everything that came through TLS. From
  ///     then on the connection is theirs to bound, and is closed when the server is shut down.
  public init(
    path: String, tls: NIOSSLContext, patience: Duration = .seconds(5),
    install: @escaping @Sendable (any Channel) throws -> Void
  ) {
    self.path = path
    self.tls = tls
    self.patience = patience
    self.install = install
  }

  /// Its buffer stays with a connection for its life: of a protocol whose connections are many and idle it is kept small.
  func makeTLSHandler() -> NIOSSLServerHandler {
    var configuration = NIOSSLHandler.Configuration()
    configuration.maximumPreservedOutboundBufferCapacity = 16 << 10
    return NIOSSLServerHandler(context: tls, configuration: configuration)
  }

  /// Whether a connection that begins with these bytes is meant; `nil`: more of them will tell.
  func claims(_ bytes: some Collection<UInt8>) -> Bool? {
    let space = UInt8(ascii: " ")
    let method = bytes.prefix { (0x41...0x5a).contains($0) }
    guard method.count <= Self.longestMethod else { return false }
    var rest = bytes.dropFirst(method.count)
    guard let separator = rest.popFirst() else { return nil }
    guard !method.isEmpty, separator == space else { return false }
    for expected in path.utf8 {
      guard let byte = rest.popFirst() else { return nil }
      guard byte == expected else { return false }
    }
    guard let end = rest.first else { return nil }
    return end == space || end == UInt8(ascii: "/") || end == UInt8(ascii: "?")
  }

  private static let longestMethod = 16
}
