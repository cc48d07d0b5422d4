import NIOCore
import NIOHTTP1
import NIOPosix

/// Writes a file as the body of an answer. A piece is read once the one before it has left, so that a client that reads slowly holds
/// one piece in memory.
final class FileBody {
  static let piece = 256 << 10

  private let file: DataFile
  private let context: ChannelHandlerContext
  private let written: EventLoopPromise<Void>
  private var offset = 0

  private init(_ file: DataFile, _ context: ChannelHandlerContext, _ written: EventLoopPromise<Void>) {
    self.file = file
    self.context = context
    self.written = written
  }

  /// On the event loop of the context. `written` ends with the last piece.
  static func write(_ file: DataFile, _ context: ChannelHandlerContext, written: EventLoopPromise<Void>) {
    FileBody(file, context, written).writeNext()
  }

  private func writeNext() {
    guard offset < file.size else { return written.succeed() }
    let range = offset..<min(offset + Self.piece, file.size)
    offset = range.upperBound
    NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { [file] in try file.read(range) }
      .assumeIsolated()
      .flatMap { [context] bytes in
        context.writeAndFlush(NIOAny(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes)))))
      }
      .whenComplete { result in
        switch result {
        case .success: self.writeNext()
        case .failure(let error): self.written.fail(error)
        }
      }
  }
}
