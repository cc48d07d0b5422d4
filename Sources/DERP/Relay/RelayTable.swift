public import Cryptography
import NIOCore
import Synchronization
import Wire

/// One admitted connection of a client, as the table holds it.
final class RelayClient: Sendable {
  struct State: Sendable {
    var outbox = Outbox()
    /// The connection was told to look, and has not yet.
    var isAwake = false
    /// Nothing waits for it any more.
    var hasLeft = false
  }

  let key: X25519PublicKey
  let number: UInt64
  let state = Mutex(State())
  /// Makes the connection call `next` until it is empty. From any thread.
  let wake: @Sendable () -> Void
  /// Ends the connection. From any thread.
  let close: @Sendable () -> Void
  private let budget: WaitingBudget

  init(
    key: X25519PublicKey, number: UInt64, budget: WaitingBudget, wake: @escaping @Sendable () -> Void,
    close: @escaping @Sendable () -> Void
  ) {
    self.key = key
    self.number = number
    self.budget = budget
    self.wake = wake
    self.close = close
  }

  /// Changes what waits, and makes the connection look if it sleeps.
  ///
  /// - Parameter body: is told how much memory one line may take.
  @discardableResult
  func put<R: Sendable>(_ body: @Sendable (inout Outbox, _ room: Int) -> R) -> R {
    let (result, wakes) = state.withLock { state -> (R, Bool) in
      let cost = state.outbox.cost
      let result = body(&state.outbox, budget.room)
      if state.hasLeft { state.outbox = Outbox() }
      budget.add(state.outbox.cost - cost)
      let wakes = !state.isAwake && !state.outbox.isEmpty
      if wakes { state.isAwake = true }
      return (result, wakes)
    }
    if wakes { wake() }
    return result
  }

  /// What to write next; `nil`: nothing waits, and `wake` is called for the next.
  func next() -> DERPFrame? {
    state.withLock { state in
      let cost = state.outbox.cost
      let frame = state.outbox.next()
      budget.add(state.outbox.cost - cost)
      if frame == nil { state.isAwake = false }
      return frame
    }
  }

  /// Lets go of what waits, and of what is still put.
  func leave() {
    state.withLock { state in
      budget.add(-state.outbox.cost)
      state.outbox = Outbox()
      state.hasLeft = true
    }
  }
}

/// Who is at the relay, and where packets go: no socket and no clock.
///
/// A packet crosses it in one look-up. Whoever has a key may have several connections; the one that spoke last gets what is sent to
/// the key (`derp.md`, 8).
public final class RelayTable: Sendable {
  /// Counts since the beginning, for people and metrics.
  public struct Statistics: Hashable, Sendable {
    public var clients = 0
    public var relayedPackets: UInt64 = 0
    public var relayedBytes: UInt64 = 0
    /// To keys that nobody here has.
    public var unknownDestination: UInt64 = 0
    /// Too many waited for a client.
    public var overflows: UInt64 = 0
    public var refusedClients: UInt64 = 0
  }

  private struct State {
    /// The last of a list is the active one.
    var clients: [X25519PublicKey: [RelayClient]] = [:]
    /// Who was given packets of a key, and is told when it leaves.
    var watchers: [X25519PublicKey: [UInt64: RelayClient]] = [:]
    var watched: [UInt64: Set<X25519PublicKey>] = [:]
    /// How many pairs of these there are.
    var watches = 0
    var nextNumber: UInt64 = 0
    var statistics = Statistics()
  }

  let limits: RelayLimits
  let budget: WaitingBudget
  private let state = Mutex(State())

  public init(limits: RelayLimits = RelayLimits()) {
    self.limits = limits
    budget = WaitingBudget(bytes: limits.waitingBytes)
  }

  public var statistics: Statistics { state.withLock(\.statistics) }

  /// `nil` when there is no room. Of too many with one key the one that spoke longest ago is closed.
  func enter(
    _ key: X25519PublicKey, wake: @escaping @Sendable () -> Void, close: @escaping @Sendable () -> Void
  ) -> RelayClient? {
    let (client, replaced) = state.withLock { state -> (RelayClient?, RelayClient?) in
      let others = state.clients[key] ?? []
      let replaced = others.count >= limits.clientsPerKey ? others.first : nil
      if let replaced { _ = Self.remove(replaced, &state) }
      guard state.statistics.clients < limits.clients else {
        state.statistics.refusedClients += 1
        return (nil, replaced)
      }
      state.nextNumber += 1
      state.statistics.clients += 1
      let client = RelayClient(key: key, number: state.nextNumber, budget: budget, wake: wake, close: close)
      state.clients[key, default: []].append(client)
      return (client, replaced)
    }
    replaced?.leave()
    replaced?.close()
    return client
  }

  func leave(_ client: RelayClient) {
    let told = state.withLock { Self.remove(client, &$0) }
    client.leave()
    for watcher in told {
      watcher.put { [limits] outbox, room in outbox.tellGone(client.key, .disconnected, limits, room: room) }
    }
  }

  /// Who is to be told that nobody has the key any more.
  private static func remove(_ client: RelayClient, _ state: inout State) -> [RelayClient] {
    guard state.clients[client.key]?.contains(where: { $0 === client }) == true else { return [] }
    state.clients[client.key]?.removeAll { $0 === client }
    state.statistics.clients -= 1
    for source in state.watched.removeValue(forKey: client.number) ?? [] {
      state.watches -= 1
      state.watchers[source]?[client.number] = nil
      if state.watchers[source]?.isEmpty == true { state.watchers[source] = nil }
    }
    guard state.clients[client.key]?.isEmpty == true else { return [] }
    state.clients[client.key] = nil
    let watchers = state.watchers.removeValue(forKey: client.key) ?? [:]
    for number in watchers.keys where state.watched[number]?.remove(client.key) != nil { state.watches -= 1 }
    return Array(watchers.values)
  }

  /// The connection said something: of those with its key it is the one to be sent to.
  func noteActive(_ client: RelayClient) {
    state.withLock { state in
      guard let list = state.clients[client.key], list.count > 1, list.last !== client,
        let index = list.firstIndex(where: { $0 === client })
      else { return }
      state.clients[client.key]?.remove(at: index)
      state.clients[client.key]?.append(client)
    }
  }

  enum Outcome {
    case queued
    /// `true`: the sender asks for a path there, and is told that nobody is here.
    case unknown(isDisco: Bool)
  }

  func relay(_ packet: ByteBuffer, from source: RelayClient, to key: X25519PublicKey) -> Outcome {
    let isDisco = WaitingPacket.isDisco(packet)
    let destination = state.withLock { [limits] state -> RelayClient? in
      guard let destination = state.clients[key]?.last else {
        state.statistics.unknownDestination += 1
        return nil
      }
      state.statistics.relayedPackets += 1
      state.statistics.relayedBytes += UInt64(packet.readableBytes)
      if state.watchers[source.key]?[destination.number] == nil,
        state.watched[destination.number]?.count ?? 0 < limits.watchedPeers, state.watches < limits.watchedPeersInAll
      {
        state.watches += 1
        state.watchers[source.key, default: [:]][destination.number] = destination
        state.watched[destination.number, default: []].insert(source.key)
      }
      return destination
    }
    guard let destination else { return .unknown(isDisco: isDisco) }
    let entry = WaitingPacket(peer: source.key, bytes: packet)
    let dropped = destination.put { [limits] outbox, room in
      outbox.append(entry, isDisco: isDisco, limits, room: room)
    }
    if dropped > 0 { state.withLock { $0.statistics.overflows += UInt64(dropped) } }
    return .queued
  }

  /// Ends the connections of whoever is not admitted any more.
  public func closeUnless(_ isAdmitted: (X25519PublicKey) -> Bool) {
    let closed = state.withLock { $0.clients.filter { !isAdmitted($0.key) }.values.flatMap { $0 } }
    for client in closed { client.close() }
  }

  /// Ends all connections.
  func closeAll() { closeUnless { _ in false } }
}
