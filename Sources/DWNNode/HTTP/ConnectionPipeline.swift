import Logging
import NIOCore
import NIOHTTP1
import Wire

/// Builds what a new connection runs through. Whatever must look at the first bytes of a connection comes in front of `install`'s
/// HTTP handlers, and calls `addHTTP` once it knows that they are meant.
struct ConnectionPipeline: Sendable {
  /// Largest name and value of one header, in bytes; a message travels in one.
  static let largestHeader = 80 << 10
  /// All headers of a request together, in bytes, and their number.
  static let largestHead = 128 << 10
  static let mostHeaders = 100

  let routes: NodeRoutes
  let configuration: ServerConfiguration
  let connections: Connections
  let log: Logger

  func install(on channel: any Channel) -> EventLoopFuture<Void> {
    guard connections.admit(channel) else {
      log.debug(
        "connection refused: too many are open", metadata: ["from": "\(channel.remoteAddress?.description ?? "?")"])
      return channel.close()
    }
    return addHTTP(to: channel)
  }

  func addHTTP(to channel: any Channel) -> EventLoopFuture<Void> {
    channel.eventLoop.makeCompletedFuture {
      var limits = NIOHTTPDecoderLimitConfiguration()
      limits.maxHeaderFieldSize = Self.largestHeader
      limits.maxHeaderListSize = Self.largestHead
      limits.maxHeaderFieldCount = Self.mostHeaders
      let pipeline = channel.pipeline.syncOperations
      try pipeline.configureHTTPServerPipeline(
        withPipeliningAssistance: true, withErrorHandling: false, withEncoderConfiguration: .init(),
        withDecoderLimitConfiguration: limits)
      try pipeline.addHandler(
        RequestHandler(routes: routes, configuration: configuration, connections: connections))
    }
  }
}
