import Identity
import Synchronization

/// For whom a tenant's messages are read.
enum Asker: Hashable, Sendable {
  case anyone
  /// The tenant, as a signature showed.
  case tenant
  /// What the node itself does: it is short, and others wait for it.
  case node
}

/// Who reads next. A tenant has some of the readers at most, so that slow questions to one leave others their answers; tenants of whom
/// somebody waits have their turns one after the other. At a tenant, who came first is first.
///
/// Beside those readers there is one for what the tenant itself asks, so that nobody else's questions leave it without. What the node
/// does goes before all others.
final class ReaderTurns: Sendable {
  /// What who reads has: one of a tenant's share, or the reader that it has to itself.
  fileprivate enum Place {
    case shared
    case own
  }

  fileprivate struct Waiting {
    let id: Int
    let asker: Asker
    /// Gets `nil` for who gave up.
    let continuation: CheckedContinuation<Place?, Never>
  }

  /// Who reads at a tenant now.
  fileprivate struct Reading {
    var shared = 0
    var hasOwn = false

    var isNone: Bool { shared == 0 && !hasOwn }
  }

  fileprivate struct State {
    let share: Int
    var free: Int
    var reading: [DID: Reading] = [:]
    var lines: [DID: [Waiting]] = [:]
    /// Tenants with a line; whose turn is next comes first.
    var order: [DID] = []
    var lastID = 0
  }

  private let state: Mutex<State>

  /// `share`: of the readers, for one tenant.
  init(readers: Int, share: Int) {
    precondition((1...readers).contains(share), "everybody gets a turn")
    state = Mutex(State(share: share, free: readers))
  }

  /// How many wait.
  var waiting: Int { state.withLock { $0.lines.values.reduce(0) { $0 + $1.count } } }

  /// Reads when it is somebody's turn. Throws `CancellationError` for who gives up before.
  func read<Result>(
    _ tenant: DID, for asker: Asker = .anyone, _ body: () async throws -> Result
  ) async throws -> Result {
    let place = try await begin(tenant, asker)
    defer { end(tenant, place) }
    return try await body()
  }

  private func begin(_ tenant: DID, _ asker: Asker) async throws -> Place {
    if let place = state.withLock({ $0.take(tenant, asker) }) { return place }
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    let place = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Place?, Never>) in
        let (isOver, place) = state.withLock { state -> (Bool, Place?) in
          if Task.isCancelled { return (true, nil) }
          if let place = state.take(tenant, asker) { return (true, place) }
          state.wait(Waiting(id: id, asker: asker, continuation: continuation), tenant)
          return (false, nil)
        }
        if isOver { continuation.resume(returning: place) }
      }
    } onCancel: {
      state.withLock { $0.leave(tenant, id) }?.resume(returning: nil)
    }
    guard let place else { throw CancellationError() }
    return place
  }

  private func end(_ tenant: DID, _ place: Place) {
    let next = state.withLock { state in
      state.giveBack(tenant, place)
      var next: [(Waiting, Place)] = []
      while let turn = state.next() { next.append(turn) }
      return next
    }
    for (waiting, place) in next { waiting.continuation.resume(returning: place) }
  }
}

extension ReaderTurns.State {
  /// What somebody could have now, if a reader is free.
  private func place(_ tenant: DID, _ asker: Asker) -> ReaderTurns.Place? {
    let reading = reading[tenant] ?? ReaderTurns.Reading()
    if asker == .node || reading.shared < share { return .shared }
    return asker == .tenant && !reading.hasOwn ? .own : nil
  }

  fileprivate mutating func take(_ tenant: DID, _ asker: Asker) -> ReaderTurns.Place? {
    guard free > 0, let place = place(tenant, asker) else { return nil }
    free -= 1
    switch place {
    case .shared: reading[tenant, default: ReaderTurns.Reading()].shared += 1
    case .own: reading[tenant, default: ReaderTurns.Reading()].hasOwn = true
    }
    return place
  }

  fileprivate mutating func giveBack(_ tenant: DID, _ place: ReaderTurns.Place) {
    free += 1
    switch place {
    case .shared: reading[tenant]?.shared -= 1
    case .own: reading[tenant]?.hasOwn = false
    }
    if reading[tenant]?.isNone == true { reading[tenant] = nil }
  }

  /// What the node does stands before all others.
  fileprivate mutating func wait(_ waiting: ReaderTurns.Waiting, _ tenant: DID) {
    var line = lines[tenant] ?? []
    if line.isEmpty { order.append(tenant) }
    let place = waiting.asker == .node ? line.firstIndex { $0.asker != .node } : nil
    line.insert(waiting, at: place ?? line.endIndex)
    lines[tenant] = line
  }

  /// Who may read now, of the next tenant of whom somebody may.
  fileprivate mutating func next() -> (ReaderTurns.Waiting, ReaderTurns.Place)? {
    guard free > 0 else { return nil }
    for tenant in order {
      guard let line = lines[tenant], let index = line.firstIndex(where: { place(tenant, $0.asker) != nil }),
        let place = take(tenant, line[index].asker)
      else { continue }
      order.removeAll { $0 == tenant }
      lines[tenant]?.remove(at: index)
      if lines[tenant]?.isEmpty == true { lines[tenant] = nil } else { order.append(tenant) }
      return (line[index], place)
    }
    return nil
  }

  fileprivate mutating func leave(_ tenant: DID, _ id: Int) -> CheckedContinuation<ReaderTurns.Place?, Never>? {
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
