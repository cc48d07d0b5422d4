import DWN
import Identity
import NIOCore
import NIOWebSocket
import Synchronization
import Wire

/// One WebSocket connection to a node, with all subscriptions that go over it.
final class SocketConnection: Sendable {
  private let channel: any Channel
  private let session: Mutex<SocketSession>
  private let budget = FrameBudget(bytes: SocketLimits.waitingBytes)
  private let random: any RandomSource
  private let replyTimeout: Duration

  init(_ channel: any Channel, name: String, replyTimeout: Duration, random: any RandomSource) {
    self.channel = channel
    self.session = Mutex(SocketSession(name: name))
    self.replyTimeout = replyTimeout
    self.random = random
  }

  /// Whether a new subscription can be opened over it.
  var isUsable: Bool { channel.isActive && session.withLock { $0.failure == nil && !$0.isFull } }

  // MARK: - Subscriptions

  /// `nil`, and nothing was sent, when the connection has ended, perhaps since nobody needed it a moment ago.
  func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?)? {
    let (call, id) = (Hex.encode(random.bytes(8)), Hex.encode(random.bytes(16)))
    let buffer = SubscriptionBuffer(budget: budget)
    let request = SocketRequest.subscribe(call: call, subscription: id, tenant: tenant, message: message)
    guard session.withLock({ $0.begin(id, call: call, buffer: buffer) }) else { return nil }
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { answer in
        let failure = session.withLock { session -> EndpointError? in
          if let failure = session.failure { return failure }
          if Task.isCancelled {
            _ = session.close(id)
            return .unreachable(name: session.name, reason: "the request was cancelled")
          }
          session.wait(for: call, answer)
          return nil
        }
        if let failure { return answer.resume(returning: .failure(failure)) }
        send(request)
        channel.eventLoop.scheduleTask(in: .nanoseconds(replyTimeout.nanoseconds)) {
          self.abandon(call) { .timedOut(name: $0) }
        }
      }
    } onCancel: {
      abandon(call) { .unreachable(name: $0, reason: "the request was cancelled") }
    }
    let reply: Reply
    do { reply = try result.get() } catch {
      closeIfIdle()
      throw error
    }
    guard reply.status.isSuccess else {
      closeIfIdle()
      return (reply, nil)
    }
    return (reply, SocketSubscription(id: id, buffer: buffer, connection: self))
  }

  private func abandon(_ call: String, _ error: (String) -> EndpointError) {
    let (abandoned, name) = session.withLock { ($0.abandon(call: call), $0.name) }
    guard let abandoned else { return }
    if let subscription = abandoned.subscription { sendClose(of: subscription) }
    abandoned.answer.resume(returning: .failure(error(name)))
  }

  func acknowledge(_ cursor: ProgressToken, of subscription: String) {
    session.withLock { $0.acknowledge(cursor, of: subscription) }
    sendAcknowledgements()
  }

  func close(_ subscription: String) {
    if session.withLock({ $0.close(subscription) }) { sendClose(of: subscription) }
    closeIfIdle()
  }

  private func sendClose(of subscription: String) {
    send(SocketRequest.close(call: Hex.encode(random.bytes(8)), subscription: subscription))
  }

  /// Closes it unless somebody needs it: in one step, so that nobody begins to meanwhile.
  func closeIfIdle() {
    let closed = closedHere
    if session.withLock({ $0.endIfIdle(closed) }) { disconnect() }
  }

  // MARK: - The channel

  /// A text came in.
  func received(_ text: [UInt8]) {
    switch session.withLock({ $0.received(text) }) {
    case .nothing: break
    case .answer(let waiting, let answer): waiting.resume(returning: answer)
    case .disconnect(let error):
      ended(error)
      channel.close(promise: nil)
    }
  }

  /// The connection is gone; all subscriptions end with this error.
  func ended(_ error: EndpointError) {
    let (waiting, failure) = session.withLock {
      (
        $0.end(error), $0.failure ?? error
      )
    }
    for answer in waiting { answer.resume(returning: .failure(failure)) }
  }

  /// Says good-bye and closes.
  func disconnect() {
    ended(closedHere)
    let channel = channel
    channel.writeAndFlush(WebSocketFrame.goodBye).whenComplete { _ in channel.close(promise: nil) }
  }

  private var closedHere: EndpointError {
    .unreachable(name: session.withLock { $0.name }, reason: "the connection was closed here")
  }

  /// Acknowledgements wait while the node does not read: at most one for each subscription.
  func sendAcknowledgements() {
    guard channel.isWritable else { return }
    for (id, cursor) in session.withLock({ $0.takeAcknowledgements() }) {
      send(SocketRequest.acknowledge(cursor, subscription: id))
    }
  }

  private func send(_ json: JSONValue) {
    channel.writeAndFlush(
      WebSocketFrame(fin: true, opcode: .text, maskKey: .random(), data: ByteBuffer(bytes: json.encoded)), promise: nil)
  }
}

/// A subscription over a connection that others share.
struct SocketSubscription: SubscriptionSource {
  let id: String
  let buffer: SubscriptionBuffer
  let connection: SocketConnection

  func next() async throws(EndpointError) -> SubscriptionFrame? { try await buffer.next() }

  func acknowledge(_ cursor: ProgressToken) { connection.acknowledge(cursor, of: id) }

  func close() {
    buffer.close()
    connection.close(id)
  }
}

/// What a node may make this side hold.
enum SocketLimits {
  /// Of one message, in bytes. Our nodes keep to 32 KiB; others send whatever an event needs.
  static let largestMessage = 4 << 20
  static let mostFragments = 256
  /// Of all frames of one connection that nobody has taken yet, in bytes.
  static let waitingBytes = 32 << 20
}

extension WebSocketFrame {
  /// The close frame of a client that has had enough.
  static var goodBye: WebSocketFrame {
    var data = ByteBuffer()
    data.write(webSocketErrorCode: .normalClosure)
    return WebSocketFrame(fin: true, opcode: .connectionClose, maskKey: .random(), data: data)
  }
}
