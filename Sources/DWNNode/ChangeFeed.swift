import DWN
import Identity
import Synchronization

/// Tells those who listen that something of a tenant changed.
///
/// Hints are equal or they are not, and an equal one that nobody took yet says nothing new: so what waits for a listener is a
/// set, no larger than the protocols have paths, and no hint is ever lost to a slow one.
final class ChangeFeed: Sendable {
  private struct Listener {
    let tenant: DID
    weak var mailbox: HintMailbox?
  }

  private let listeners = Mutex<[Listener]>([])

  func subscribe(tenant: DID) -> AsyncStream<ChangeHint> {
    let mailbox = HintMailbox()
    listeners.withLock {
      $0.removeAll { $0.mailbox == nil }
      $0.append(Listener(tenant: tenant, mailbox: mailbox))
    }
    return AsyncStream(unfolding: { await mailbox.next() }, onCancel: { mailbox.finish() })
  }

  func emit(_ hints: Set<ChangeHint>, tenant: DID) {
    guard !hints.isEmpty else { return }
    let mailboxes = listeners.withLock { $0.compactMap { $0.tenant == tenant ? $0.mailbox : nil } }
    for mailbox in mailboxes { mailbox.put(hints) }
  }

  /// Ends every stream.
  func finish() {
    let mailboxes = listeners.withLock { list in
      defer { list = [] }
      return list.compactMap(\.mailbox)
    }
    for mailbox in mailboxes { mailbox.finish() }
  }
}

/// The hints that one listener has not taken yet.
private final class HintMailbox: Sendable {
  private struct State {
    var waiting: Set<ChangeHint> = []
    var taker: CheckedContinuation<ChangeHint?, Never>?
    var isFinished = false
  }

  private let state = Mutex(State())

  func put(_ hints: Set<ChangeHint>) {
    let (taker, hint) = state.withLock { state -> (CheckedContinuation<ChangeHint?, Never>?, ChangeHint?) in
      guard !state.isFinished else { return (nil, nil) }
      state.waiting.formUnion(hints)
      guard let taker = state.taker else { return (nil, nil) }
      state.taker = nil
      return (taker, state.waiting.popFirst())
    }
    taker?.resume(returning: hint)
  }

  func next() async -> ChangeHint? {
    await withCheckedContinuation { continuation in
      let (isReady, hint, earlier) = state.withLock {
        state -> (Bool, ChangeHint?, CheckedContinuation<ChangeHint?, Never>?) in
        if let hint = state.waiting.popFirst() { return (true, hint, nil) }
        if state.isFinished { return (true, nil, nil) }
        // A stream has one reader; a second one takes the place of the first.
        let earlier = state.taker
        state.taker = continuation
        return (false, nil, earlier)
      }
      earlier?.resume(returning: nil)
      if isReady { continuation.resume(returning: hint) }
    }
  }

  func finish() {
    let taker = state.withLock { state in
      state.isFinished = true
      defer { state.taker = nil }
      return state.taker
    }
    taker?.resume(returning: nil)
  }
}
