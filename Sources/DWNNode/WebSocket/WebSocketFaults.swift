import NIOCore
import NIOWebSocket
import Wire

/// Ends a connection in words: over frames that cannot be read, with the server, and where somebody else needs the place.
final class WebSocketFaults: ChannelInboundHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = WebSocketFrame
  typealias OutboundOut = WebSocketFrame

  private let linger: Duration
  private let service: MessageService
  private let caller: Caller
  private var isEnding = false

  init(linger: Duration, service: MessageService, caller: Caller) {
    self.linger = linger
    self.service = service
    self.caller = caller
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if !isEnding { context.fireChannelRead(data) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error {
    case NIOWebSocketError.invalidFrameLength: end(.messageTooLarge, "the frame is too large", context)
    case is NIOWebSocketError: end(.protocolError, "not a frame", context)
    default: if !isEnding { context.close(promise: nil) }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ServerIsClosing { end(.goingAway, "the server ends", context, isAbuse: false) }
    if event is PlaceIsNeeded { end(.goingAway, "the place is needed", context, isAbuse: false) }
    context.fireUserInboundEventTriggered(event)
  }

  private func end(
    _ code: WebSocketErrorCode, _ reason: String, _ context: ChannelHandlerContext, isAbuse: Bool = true
  ) {
    guard !isEnding else { return }
    isEnding = true
    if isAbuse { service.reportEnd(Int(UInt16(webSocketErrorCode: code)), reason, caller, as: .webSocketAbuse) }
    context.writeAndFlush(wrapOutboundOut(.close(code, reason)), promise: nil)
    // The other side gets to read why, and closes by itself.
    let here = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: .nanoseconds(linger.nanoseconds)) { here.value.close(promise: nil) }
  }
}
