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

  private struct State {
    var keys: Set<X25519PublicKey> = []
    var waiting: [UInt64: (key: X25519PublicKey, continuation: CheckedContinuation<Bool, Never>)] = [:]
    var nextNumber: UInt64 = 0
    var asked: Instant?
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
  func replace(with keys: Set<X25519PublicKey>) {
    let admitted = state.withLock { state in
      state.keys = keys
      let admitted = state.waiting.filter { keys.contains($0.value.key) }
      for number in admitted.keys { state.waiting[number] = nil }
      return admitted.values.map(\.continuation)
    }
    for continuation in admitted { continuation.resume(returning: true) }
  }

  func contains(_ key: X25519PublicKey) -> Bool { state.withLock { $0.keys.contains(key) } }

  func admits(_ key: X25519PublicKey) async -> Bool {
    if contains(key) { return true }
    let now = now()
    let isDue = state.withLock { state in
      if let asked = state.asked, now - asked < Self.interval { return false }
      state.asked = now
      return true
    }
    if isDue { ask.yield() }
    return await withCheckedContinuation { continuation in
      let number = state.withLock { state -> UInt64? in
        guard !state.keys.contains(key) else { return nil }
        state.nextNumber += 1
        state.waiting[state.nextNumber] = (key, continuation)
        return state.nextNumber
      }
      guard let number else { return continuation.resume(returning: true) }
      Task {
        try? await Task.sleep(for: patience)
        state.withLock { $0.waiting.removeValue(forKey: number) }?.continuation.resume(returning: false)
      }
    }
  }
}
