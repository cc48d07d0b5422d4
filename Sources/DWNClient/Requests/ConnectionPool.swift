import AsyncHTTPClient
import NIOCore
import NIOSSL
import Synchronization
import Wire

/// The connections to one node: kept open between requests, at most eight side by side (more requests wait for one), and given up
/// all together when this host's addresses change, since none of them may lead anywhere then and nothing says so.
final class ConnectionPool: Sendable {
  static let largestNumber = 8

  private struct State {
    var client: HTTPClient
    var generation = 0
    var isShutDown = false
  }

  private let state: Mutex<State>
  private let configuration: HTTPClient.Configuration

  init(_ url: EndpointURL, tls: TLSConfiguration, connectTimeout: Duration) {
    configuration = Self.configuration(url, tls, connectTimeout)
    state = Mutex(State(client: Self.client(configuration)))
  }

  deinit {
    // Does nothing after `shutdown()`; connections of an endpoint that was just dropped are closed here.
    state.withLock { $0.client }.shutdown { _ in }
  }

  /// The client to send a request with, and by which `isCurrent` knows it.
  var current: (client: HTTPClient, generation: Int) { state.withLock { ($0.client, $0.generation) } }

  /// Whether connections have not been dropped since.
  func isCurrent(_ generation: Int) -> Bool { state.withLock { $0.generation == generation || $0.isShutDown } }

  /// Closes all connections, also those with a request under way; later requests open new ones.
  func drop() {
    let new = Self.client(configuration)
    let old = state.withLock { state -> HTTPClient in
      guard !state.isShutDown else { return new }
      defer {
        state.client = new
        state.generation += 1
      }
      return state.client
    }
    old.shutdown { _ in }
  }

  /// Closes all connections for good.
  func shutdown() async {
    let client = state.withLock { state in
      state.isShutDown = true
      return state.client
    }
    try? await client.shutdown()
  }

  private static func client(_ configuration: HTTPClient.Configuration) -> HTTPClient {
    HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  private static func configuration(
    _ url: EndpointURL, _ tls: TLSConfiguration, _ connectTimeout: Duration
  ) -> HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration(
      tlsConfiguration: tls, redirectConfiguration: .disallow,
      timeout: .init(connect: .nanoseconds(connectTimeout.nanoseconds)), decompression: .disabled)
    configuration.httpVersion = .http1Only
    // Shorter than servers keep an idle connection (ours: 60 s), so that a request does not meet one that is being closed.
    configuration.connectionPool.idleTimeout = .seconds(30)
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = largestNumber
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.maximumUsesPerConnection = 10_000
    if url.isTLS, let name = url.hostName {
      // After the handshake, before the first request.
      configuration.http1_1ConnectionDebugInitializer = { channel in
        channel.eventLoop.makeCompletedFuture {
          try CertificateNameHandler.add(for: name, to: channel.pipeline.syncOperations)
        }
      }
    }
    return configuration
  }
}
