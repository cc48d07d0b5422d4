import NIOCore
import Wire

/// Looks at the first bytes of a connection, or of what comes through its TLS, to find out what is spoken on it.
///
/// It holds back what came until the rest of the pipeline stands, and leaves.
final class OpeningBytes<Finding: Sendable>: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let limit: NIODeadline
  private let recognize: (ByteBufferView) -> Finding?
  private let install: (Finding, any Channel) throws -> Void
  private var held = ByteBuffer()
  private var isRecognized = false
  private var deadline: Scheduled<Void>?

  /// - Parameters:
  ///   - limit: when the connection is closed if nothing was recognized.
  ///   - recognize: what the bytes are the beginning of; `nil`: more of them will tell.
  ///   - install: builds the pipeline for it. What it throws ends the connection.
  init(
    before limit: NIODeadline, recognize: @escaping (ByteBufferView) -> Finding?,
    install: @escaping (Finding, any Channel) throws -> Void
  ) {
    self.limit = limit
    self.recognize = recognize
    self.install = install
  }

  func handlerAdded(context: ChannelHandlerContext) {
    deadline = context.eventLoop.assumeIsolated().scheduleTask(deadline: limit) { context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ServerIsClosing || event is PlaceIsNeeded { context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    if held.readableBytes == 0 { held = bytes } else { held.writeBuffer(&bytes) }
    guard !isRecognized, let finding = recognize(held.readableBytesView) else { return }
    isRecognized = true
    do {
      try install(finding, context.channel)
      context.pipeline.syncOperations.removeHandler(self, promise: nil)
    } catch {
      context.close(promise: nil)
    }
  }

  func removeHandler(context: ChannelHandlerContext, removalToken: ChannelHandlerContext.RemovalToken) {
    while held.readableBytes > 0 {
      let bytes = held
      held = ByteBuffer()
      context.fireChannelRead(wrapInboundOut(bytes))
    }
    context.fireChannelReadComplete()
    context.leavePipeline(removalToken: removalToken)
  }
}
