import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import DWNNode

/// What is known of all open connections together.
@Suite(.timeLimit(.minutes(10)))
struct ConnectionsTests {
  private final class Counter: Sendable {
    private let value = Mutex(0)
    var count: Int { value.withLock { $0 } }
    func add() { value.withLock { $0 += 1 } }
  }

  @Test("everybody who waits for the connections to close is told when the last one has")
  func close() async throws {
    let configuration = ServerConfiguration(listen: [])
    let connections = Connections(configuration, metrics: ServerMetrics(factory: configuration.metrics))
    // Any channel is a connection here.
    let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    #expect(connections.admit(channel))
    let told = Counter()
    for _ in 0..<3 {
      // Each runs here until it waits.
      Task.immediate {
        await connections.close(grace: .seconds(500))
        told.add()
      }
    }
    #expect(told.count == 0)
    try await channel.close()
    while told.count < 3 { try await Task.sleep(for: .milliseconds(5)) }
  }
}
