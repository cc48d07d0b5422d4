import DWN
import Identity
import Synchronization
import Wire

/// Tells the subscriptions of a node what was stored, in the order of the feed.
///
/// A commit costs one look into an index of what is listened for. What matches is read once, however many wait for it, and handed
/// to those that keep up; the others find it in the feed when they have room. Of several commits in a row, what comes while one is
/// being told is told together.
final class SubscriptionHub: Sendable {
  /// A position of the feed, and whose filters the message there matches.
  private struct News {
    var position: Int64
    var groups: Set<Int>
  }

  private struct Listener {
    weak var subscription: NodeSubscription?
  }

  private struct Tenant {
    var index = SubscriptionIndex<Int>()
    var listeners: [Int: Listener] = [:]
    /// Those of others than the tenant.
    var others: SubscriptionShares
    var news: [News] = []

    func listeners(of group: Int) -> [NodeSubscription] {
      index.members(of: group).compactMap { listeners[$0]?.subscription }
    }
  }

  private struct State {
    var tenants: [DID: Tenant] = [:]
    var telling: Set<DID> = []
    var lastID = 0
    var isClosed = false
  }

  /// Matches that wait to be told to a tenant's subscribers; of later ones they are told to look themselves.
  private static let mostNews = 1024

  private let store: any MessageStore
  private let definitions: DefinitionCache
  private let limits: NodeLimits
  private let clock: @Sendable () -> WallTime
  let recent = RecentEvents()
  private let state = Mutex(State())

  init(
    store: any MessageStore, definitions: DefinitionCache, limits: NodeLimits,
    clock: @escaping @Sendable () -> WallTime
  ) {
    self.store = store
    self.definitions = definitions
    self.limits = limits
    self.clock = clock
  }

  // MARK: Subscriptions

  /// Makes a subscription that hears of everything from now on. It is given nothing before it begins. Throws status 429 when others
  /// than the tenant have as many as they may, and `NodeError` when the node closes.
  func add(tenant: DID, access: any EventAccess, from caller: Caller = Caller(nil)) throws -> NodeSubscription {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    let subscription = NodeSubscription(
      access: access, tokens: tokens(of: tenant), patience: limits.acknowledgementPatience,
      look: { [weak self] after, through, limit in
        guard let self else { return NodeSubscription.Found(frames: [], end: through) }
        return try await self.look(
          FeedSpan(after: after, through: through, limit: limit, filter: access.filter), tenant: tenant, for: access)
      },
      onEnd: { [weak self] in self?.remove(id, tenant: tenant) })
    let isOther = access.subscriber != tenant
    try state.withLock { state in
      guard !state.isClosed else { throw NodeError.databaseFailed(path: "", reason: "the node is closing") }
      if state.tenants[tenant] == nil { state.tenants[tenant] = Tenant(others: SubscriptionShares(limits)) }
      if isOther { try state.tenants[tenant]?.others.take(id, access, from: caller) }
      state.tenants[tenant]?.index.insert(id, access.filter)
      state.tenants[tenant]?.listeners[id] = Listener(subscription: subscription)
    }
    return subscription
  }

  private func remove(_ id: Int, tenant: DID) {
    state.withLock { state in
      state.tenants[tenant]?.index.remove(id)
      state.tenants[tenant]?.listeners[id] = nil
      state.tenants[tenant]?.others.remove(id)
      if state.tenants[tenant]?.listeners.isEmpty == true { state.tenants[tenant] = nil }
    }
  }

  /// Open subscriptions of a tenant's feed.
  func count(of tenant: DID) -> Int { state.withLock { $0.tenants[tenant]?.listeners.count ?? 0 } }

  /// Ends every subscription.
  func close() {
    let open = state.withLock { state in
      state.isClosed = true
      defer { state.tenants = [:] }
      return state.tenants.values.flatMap { $0.listeners.values.compactMap(\.subscription) }
    }
    for subscription in open { subscription.close() }
  }

  func tokens(of tenant: DID) -> FeedTokens { FeedTokens(tenant: tenant, epoch: store.epoch) }

  /// For one read of the store.
  func round(tenant: DID, _ reader: any MessageReader) -> EventRound {
    EventRound(
      tenant: tenant, reader: reader, definitions: definitions, limits: limits, tokens: tokens(of: tenant),
      recent: recent, now: clock())
  }

  private func look(
    _ span: FeedSpan, tenant: DID, for access: any EventAccess
  ) async throws -> NodeSubscription.Found {
    try await store.read(tenant) { reader in
      let round = self.round(tenant: tenant, reader)
      let sight = try access.sight(in: round)
      let found = try reader.feed(span)
      let frames = try found.compactMap { try round.event($0) }.compactMap { try sight.frame(of: $0) }
      return NodeSubscription.Found(
        frames: frames, end: found.count == span.limit ? found[span.limit - 1].position : span.through)
    }
  }

  // MARK: Commits

  /// Called in the order of the commits. Does not wait.
  func committed(_ entries: [StoredMessage], tenant: DID) {
    let (start, late) = state.withLock { state -> (Bool, [(NodeSubscription, Int64)]) in
      guard state.tenants[tenant] != nil else { return (false, []) }
      var late: [(NodeSubscription, Int64)] = []
      for var entry in entries {
        // It has the tags that it came with, or none; nobody need look for them in its text.
        if entry.content?.tags == nil { entry.content?.tags = [:] }
        // A message that cannot be read matches nobody; the feed says the same of it.
        guard let groups = try? state.tenants[tenant]?.index.matches(entry), !groups.isEmpty else { continue }
        if let held = state.tenants[tenant], held.news.count >= Self.mostNews {
          late += groups.flatMap { held.listeners(of: $0) }.map { ($0, entry.position) }
        } else {
          state.tenants[tenant]?.news.append(News(position: entry.position, groups: groups))
        }
      }
      let hasNews = state.tenants[tenant]?.news.isEmpty == false
      return (hasNews && state.telling.insert(tenant).inserted, late)
    }
    for (subscription, position) in late { subscription.missed(upTo: position) }
    if start { Task { await self.tell(tenant) } }
  }

  private func tell(_ tenant: DID) async {
    while let news = takeNews(of: tenant) { await tell(news, to: tenant) }
  }

  /// The next matches, with their listeners.
  private func takeNews(of tenant: DID) -> [(NodeSubscription, [Int64])]? {
    state.withLock { state -> [(NodeSubscription, [Int64])]? in
      guard let held = state.tenants[tenant], !held.news.isEmpty else {
        state.telling.remove(tenant)
        return nil
      }
      let news = held.news.prefix(SubscriptionProgress.window)
      state.tenants[tenant]?.news.removeFirst(news.count)
      var positions: [Int: [Int64]] = [:]
      for item in news { for group in item.groups { positions[group, default: []].append(item.position) } }
      return positions.flatMap { group, positions in held.listeners(of: group).map { ($0, positions) } }
    }
  }

  private func tell(_ news: [(NodeSubscription, [Int64])], to tenant: DID) async {
    var live: [(NodeSubscription, [Int64])] = []
    for (subscription, positions) in news {
      if subscription.isLive {
        live.append((subscription, positions))
      } else {
        subscription.missed(upTo: positions[positions.count - 1])
      }
    }
    guard !live.isEmpty else { return }
    do {
      let told = try await store.read(tenant) { [live] reader in
        let round = self.round(tenant: tenant, reader)
        return try live.map { subscription, positions in
          do {
            let sight = try subscription.access.sight(in: round)
            let events = try positions.compactMap { try round.event(at: $0) }
            return (subscription, Result<[SubscriptionEvent], DWNError>.success(try events.compactMap(sight.frame)))
          } catch let error as DWNError {
            return (subscription, .failure(error))
          }
        }
      }
      for (subscription, outcome) in told {
        switch outcome {
        case .success(let frames): subscription.offer(frames)
        case .failure(let error): subscription.refuse(error)
        }
      }
    } catch {
      // They look themselves, and say so to their readers if that fails as well.
      for (subscription, positions) in live { subscription.missed(upTo: positions[positions.count - 1]) }
    }
  }
}
