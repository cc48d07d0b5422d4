import Cryptography
import DERP
import Synchronization
import Wire

/// Admits the machines of the accepted state to a relay, and nobody before there is one (`reach.md` 3).
///
/// A key that is not among them may belong to somebody who was added a moment ago: then the records are asked for again, and the
/// connection waits a little for what comes of it.
final class AcceptedMembers: RelayAdmission {
  /// How long an unknown key waits.
  static let patience: Duration = .seconds(1)
  /// Between two times that the records are asked for.
  static let interval: Duration = .seconds(2)

  private struct Login {
    let key: X25519PublicKey
    let namesRelay: Bool
    let continuation: CheckedContinuation<Bool, Never>
  }

  private struct State {
    var members = RelayMembers([], nameRelay: false)
    var waiting: [UInt64: Login] = [:]
    var nextNumber: UInt64 = 0
    var asked: Instant?

    /// `nil`: the records may have the key meanwhile.
    func answer(_ key: X25519PublicKey, _ namesRelay: Bool) -> Bool? {
      if members.nameRelay, !namesRelay { return false }
      return members.keys.contains(key) ? true : nil
    }
  }

  /// Somebody is here whom the records might have meanwhile: for one reader, who asks for them.
  let unknown: AsyncStream<Void>
  private let ask: AsyncStream<Void>.Continuation
  private let patience: Duration
  private let now: @Sendable () -> Instant
  private let state = Mutex(State())

  init(patience: Duration = AcceptedMembers.patience, now: @escaping @Sendable () -> Instant = Instant.now) {
    self.patience = patience
    self.now = now
    (unknown, ask) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Makes these the members.
  func replace(with members: RelayMembers) {
    let answered = state.withLock { state in
      state.members = members
      let answered = state.waiting.compactMap { number, login in
        state.answer(login.key, login.namesRelay).map { (number, login.continuation, $0) }
      }
      for (number, _, _) in answered { state.waiting[number] = nil }
      return answered
    }
    for (_, continuation, answer) in answered { continuation.resume(returning: answer) }
  }

  func stillAdmits(_ key: X25519PublicKey, namesRelay: Bool) -> Bool {
    state.withLock { $0.answer(key, namesRelay) } ?? false
  }

  func admits(_ key: X25519PublicKey, namesRelay: Bool) async -> Bool {
    if let answer = state.withLock({ $0.answer(key, namesRelay) }) { return answer }
    let now = now()
    let isDue = state.withLock { state in
      if let asked = state.asked, now - asked < Self.interval { return false }
      state.asked = now
      return true
    }
    if isDue { ask.yield() }
    return await withCheckedContinuation { continuation in
      let (answer, number) = state.withLock { state in
        let answer = state.answer(key, namesRelay)
        if answer == nil {
          state.nextNumber += 1
          state.waiting[state.nextNumber] = Login(key: key, namesRelay: namesRelay, continuation: continuation)
        }
        return (answer, state.nextNumber)
      }
      if let answer { return continuation.resume(returning: answer) }
      Task {
        try? await Task.sleep(for: patience)
        state.withLock { $0.waiting.removeValue(forKey: number) }?.continuation.resume(returning: false)
      }
    }
  }
}
