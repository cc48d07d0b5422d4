import NIOCore
import Wire

/// Looks at the first byte of a connection, so that TLS and HTTP share a port: 0x16 begins a TLS handshake, and no request of HTTP.
///
/// It holds back what came until the rest of the pipeline stands, and leaves.
final class FirstByte: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private static let handshakeRecord: UInt8 = 0x16

  private let timeout: Duration
  private let decide: (_ isTLS: Bool, _ channel: any Channel) -> EventLoopFuture<Void>
  private var held: [ByteBuffer] = []
  private var isDeciding = false
  private var deadline: Scheduled<Void>?

  init(timeout: Duration, decide: @escaping (_ isTLS: Bool, _ channel: any Channel) -> EventLoopFuture<Void>) {
    self.timeout = timeout
    self.decide = decide
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let here = NIOLoopBound(context, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: .nanoseconds(timeout.nanoseconds)) { here.value.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ServerIsClosing { context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    held.append(unwrapInboundIn(data))
    guard !isDeciding, let first = held.lazy.compactMap(\.readableBytesView.first).first else { return }
    isDeciding = true
    let here = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    decide(first == Self.handshakeRecord, context.channel).whenComplete { result in
      let (handler, context) = here.value
      switch result {
      case .success: context.pipeline.syncOperations.removeHandler(handler, promise: nil)
      case .failure: context.close(promise: nil)
      }
    }
  }

  func removeHandler(context: ChannelHandlerContext, removalToken: ChannelHandlerContext.RemovalToken) {
    while !held.isEmpty { context.fireChannelRead(wrapInboundOut(held.removeFirst())) }
    context.fireChannelReadComplete()
    context.leavePipeline(removalToken: removalToken)
  }
}
