public import NIOCore

extension Channel {
  /// Sends the bytes again and again for as long as somebody reads them. Between the rounds the event loop does what else it has to:
  /// where a reader on another loop keeps up, a loop of writes alone would never end.
  public func pour(_ bytes: ByteBuffer) {
    eventLoop.execute {
      guard self.isActive else { return }
      for _ in 0..<16 { self.write(bytes, promise: nil) }
      self.writeAndFlush(bytes).whenSuccess { _ in self.pour(bytes) }
    }
  }
}
