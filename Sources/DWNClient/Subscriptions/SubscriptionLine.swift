public import DWN
public import Wire

/// One subscription over however many connections it takes: when to open it, from where, what a frame means, and when to give up
/// (`dwn-server.md` 12.5). A value without I/O.
///
/// Frames come at least once: what was handled and not remembered comes again. A node that says nonsense about positions is left
/// as one is that breaks the connection, and then the subscription begins anew, with a look at everything.
public struct SubscriptionLine: Sendable {
  public static let firstPause: Duration = .seconds(1)
  public static let longestPause: Duration = .seconds(30)

  public enum State: Hashable, Sendable {
    /// To be opened at this time.
    case due(Instant)
    case opening
    case live
    /// The node will not have it, and why. Stays so until `restart`.
    case refused(String)
  }

  public private(set) var state: State
  /// The place up to which everything is durable here; the next connection goes on from it.
  public private(set) var remembered: ProgressToken?
  /// The place of the last frame of this connection.
  private var last: ProgressToken?
  private var openedAt = Instant(nanoseconds: 0)
  private var pause = firstPause

  /// To be opened at once, after `remembered` if there is something.
  public init(remembered: ProgressToken? = nil, at now: Instant) {
    self.remembered = remembered
    state = .due(now)
  }

  /// When to open it; `nil` while it is open, or refused.
  public var deadline: Instant? { if case .due(let time) = state { time } else { nil } }

  public var isLive: Bool { state == .live }

  // MARK: - Opening

  /// Begins an attempt. Returns the cursor that the request has to carry; `nil`: none, and the node begins with what is new.
  public mutating func open() -> ProgressToken? {
    state = .opening
    last = remembered
    return remembered
  }

  /// What a node's reply to a subscribe means.
  public enum Opening: Hashable, Sendable {
    /// Live. Nothing was missed.
    case resumed
    /// Live from now on: what was stored before has to be asked for.
    case begun
    /// Not live; `deadline` says when to try again.
    case later
    /// Not live, and not to be tried again unless something else changes.
    case refused(String)
  }

  public mutating func opened(_ reply: Reply, at now: Instant, jitter: Double = 0.5) -> Opening {
    switch reply.status.code {
    case 200..<300:
      state = .live
      openedAt = now
      return remembered == nil ? .begun : .resumed
    case 410 where remembered != nil:
      remembered = nil
      wait(atLeast: .zero, at: now, jitter)
      return .later
    case 408, 410, 429: break
    case 400..<500, 501:
      let reason = "\(reply.status.code) \(reply.status.detail.prefix(200))"
      state = .refused(reason)
      return .refused(reason)
    default: break
    }
    wait(atLeast: .zero, at: now, jitter)
    return .later
  }

  // MARK: - Frames

  /// What to do with a frame.
  public enum Receipt: Hashable, Sendable {
    /// Handle it, make its effect durable, then call `remember`.
    case handle(SubscriptionEvent)
    /// Nothing to handle, but a place to remember and to acknowledge.
    case pass(ProgressToken)
    /// The node goes back, repeats itself, or speaks of another feed: close the subscription. It begins anew, without a cursor.
    case nonsense
    /// The node ended it: close the subscription. If `isFinal`, it is refused from now on.
    case ended(reason: String, isFinal: Bool)
  }

  public mutating func received(_ frame: SubscriptionFrame, at now: Instant, jitter: Double = 0.5) -> Receipt {
    if case .failed(_, let code, let detail) = frame {
      let reason = "\(code.prefix(100)): \(detail.prefix(200))"
      if code == "ProgressGap" {
        remembered = nil
        wait(atLeast: .zero, at: now, jitter)
        return .ended(reason: reason, isFinal: false)
      }
      state = .refused(reason)
      return .ended(reason: reason, isFinal: true)
    }
    guard let cursor = frame.cursor, isInOrder(cursor, after: last, frame) else {
      remembered = nil
      wait(atLeast: .zero, at: now, jitter)
      return .nonsense
    }
    last = cursor
    if case .event(let event) = frame { return .handle(event) }
    return .pass(cursor)
  }

  private func isInOrder(_ cursor: ProgressToken, after last: ProgressToken?, _ frame: SubscriptionFrame) -> Bool {
    guard let last else { return true }
    guard cursor.isInSameFeed(as: last) else { return false }
    if case .endOfStored = frame { return cursor.position >= last.position }
    return cursor.position > last.position
  }

  /// The effect of everything up to here is durable. Acknowledge it to the node after this.
  public mutating func remember(_ cursor: ProgressToken) {
    remembered = cursor
  }

  // MARK: - Ends

  /// The connection broke, or could not be made. `jitter`, from 0 to 1, spreads many daemons.
  public mutating func broke(_ error: EndpointError?, at now: Instant, jitter: Double = 0.5) {
    if case .refused = state { return }
    switch error {
    case .refused(_, let reason): state = .refused(reason)
    case .rateLimited(_, let least): wait(atLeast: least, at: now, jitter)
    default: wait(atLeast: .zero, at: now, jitter)
    }
  }

  /// Something changed that the node's refusal may have rested on, such as this machine's rights: to be tried again at once. What
  /// is open or about to be opened stays as it is.
  public mutating func restart(at now: Instant) {
    guard case .refused = state else { return }
    pause = Self.firstPause
    state = .due(now)
  }

  /// A connection that lasted no longer than the pause before it does not make the next one shorter: a node that accepts and ends
  /// at once is asked every 30 s.
  private mutating func wait(atLeast least: Duration, at now: Instant, _ jitter: Double) {
    if state == .live, now - openedAt > pause { pause = Self.firstPause }
    state = .due(now + max(pause * (0.9 + 0.2 * jitter), least))
    pause = min(pause * 2, Self.longestPause)
    last = nil
  }
}
