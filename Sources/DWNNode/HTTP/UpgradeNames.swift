import NIOCore
import NIOHTTP1

/// Leaves in the `Upgrade` of a connection's first request the one protocol that there is, once, or nothing.
///
/// NIO's handler for upgrades calls itself for every name in that header, so that tens of thousands of them end the process. It looks at the
/// first request alone, and so does this.
final class UpgradeNames: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var part = unwrapInboundIn(data)
    if case .head(var head) = part {
      let isWanted = head.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
      head.headers.remove(name: "upgrade")
      if isWanted { head.headers.add(name: "upgrade", value: "websocket") }
      part = .head(head)
    }
    context.fireChannelRead(wrapInboundOut(part))
    // Before an upgrade is over, after which no requests come.
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }
}
