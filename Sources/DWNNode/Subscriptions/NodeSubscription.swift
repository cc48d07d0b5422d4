public import DWN
import Synchronization
import Wire

/// An open subscription at this node.
///
/// What was given to it and not yet pulled is at most a window of frames; what does not fit stays in the feed, and is looked for
/// there once there is room. A subscriber that leaves more waiting without a word is dropped in the end.
public final class NodeSubscription: SubscriptionSource {
  /// Where in the feed something is looked for.
  enum Part: Sendable {
    /// After one position up to another one, so many matches at most.
    case span(after: Int64, through: Int64, limit: Int)
    /// At positions where there were matches, in order.
    case positions([Int64])

    var end: Int64 {
      switch self {
      case .span(_, let through, _): through
      case .positions(let positions): positions.last ?? 0
      }
    }
  }

  /// The frames of a part of the feed, and how far it was looked at.
  struct Found: Sendable {
    var frames: [SubscriptionEvent]
    var end: Int64
  }

  typealias Look = @Sendable (Part) async throws -> Found

  private struct State {
    var progress = SubscriptionProgress()
    var ready: [SubscriptionFrame] = []
    var ending: Ending?
    /// Whoever waits for something to happen. A subscription has one reader.
    var waiter: CheckedContinuation<Void, Never>?
    /// Something happened since the reader last waited.
    var hasNews = false
    /// It is dropped then. Set when there first was more for it than it may be given, and until it acknowledges something.
    var patienceEnd: ContinuousClock.Instant?
  }

  private enum Ending {
    case inOrder
    case broken(EndpointError)
  }

  private enum Turn {
    case give(SubscriptionFrame)
    case end(Ending)
    case proceed(SubscriptionProgress.Step)
  }

  let access: any EventAccess
  private let state = Mutex(State())
  private let tokens: FeedTokens
  private let patience: Duration
  private let look: Look
  private let onEnd: @Sendable () -> Void

  init(
    access: any EventAccess, tokens: FeedTokens, patience: Duration, look: @escaping Look,
    onEnd: @escaping @Sendable () -> Void
  ) {
    self.access = access
    self.tokens = tokens
    self.patience = patience
    self.look = look
    self.onEnd = onEnd
  }

  deinit { onEnd() }

  // MARK: For the reader

  public func next() async throws(EndpointError) -> SubscriptionFrame? {
    while !Task.isCancelled {
      let turn = state.withLock { state -> Turn in
        if !state.ready.isEmpty { return .give(state.ready.removeFirst()) }
        if let ending = state.ending { return .end(ending) }
        return .proceed(state.progress.next)
      }
      switch turn {
      case .give(let frame): return frame
      case .end(.inOrder): return nil
      case .end(.broken(let error)): throw error
      case .proceed(.look(let after, let through, let limit)):
        await take(.span(after: after, through: through, limit: limit))
      case .proceed(.take(let positions)): await take(.positions(positions))
      case .proceed(.endOfStored(let head)):
        happen {
          $0.progress.saidEndOfStored(head)
          $0.ready.append(.endOfStored(tokens.token(head)))
        }
      case .proceed(.waitForEvent): await wait()
      case .proceed(.waitForAcknowledgement): await waitForAcknowledgement()
      }
    }
    close()
    return nil
  }

  public func acknowledge(_ cursor: ProgressToken) {
    guard cursor.streamID == tokens.streamID, cursor.epoch == tokens.epoch, let number = cursor.position.number,
      let position = Int64(exactly: number)
    else { return }
    happen { if $0.progress.acknowledge(position) { $0.patienceEnd = nil } }
  }

  public func passOver(_ cursor: ProgressToken) {
    guard let position = cursor.position.number.flatMap({ Int64(exactly: $0) }) else { return }
    happen { $0.progress.passOver(position) }
  }

  public func close() {
    happen {
      $0.ending = $0.ending ?? .inOrder
      $0.ready = []
    }
    onEnd()
  }

  // MARK: For the node

  /// Begins after a position of the feed. What was stored since the node knows of the subscription is told after that.
  func begin(after position: Int64, catchingUpTo head: Int64?) {
    happen { $0.progress.begin(after: position, catchingUpTo: head) }
  }

  /// Frames that it holds.
  var waiting: Int { state.withLock { $0.ready.count } }

  /// Whether it takes what is stored, as that happens.
  var isLive: Bool { state.withLock { $0.ending == nil && $0.progress.isLive } }

  /// Hands it the next frames of the feed that it may see.
  func offer(_ frames: [SubscriptionEvent]) {
    guard !frames.isEmpty else { return }
    happen { state in
      guard state.ending == nil else { return }
      let taken = state.progress.offer(frames.map(\.place))
      state.ready += frames[taken].map { .event($0) }
    }
  }

  /// There is something for it at these positions, the next ones of the feed, which it has to take itself.
  func missed(_ positions: [Int64]) { happen { $0.progress.miss(positions) } }

  /// There may be something for it up to a position, which it has to look for itself.
  func missed(upTo position: Int64) { happen { $0.progress.missed(upTo: position) } }

  /// Its right has ended.
  func refuse(_ error: DWNError) { fail("DeliveryAuthorizationFailed", error.description) }

  private func take(_ part: Part) async {
    do {
      let found = try await look(part)
      happen {
        guard $0.ending == nil else { return }
        $0.progress.looked(upTo: found.end, taken: found.frames.map(\.place))
        $0.ready += found.frames.map { .event($0) }
      }
    } catch let error as DWNError {
      refuse(error)
    } catch {
      end(.broken(.refused(name: "the node", reason: "\(error)")))
    }
  }

  private func fail(_ code: String, _ detail: String) {
    happen {
      guard $0.ending == nil else { return }
      let kind = access.filter.subscriptionKind.rawValue
      $0.ready.append(.failed(tokens.token($0.progress.position ?? 0), code: kind + code, detail: detail))
      $0.ending = .inOrder
    }
    onEnd()
  }

  private func end(_ ending: Ending) {
    happen { $0.ending = $0.ending ?? ending }
    onEnd()
  }

  // MARK: Waiting

  /// Also ends when there is still more for it, without giving it more time for that.
  private func waitForAcknowledgement() async {
    let end = state.withLock { state -> ContinuousClock.Instant? in
      // It may have acknowledged something in the meantime.
      guard case .waitForAcknowledgement = state.progress.next else { return nil }
      let end = state.patienceEnd ?? .now + patience
      state.patienceEnd = end
      return end
    }
    guard let end else { return }
    guard .now < end else { return dropIfSilent(since: end) }
    let timer = Task { [weak self] in
      guard (try? await Task.sleep(until: end, clock: .continuous)) != nil else { return }
      self?.dropIfSilent(since: end)
    }
    await wait()
    timer.cancel()
  }

  /// Does nothing if something was acknowledged since that end of its patience was set.
  private func dropIfSilent(since end: ContinuousClock.Instant) {
    guard state.withLock({ $0.patienceEnd == end }) else { return }
    fail("DeliveryFailed", "\(SubscriptionProgress.window) frames waited for an acknowledgement too long")
  }

  private func happen(_ change: (inout State) -> Void) {
    let waiter = state.withLock { state in
      change(&state)
      state.hasNews = true
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// Returns when something happened since the last wait.
  private func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (isReady, earlier) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
          if state.hasNews || state.ending != nil {
            state.hasNews = false
            return (true, nil)
          }
          defer { state.waiter = continuation }
          return (false, state.waiter)
        }
        earlier?.resume()
        if isReady { continuation.resume() }
      }
    } onCancel: {
      close()
    }
  }
}

extension SubscriptionEvent {
  /// Its position in this node's feed.
  fileprivate var place: Int64 { cursor.position.number.flatMap { Int64(exactly: $0) } ?? 0 }
}

extension FeedFilter {
  fileprivate var subscriptionKind: Message.Kind {
    switch self {
    case .records: .recordsSubscribe
    case .messages: .messagesSubscribe
    }
  }
}
