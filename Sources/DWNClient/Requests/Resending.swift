import Wire

/// Whether a request that failed is sent again, and after how long: a value without I/O, one for each request.
///
/// Every message may be sent again with the same bytes. It is named by its content, so that a node which took it before its answer
/// was lost answers 409 (a delete: 409 or 404), and the caller finds there what it sent. What is *not* sent again here is what a
/// caller decides better, who may have another endpoint: a node that cannot be reached, is silent, or asks for a long pause.
struct Resending {
  /// What kept a request from being answered.
  enum Failure: Hashable, Sendable {
    /// A connection that stood was closed before the answer: as a pooled one is that the node had given up.
    case connectionLost
    /// This side closed all connections, since its addresses changed.
    case connectionsDropped
    /// A gateway says that the node behind it is busy or restarting (HTTP status 502, 503, 504).
    case gateway
    case rateLimited(Duration)
    case other
  }

  static let attempts = 4
  static let firstPause: Duration = .milliseconds(200)
  /// The longest pause that a node asks for and that is waited here.
  static let longestPause: Duration = .seconds(2)

  /// For the request and all its repetitions together.
  let timeout: Duration
  private var failures = 0
  private var nextPause = firstPause

  init(timeout: Duration) {
    self.timeout = timeout
  }

  /// How long to wait before the request is sent again; `nil`: it is not. `elapsed` is the time since it was sent first; `jitter`,
  /// from 0 to 1, spreads many clients.
  mutating func pause(after failure: Failure, elapsed: Duration, jitter: Double) -> Duration? {
    failures += 1
    guard failures < Self.attempts else { return nil }
    let pause: Duration
    switch failure {
    case .other: return nil
    case .connectionsDropped: pause = .zero
    case .connectionLost where failures == 1: pause = .zero
    case .connectionLost, .gateway:
      pause = nextPause * (0.5 + jitter)
      nextPause = nextPause * 2
    case .rateLimited(let least):
      guard least <= Self.longestPause else { return nil }
      pause = least * (1 + 0.2 * jitter)
    }
    return elapsed + pause < timeout ? pause : nil
  }
}
