import NIOWebSocket
import Wire

/// What a client may send over one connection, as a value: so many frames and bytes, and an acknowledgement for each frame that it was
/// sent.
struct SocketIntake: Sendable {
  private let limits: WebSocketConfiguration
  private var control: TokenBucket
  private var frames: TokenBucket
  private var bytes: TokenBucket
  /// Frames that may still be acknowledged.
  private var unacknowledged = 0

  init(_ limits: WebSocketConfiguration, now: Instant) {
    self.limits = limits
    control = TokenBucket(full: limits.controlRate, now: now)
    frames = TokenBucket(full: limits.frameRate, now: now)
    bytes = TokenBucket(full: limits.byteRate, now: now)
  }

  /// So many frames went out that a client acknowledges.
  mutating func sent(_ count: Int) { unacknowledged = min(unacknowledged + count, Self.mostUnderWay) }

  /// Of all subscriptions of a connection together: each has a window.
  private static let mostUnderWay = 64 * SubscriptionProgress.window

  /// Why a frame is one too many; `nil` if it is not. Asked of each before it is looked at, a text apart that may be an
  /// acknowledgement: that is asked about when it is known for one.
  mutating func excess(_ opcode: WebSocketOpcode, length: Int, now: Instant) -> String? {
    if opcode == .text, length <= limits.largestAcknowledgement { return nil }
    if opcode != .text, opcode != .pong, control.take(limits.controlRate, now: now) != nil {
      return "too many control frames and fragments"
    }
    return take(length, now: now)
  }

  /// Of a short text, once it is known what it is.
  mutating func excess(isAcknowledgement: Bool, length: Int, now: Instant) -> String? {
    guard isAcknowledgement else {
      // What is longer was counted before it was looked at.
      return length <= limits.largestAcknowledgement ? take(length, now: now) : nil
    }
    guard length <= limits.largestAcknowledgement else {
      return "an acknowledgement has at most \(limits.largestAcknowledgement) bytes"
    }
    guard unacknowledged == 0 else {
      unacknowledged -= 1
      return nil
    }
    return control.take(limits.controlRate, now: now) == nil ? nil : "more is acknowledged than was sent"
  }

  private mutating func take(_ length: Int, now: Instant) -> String? {
    if frames.take(limits.frameRate, now: now) != nil { return "too many frames" }
    return bytes.take(limits.byteRate, length, now: now) == nil ? nil : "too many bytes"
  }
}
