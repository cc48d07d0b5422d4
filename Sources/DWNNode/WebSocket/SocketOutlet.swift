import NIOCore
import NIOWebSocket
import Synchronization
import Wire

/// What one connection sends, and what of it the client has not taken yet.
///
/// All of it counts in the server's budget until it has left. A client that takes too long for it is known by `isOverdue`, whatever
/// else it says.
final class SocketOutlet: Sendable {
  /// There is no memory for one more answer until others are read.
  struct Full: Error {}

  private struct State {
    /// Frames that have not left.
    var pending = 0
    /// When all of them should have.
    var deadline = Instant(nanoseconds: 0)
  }

  private let channel: any Channel
  private let caller: Caller
  private let budget: ByteBudget
  /// What a client has for anything at all, and how many bytes a second it takes at least.
  private let patience: Duration
  private let slowestRate: Int
  private let state = Mutex(State())

  init(_ channel: any Channel, caller: Caller, budget: ByteBudget, patience: Duration, slowestRate: Int) {
    self.channel = channel
    self.caller = caller
    self.budget = budget
    self.patience = patience
    self.slowestRate = slowestRate
  }

  /// Whether something should have left by now.
  func isOverdue(now: Instant) -> Bool { state.withLock { $0.pending > 0 && now > $0.deadline } }

  /// Sends an answer. Returns when it has left; throws `Full` where there is no room for it.
  func answer(_ text: [UInt8]) async throws {
    guard budget.take(text.count, for: caller) else { throw Full() }
    defer { budget.give(text.count, for: caller) }
    try await send(.text(text))
  }

  /// Sends an event, once there is room for it. Returns when it has left.
  func event(_ text: [UInt8]) async throws {
    while !budget.take(text.count, for: caller) { try await Task.sleep(for: .milliseconds(50)) }
    defer { budget.give(text.count, for: caller) }
    try await send(.text(text))
  }

  /// Sends what is small, of which there is one at a time: a refusal, or what belongs to the connection itself.
  func send(_ frame: WebSocketFrame) async throws {
    begin(frame)
    defer { end() }
    try await channel.writeAndFlush(frame).get()
  }

  /// Sends a frame that nobody waits for.
  func put(_ frame: WebSocketFrame) {
    begin(frame)
    channel.writeAndFlush(frame).whenComplete { _ in self.end() }
  }

  private func begin(_ frame: WebSocketFrame) {
    let now = Instant.now()
    state.withLock { state in
      if state.pending == 0 { state.deadline = now + patience }
      state.pending += 1
      state.deadline = state.deadline + .seconds(Double(frame.data.readableBytes) / Double(slowestRate))
    }
  }

  private func end() { state.withLock { $0.pending -= 1 } }
}
