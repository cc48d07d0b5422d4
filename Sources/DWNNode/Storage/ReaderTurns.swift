import Identity
import Synchronization

/// For whom a tenant's messages are read. Of those who wait, later ones of these go first.
enum Asker: Comparable, Sendable {
  case anyone
  /// The tenant, as a signature showed.
  case tenant
  /// What the node itself does: it is short, and others wait for it.
  case node
}

/// Who reads next. A tenant has some of the readers at most, so that slow questions to one leave others their answers, and one more
/// for what the tenant itself asks, so that nobody else's leave it without; tenants of whom somebody waits have their turns one after
/// the other.
final class ReaderTurns: Sendable {
  fileprivate struct Waiting {
    let id: Int
    let asker: Asker
    /// How many of the tenant may read beside it at most, itself among them.
    let share: Int
    let continuation: CheckedContinuation<Bool, Never>
  }

  fileprivate struct State {
    var free: Int
    var reading: [DID: Int] = [:]
    var lines: [DID: [Waiting]] = [:]
    /// Tenants with a line; whose turn is next comes first.
    var order: [DID] = []
    var lastID = 0
  }

  private let readers: Int
  private let share: Int
  private let state: Mutex<State>

  /// `share`: of the readers, for one tenant.
  init(readers: Int, share: Int) {
    precondition((1...readers).contains(share), "everybody gets a turn")
    self.readers = readers
    self.share = share
    state = Mutex(State(free: readers))
  }

  /// How many wait.
  var waiting: Int { state.withLock { $0.lines.values.reduce(0) { $0 + $1.count } } }

  /// Reads when it is the tenant's turn. Throws `CancellationError` for who gives up before.
  func read<Result>(
    _ tenant: DID, for asker: Asker = .anyone, _ body: () async throws -> Result
  ) async throws -> Result {
    try await begin(tenant, asker)
    defer { end(tenant) }
    return try await body()
  }

  /// How many may read at a tenant for one more to begin.
  private func share(of asker: Asker) -> Int {
    switch asker {
    case .anyone: share
    case .tenant: min(share + 1, readers)
    case .node: readers
    }
  }

  private func begin(_ tenant: DID, _ asker: Asker) async throws {
    let share = share(of: asker)
    guard !state.withLock({ $0.take(tenant, share) }) else { return }
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    let isIn = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let answer = state.withLock { state -> Bool? in
          if Task.isCancelled { return false }
          if state.take(tenant, share) { return true }
          if state.lines[tenant] == nil { state.order.append(tenant) }
          state.wait(Waiting(id: id, asker: asker, share: share, continuation: continuation), tenant)
          return nil
        }
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      state.withLock { $0.leave(tenant, id) }?.resume(returning: false)
    }
    guard isIn else { throw CancellationError() }
  }

  private func end(_ tenant: DID) {
    let next = state.withLock { state -> [CheckedContinuation<Bool, Never>] in
      state.giveBack(tenant)
      var next: [CheckedContinuation<Bool, Never>] = []
      while let continuation = state.next() { next.append(continuation) }
      return next
    }
    for continuation in next { continuation.resume(returning: true) }
  }
}

extension ReaderTurns.State {
  fileprivate mutating func take(_ tenant: DID, _ share: Int) -> Bool {
    guard free > 0, reading[tenant, default: 0] < share else { return false }
    free -= 1
    reading[tenant, default: 0] += 1
    return true
  }

  fileprivate mutating func giveBack(_ tenant: DID) {
    free += 1
    let left = reading[tenant, default: 1] - 1
    reading[tenant] = left == 0 ? nil : left
  }

  /// Behind those who go first, and behind those who came first.
  fileprivate mutating func wait(_ waiting: ReaderTurns.Waiting, _ tenant: DID) {
    var line = lines[tenant] ?? []
    line.insert(waiting, at: line.firstIndex { $0.asker < waiting.asker } ?? line.endIndex)
    lines[tenant] = line
  }

  /// Who is first in the line of the next tenant that may have another reader.
  fileprivate mutating func next() -> CheckedContinuation<Bool, Never>? {
    let next = order.firstIndex { tenant in
      lines[tenant]?.first.map { reading[tenant, default: 0] < $0.share } ?? false
    }
    guard let index = next, free > 0 else { return nil }
    let tenant = order.remove(at: index)
    guard let first = lines[tenant]?.removeFirst(), take(tenant, first.share) else { return nil }
    if lines[tenant]?.isEmpty == false { order.append(tenant) } else { lines[tenant] = nil }
    return first.continuation
  }

  fileprivate mutating func leave(_ tenant: DID, _ id: Int) -> CheckedContinuation<Bool, Never>? {
    guard let index = lines[tenant]?.firstIndex(where: { $0.id == id }),
      let left = lines[tenant]?.remove(at: index)
    else { return nil }
    if lines[tenant]?.isEmpty == true {
      lines[tenant] = nil
      order.removeAll { $0 == tenant }
    }
    return left.continuation
  }
}
