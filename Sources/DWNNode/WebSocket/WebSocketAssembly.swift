import NIOCore
import NIOWebSocket

/// Puts messages together from the frames of a client (RFC 6455 5), within bounds.
struct WebSocketAssembly: Sendable {
  enum Event: Equatable {
    /// A part of a message whose end has not come.
    case incomplete
    case text(String)
    case ping(ByteBuffer)
    case pong
    case close
    /// What the other side must not do; the connection ends with this code.
    case violation(WebSocketErrorCode, String)
  }

  /// In bytes.
  let largestMessage: Int
  let mostFragments: Int
  private var begun: ByteBuffer?
  private var fragments = 0

  init(largestMessage: Int, mostFragments: Int = 64) {
    self.largestMessage = largestMessage
    self.mostFragments = mostFragments
  }

  mutating func receive(_ frame: WebSocketFrame) -> Event {
    guard frame.maskKey != nil else { return .violation(.protocolError, "frames of a client are masked") }
    guard !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
      return .violation(.protocolError, "no extension was agreed on")
    }
    let data = frame.unmaskedData
    switch frame.opcode {
    case .text where begun == nil, .continuation where begun != nil: return append(data, isLast: frame.fin)
    case .text: return .violation(.protocolError, "a message begins before the one before it has ended")
    case .continuation: return .violation(.protocolError, "there is nothing to continue")
    case .binary: return .violation(.unacceptableData, "messages are text")
    case .ping: return .ping(data)
    case .pong: return .pong
    case .connectionClose: return .close
    default: return .violation(.protocolError, "an opcode that is not known")
    }
  }

  private mutating func append(_ data: ByteBuffer, isLast: Bool) -> Event {
    var message = begun ?? ByteBuffer()
    fragments += 1
    guard message.readableBytes + data.readableBytes <= largestMessage else {
      return .violation(.messageTooLarge, "a message has at most \(largestMessage) bytes")
    }
    guard fragments <= mostFragments else {
      return .violation(.policyViolation, "a message has at most \(mostFragments) fragments")
    }
    message.writeImmutableBuffer(data)
    guard isLast else {
      begun = message
      return .incomplete
    }
    begun = nil
    fragments = 0
    guard let text = String(validating: message.readableBytesView, as: UTF8.self) else {
      return .violation(.dataInconsistentWithMessage, "a text is UTF-8")
    }
    return .text(text)
  }
}

extension WebSocketFrame {
  static func text(_ text: [UInt8]) -> WebSocketFrame {
    WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(bytes: text))
  }

  /// A close frame with its reason, which is cut to what a control frame holds.
  static func close(_ code: WebSocketErrorCode, _ reason: String) -> WebSocketFrame {
    var data = ByteBuffer()
    data.write(webSocketErrorCode: code)
    data.writeString(String(reason.unicodeScalars.filter(\.isASCII).prefix(123).map(Character.init)))
    return WebSocketFrame(fin: true, opcode: .connectionClose, data: data)
  }
}
