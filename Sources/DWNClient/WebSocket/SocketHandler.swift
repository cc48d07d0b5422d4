import DWN
import NIOCore
import NIOWebSocket
import Wire

/// Stands at the end of a connection's pipeline: passes texts on, answers pings, and gives a silent connection up.
final class SocketHandler: ChannelInboundHandler {
  typealias InboundIn = WebSocketFrame
  typealias OutboundOut = WebSocketFrame

  private let connection: SocketConnection
  private let name: String
  private let heartbeat: TimeAmount
  /// Whether something came since the last beat.
  private var isHeard = true
  private var beat: RepeatedTask?
  private var failure: EndpointError?

  init(_ connection: SocketConnection, name: String, heartbeat: Duration) {
    self.connection = connection
    self.name = name
    self.heartbeat = .nanoseconds(heartbeat.nanoseconds)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    beat = context.eventLoop.scheduleRepeatedTask(initialDelay: heartbeat, delay: heartbeat) { _ in
      let (handler, context) = bound.value
      handler.tick(context)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) { beat?.cancel() }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    isHeard = true
    let frame = unwrapInboundIn(data)
    switch frame.opcode {
    case .text: connection.received(Array(frame.unmaskedData.readableBytesView))
    case .ping:
      // A node that pings without end and does not read is given up by the heartbeat, and until then is not answered.
      guard context.channel.isWritable else { return }
      let pong = WebSocketFrame(fin: true, opcode: .pong, maskKey: .random(), data: frame.unmaskedData)
      context.writeAndFlush(wrapOutboundOut(pong), promise: nil)
    case .pong: break
    case .connectionClose:
      var data = frame.unmaskedData
      let code = data.readWebSocketErrorCode().map { " (\(UInt16(webSocketErrorCode: $0)))" } ?? ""
      failure = .unreachable(name: name, reason: "it closed the connection\(code)")
      let (channel, wrapped) = (context.channel, wrapOutboundOut(.goodBye))
      context.writeAndFlush(wrapped).whenComplete { _ in channel.close(promise: nil) }
    default:
      failure = .notADWN(name: name, reason: "it sends WebSocket frames that are no text")
      context.close(promise: nil)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    connection.sendAcknowledgements()
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    connection.ended(failure ?? .unreachable(name: name, reason: "the connection was closed"))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    failure =
      switch error {
      case is NIOWebSocketError, is NIOWebSocketFrameAggregator.Error:
        .notADWN(name: name, reason: "it sends WebSocket frames that are too large, or none")
      default: TransportFailure.describe(error, name: name, limits: .init())
      }
    context.close(promise: nil)
  }

  private func tick(_ context: ChannelHandlerContext) {
    guard isHeard else {
      failure = .timedOut(name: name)
      return context.close(promise: nil)
    }
    isHeard = false
    context.writeAndFlush(
      wrapOutboundOut(WebSocketFrame(fin: true, opcode: .ping, maskKey: .random(), data: ByteBuffer())), promise: nil)
  }
}
