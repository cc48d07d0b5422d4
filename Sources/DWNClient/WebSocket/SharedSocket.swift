import DWN
import Identity
import Synchronization
import Wire

/// The one socket over which all subscriptions at a node go: made when the first is opened, closed when the last one ends, made
/// anew after it broke.
final class SharedSocket: Sendable {
  private typealias Attempt = Task<SocketConnection, any Error>

  private enum State {
    case idle
    /// Whoever subscribes meanwhile waits for the same connection.
    case connecting(Attempt)
    case open(SocketConnection)
    case shutDown
  }

  private let state = Mutex(State.idle)
  private let dialer: SocketDialer

  init(_ dialer: SocketDialer) {
    self.dialer = dialer
  }

  deinit {
    drop()
  }

  func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    do throws(SocketDialer.Failure) {
      // Who is given a connection may find it closed by then, since its last subscription ended: a fresh one is made once.
      for _ in 0..<2 {
        let connection = try await self.connection()
        do throws(EndpointError) {
          if let opened = try await connection.subscribe(tenant: tenant, message: message) { return opened }
        } catch {
          throw .endpoint(error)
        }
      }
    } catch {
      switch error {
      case .endpoint(let error): throw error
      case .unsupported(let status):
        let detail = "RecordsSubscribeEventLogUnimplemented: \(dialer.url) does not speak WebSocket (HTTP \(status))"
        return (Reply(.init(501, detail)), nil)
      }
    }
    throw .unreachable(name: dialer.url.text, reason: "its connections end before anything is sent")
  }

  /// Closes the connection, with everything on it; the next subscription makes a new one.
  func drop() { end(.idle) }

  /// Closes the connection for good.
  func shutdown() { end(.shutDown) }

  private func end(_ next: State) {
    let before = state.withLock { state in
      defer { if case .shutDown = state {} else { state = next } }
      return state
    }
    switch before {
    case .open(let connection): connection.disconnect()
    case .connecting(let attempt): Task { try? await attempt.value.disconnect() }
    case .idle, .shutDown: break
    }
  }

  private func connection() async throws(SocketDialer.Failure) -> SocketConnection {
    let attempt: Attempt? = state.withLock { state in
      switch state {
      case .open(let connection) where connection.isUsable: return Attempt { connection }
      case .connecting(let attempt): return attempt
      case .shutDown: return nil
      case .idle, .open:
        let dialer = dialer
        let attempt = Attempt { try await dialer.connect() }
        state = .connecting(attempt)
        return attempt
      }
    }
    guard let attempt else { throw .endpoint(.unreachable(name: dialer.url.text, reason: "the client was shut down")) }
    switch await outcome(of: attempt) {
    case nil: throw .endpoint(.unreachable(name: dialer.url.text, reason: "the request was cancelled"))
    case .success(let connection): return connection
    case .failure(let error as SocketDialer.Failure): throw error
    case .failure(let error):
      throw .endpoint(.unreachable(name: dialer.url.text, reason: String("\(error)".prefix(200))))
    }
  }

  /// What comes of an attempt; `nil` if whoever asks is cancelled first. The attempt goes on, for the others who wait for it.
  private func outcome(of attempt: Attempt) async -> Result<SocketConnection, any Error>? {
    let (outcomes, sink) = AsyncStream<Result<SocketConnection, any Error>>.makeStream()
    Task { [weak self] in
      let result = await attempt.result
      self?.settle(attempt, result)
      // Nobody else may be there to need the connection.
      if case .terminated = sink.yield(result), case .success(let connection) = result { connection.closeIfIdle() }
      sink.finish()
    }
    return await outcomes.first { _ in true }
  }

  private func settle(_ attempt: Attempt, _ result: Result<SocketConnection, any Error>) {
    state.withLock { state in
      guard case .connecting(attempt) = state else { return }
      if case .success(let connection) = result { state = .open(connection) } else { state = .idle }
    }
  }
}
