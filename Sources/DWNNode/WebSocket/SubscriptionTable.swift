import DWN
import Synchronization
import Wire

/// The subscriptions of one connection, by the names that its client gave them.
final class SubscriptionTable: Sendable {
  enum Refusal: Error, Equatable {
    case nameInUse
    /// This connection has as many as it may.
    case connectionFull
    /// The server has as many as it may.
    case serverFull
  }

  /// A name that was given, and which giving of it this is.
  struct Reservation: Sendable, Hashable {
    let name: String
    fileprivate let number: Int
  }

  private struct Entry {
    var number: Int
    /// `nil` while the node is asked.
    var source: (any SubscriptionSource)?
    var standing = Connections.Standing.waiting
  }

  private struct State {
    var entries: [String: Entry] = [:]
    var given = 0
    var isClosed = false
  }

  private let maximum: Int
  private let caller: Caller
  private let budget: SubscriptionBudget
  private let state = Mutex(State())

  init(maximum: Int, caller: Caller, budget: SubscriptionBudget) {
    self.maximum = maximum
    self.caller = caller
    self.budget = budget
  }

  /// How much the connection is needed: as much as the subscription that needs it most.
  var standing: Connections.Standing {
    state.withLock { state in
      state.entries.values.map(\.standing).max { $0.rawValue < $1.rawValue } ?? .waiting
    }
  }

  /// Takes a name before the node is asked, so that a second request cannot take it meanwhile.
  func reserve(_ name: String) throws(Refusal) -> Reservation {
    let result = state.withLock { state -> Result<Reservation, Refusal> in
      if state.entries[name] != nil { return .failure(.nameInUse) }
      if state.entries.count >= maximum { return .failure(.connectionFull) }
      guard budget.take(for: caller) else { return .failure(.serverFull) }
      state.given += 1
      state.entries[name] = Entry(number: state.given)
      return .success(Reservation(name: name, number: state.given))
    }
    return try result.get()
  }

  /// Whether the subscription is still wanted; if it is not, its source is closed.
  func open(
    _ reservation: Reservation, _ source: any SubscriptionSource, standing: Connections.Standing = .waiting
  ) -> Bool {
    let isWanted = state.withLock { state in
      guard !state.isClosed, state.entries[reservation.name]?.number == reservation.number else { return false }
      state.entries[reservation.name]?.source = source
      state.entries[reservation.name]?.standing = standing
      return true
    }
    if !isWanted { source.close() }
    return isWanted
  }

  func acknowledge(_ name: String, _ cursor: ProgressToken) {
    state.withLock { $0.entries[name]?.source }?.acknowledge(cursor)
  }

  /// Whether there was one of this name. One that is just being opened ends as soon as it is open.
  func close(_ name: String) -> Bool {
    guard let entry = state.withLock({ $0.entries.removeValue(forKey: name) }) else { return false }
    budget.give(1, for: caller)
    entry.source?.close()
    return true
  }

  /// For a subscription that was refused, or that ended by itself. Its name may have been given to another since.
  func end(_ reservation: Reservation) {
    let entry = state.withLock { state in
      state.entries[reservation.name]?.number == reservation.number
        ? state.entries.removeValue(forKey: reservation.name) : nil
    }
    guard let entry else { return }
    budget.give(1, for: caller)
    entry.source?.close()
  }

  func closeAll() {
    let entries = state.withLock { state in
      state.isClosed = true
      defer { state.entries = [:] }
      return Array(state.entries.values)
    }
    budget.give(entries.count, for: caller)
    for entry in entries { entry.source?.close() }
  }
}

/// How many subscriptions all connections of a server have together, of which a network has a sixteenth at most and a site a quarter.
final class SubscriptionBudget: Sendable {
  private let metrics: ServerMetrics
  private let shares: Mutex<CallerShares>

  init(maximum: Int, metrics: ServerMetrics) {
    shares = Mutex(CallerShares(of: maximum, perNetwork: maximum / 16, perSite: maximum / 4))
    self.metrics = metrics
  }

  var isInUse: Int { shares.withLock { $0.taken } }

  func take(for caller: Caller) -> Bool {
    guard shares.withLock({ $0.take(1, for: caller) }) else { return false }
    metrics.change(.subscriptions, by: 1)
    return true
  }

  func give(_ number: Int, for caller: Caller) {
    guard number > 0 else { return }
    shares.withLock { $0.give(number, for: caller) }
    metrics.change(.subscriptions, by: -Double(number))
  }
}
