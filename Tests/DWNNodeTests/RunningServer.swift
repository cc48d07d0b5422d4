import DWN
import DWNClient
import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Wire

@testable import DWNNode

/// A node that listens on loopback, with a client for it.
struct RunningServer {
  let server: DWNServer
  let address: Wire.SocketAddress

  static func start(
    _ endpoint: any DWNEndpoint, on address: String = "127.0.0.1:0", log: Logger = RunningServer.quiet,
    _ change: (inout ServerConfiguration) -> Void = { _ in }
  ) async throws -> RunningServer {
    var configuration = ServerConfiguration(listen: [Wire.SocketAddress(address)!])
    configuration.lingerTimeout = .milliseconds(100)
    change(&configuration)
    let server = DWNServer(serving: endpoint, configuration: configuration, log: log)
    return RunningServer(server: server, address: try await server.start()[0])
  }

  private static var quiet: Logger {
    var log = Logger(label: "test")
    log.logLevel = .critical
    return log
  }

  var url: EndpointURL { get throws { try EndpointURL("http://\(address)") } }

  /// Sends bytes over a fresh connection and returns what comes back until the other side closes, or until `end` has come. Throws if
  /// the time is up before.
  func exchange(
    _ bytes: String, until end: String? = nil, limit: TimeAmount = .minutes(2)
  ) async throws -> String {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: address.ip.description, port: Int(address.port)) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    let isLate = Mutex(false)
    let closing = channel.channel.eventLoop.scheduleTask(in: limit) {
      isLate.withLock { $0 = true }
      channel.channel.close(promise: nil)
    }
    defer { closing.cancel() }
    let received = Mutex("")
    do {
      try await channel.executeThenClose { inbound, outbound in
        try await outbound.write(ByteBuffer(string: bytes))
        for try await part in inbound {
          received.withLock { $0 += String(buffer: part) }
          if let end, received.withLock({ $0.contains(end) }) { break }
        }
      }
    } catch {
      // A connection that was closed on us, before or after an answer, is as good as one that ended.
    }
    let text = received.withLock { $0 }
    if isLate.withLock({ $0 }) { throw TestTenancy.Unexpected(text: "the connection stays open, after: \(text)") }
    return text
  }
}
