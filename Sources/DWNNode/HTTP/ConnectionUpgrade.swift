public import NIOCore
public import NIOHTTP1
import NIOWebSocket

/// Another protocol that is spoken on the node's port: it takes over a connection whose first request asks for it.
///
/// The connection counts among the server's, and is closed with it after `ServerIsClosing` has gone through its pipeline as an inbound
/// user event.
public protocol ConnectionUpgrade: Sendable {
  /// What the request's `Upgrade` header names, in lower case.
  var name: String { get }

  /// Whether it wants this request.
  func accepts(_ head: HTTPRequestHead) -> Bool

  /// Takes the connection, after 101 was sent and everything of HTTP has left the pipeline. On the connection's event loop.
  func takeOver(_ channel: any Channel, _ head: HTTPRequestHead) -> EventLoopFuture<Void>
}

/// Fits an upgrade into the handling of HTTP.
struct ConnectionTakeover: HTTPServerProtocolUpgrader {
  let upgrade: any ConnectionUpgrade

  var supportedProtocol: String { upgrade.name }
  var requiredUpgradeHeaders: [String] { [] }

  func buildUpgradeResponse(
    channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
  ) -> EventLoopFuture<HTTPHeaders> {
    upgrade.accepts(upgradeRequest)
      ? channel.eventLoop.makeSucceededFuture(initialResponseHeaders)
      : channel.eventLoop.makeFailedFuture(NIOWebSocketUpgradeError.unsupportedWebSocketTarget)
  }

  func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
    upgrade.takeOver(context.channel, upgradeRequest)
  }
}
