import Synchronization

/// Bounds how much is fetched side by side, and how much waits for that, in the order of asking. Neither one site, which may be slow on
/// purpose, nor one who asks can have all of it.
final class FetchSlots: Sendable {
  /// What is fetched, as far as it counts: where, and for whom. `nil` shares nothing with others.
  struct Errand: Hashable, Sendable {
    var site: String?
    var asker: UInt128?
  }

  private struct Waiting {
    let errand: Errand
    let continuation: CheckedContinuation<Bool, Never>
  }

  private struct State {
    var running = Tally()
    var line: [Waiting] = []
  }

  /// How many errands there are, in all and of each.
  private struct Tally {
    private(set) var count = 0
    private var bySite: [String: Int] = [:]
    private var byAsker: [UInt128: Int] = [:]

    /// Whether one more stays within bounds: a quarter of all for a site, half of it for an asker, and at least one.
    func hasRoom(for errand: Errand, of maximum: Int) -> Bool {
      count < maximum && (errand.site.flatMap { bySite[$0] } ?? 0) < max(1, maximum / 4)
        && (errand.asker.flatMap { byAsker[$0] } ?? 0) < max(1, maximum / 2)
    }

    mutating func add(_ errand: Errand) { change(errand, by: 1) }
    mutating func remove(_ errand: Errand) { change(errand, by: -1) }

    private mutating func change(_ errand: Errand, by number: Int) {
      count += number
      if let site = errand.site {
        let left = bySite[site, default: 0] + number
        bySite[site] = left == 0 ? nil : left
      }
      if let asker = errand.asker {
        let left = byAsker[asker, default: 0] + number
        byAsker[asker] = left == 0 ? nil : left
      }
    }
  }

  private let state = Mutex(State())
  private let maximum: Int
  private let maximumWaiting: Int

  init(_ count: Int, waiting: Int) {
    maximum = count
    maximumWaiting = waiting
  }

  /// Runs `body` once there is room. `nil`: too many wait already.
  func run<Value: Sendable>(_ errand: Errand, _ body: () async -> Value) async -> Value? {
    guard await enter(errand) else { return nil }
    defer { leave(errand) }
    return await body()
  }

  /// How many wait.
  var waiting: Int { state.withLock { $0.line.count } }

  /// Whose hosts count as one: those of one name of the kind that people register, as far as that can be told without a list.
  static func site(of host: some StringProtocol) -> String {
    let labels = host.lowercased().split(separator: ".")
    let isBelowCountry = labels.last?.utf8.count == 2 && labels.dropLast().last.map { $0.utf8.count <= 3 } == true
    return labels.suffix(isBelowCountry ? 3 : 2).joined(separator: ".")
  }

  private func enter(_ errand: Errand) async -> Bool {
    await withCheckedContinuation { continuation in
      let answer: Bool? = state.withLock { state in
        if state.running.hasRoom(for: errand, of: maximum) {
          state.running.add(errand)
          return true
        }
        var waiting = Tally()
        for other in state.line { waiting.add(other.errand) }
        guard waiting.hasRoom(for: errand, of: maximumWaiting) else { return false }
        state.line.append(Waiting(errand: errand, continuation: continuation))
        return nil
      }
      if let answer { continuation.resume(returning: answer) }
    }
  }

  /// Lets those in who may begin now, who has waited longest first: one who had the last slot of a site and of an asker makes room for
  /// another one of each.
  private func leave(_ errand: Errand) {
    let next = state.withLock { state in
      state.running.remove(errand)
      var next: [CheckedContinuation<Bool, Never>] = []
      while let index = state.line.firstIndex(where: { state.running.hasRoom(for: $0.errand, of: maximum) }) {
        let waiting = state.line.remove(at: index)
        state.running.add(waiting.errand)
        next.append(waiting.continuation)
      }
      return next
    }
    for continuation in next { continuation.resume(returning: true) }
  }
}
