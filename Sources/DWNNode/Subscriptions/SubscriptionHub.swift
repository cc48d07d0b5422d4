import DWN
import Identity
import Synchronization
import Wire

/// Tells the subscriptions of a node what was stored, in the order of the feed.
///
/// A commit costs its place in a line. Then what was stored is looked up in an index of what is listened for; what matches is read once,
/// however many wait for it, and handed to those that keep up; the others know where in the feed it is, and take it when they have
/// room. Of several commits in a row, what comes while one is being told is told together; what is too much to wait here is read from
/// the feed again when its turn comes, once for everybody.
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
    /// Messages that wait here at most.
    let room: Int
    /// What was stored and is still to be looked up.
    var arrived: [StoredMessage] = []
    /// Of their texts.
    var arrivedBytes = 0
    /// Positions after those that arrived, of messages that are to be read again to be looked up.
    var behind: ClosedRange<Int64>?
    var news: [News] = []

    func listeners(of group: Int) -> [NodeSubscription] {
      index.members(of: group).compactMap { listeners[$0]?.subscription }
    }

    mutating func take(_ entries: [StoredMessage]) {
      guard let first = entries.first?.position, let last = entries.last?.position else { return }
      let bytes = entries.reduce(0) { $0 + $1.json.utf8.count }
      guard behind == nil, arrived.count + entries.count <= room,
        arrivedBytes + bytes <= SubscriptionHub.mostArrivedBytes
      else {
        behind = (behind?.lowerBound ?? first)...last
        return
      }
      arrivedBytes += bytes
      arrived += entries.map { entry in
        var entry = entry
        // It has the tags that it came with, or none; nobody need look for them in its text.
        if entry.content?.tags == nil { entry.content?.tags = [:] }
        return entry
      }
    }

    mutating func giveArrived() -> [StoredMessage] {
      defer {
        arrived = []
        arrivedBytes = 0
      }
      return arrived
    }
  }

  private struct State {
    var tenants: [DID: Tenant] = [:]
    var telling: Set<DID> = []
    var lastID = 0
    var isClosed = false
  }

  private static let mostArrivedBytes = 8 << 20
  /// Messages that are read again at once, at most.
  private static let mostReadAgain = 128

  private let store: any MessageStore
  private let definitions: DefinitionCache
  private let limits: NodeLimits
  private let clock: @Sendable () -> WallTime
  private var readAtOnce: Int { min(Self.mostReadAgain, limits.eventsWaiting) }
  let recent = RecentEvents()
  /// How often somebody searched a part of the feed.
  let searches = Atomic(0)
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
      look: { [weak self] part in
        guard let self else { return NodeSubscription.Found(frames: [], end: part.end) }
        return try await self.look(part, tenant: tenant, for: access)
      },
      onEnd: { [weak self] in self?.remove(id, tenant: tenant) })
    let isOther = access.subscriber != tenant
    try state.withLock { state in
      guard !state.isClosed else { throw NodeError.databaseFailed(path: "", reason: "the node is closing") }
      if state.tenants[tenant] == nil {
        state.tenants[tenant] = Tenant(others: SubscriptionShares(limits), room: limits.eventsWaiting)
      }
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
    _ part: NodeSubscription.Part, tenant: DID, for access: any EventAccess
  ) async throws -> NodeSubscription.Found {
    try await store.read(tenant, for: .node) { reader in
      let round = self.round(tenant: tenant, reader)
      let sight = try access.sight(in: round)
      let events: [EventRound.Event]
      var end = part.end
      switch part {
      case .span(let after, let through, let limit):
        self.searches.add(1, ordering: .relaxed)
        let found = try reader.feed(
          FeedSpan(after: after, through: through, limit: limit, filter: access.filter))
        if found.count == limit { end = found[limit - 1].position }
        events = try found.compactMap { try round.event($0) }
      case .positions(let positions):
        events = try positions.compactMap { try round.event(at: $0) }
      }
      return NodeSubscription.Found(frames: try events.compactMap { try sight.frame(of: $0) }, end: end)
    }
  }

  // MARK: Commits

  /// Called in the order of the commits. Does not wait, and looks at no filter: writers wait for it.
  func committed(_ entries: [StoredMessage], tenant: DID) {
    let starts = state.withLock { state in
      guard state.tenants[tenant] != nil else { return false }
      state.tenants[tenant]?.take(entries)
      return state.telling.insert(tenant).inserted
    }
    if starts { Task { await self.tell(tenant) } }
  }

  private enum Turn {
    case match([StoredMessage], SubscriptionIndex<Int>)
    case read(ClosedRange<Int64>)
    case tell([(NodeSubscription, [Int64])])
  }

  private func tell(_ tenant: DID) async {
    var hasMatched = false
    while let turn = nextTurn(of: tenant, hasMatched) {
      switch turn {
      case .match(let messages, let index):
        match(messages, index, of: tenant)
        hasMatched = true
      case .read(let span):
        await readAgain(span, of: tenant)
        hasMatched = true
      case .tell(let news):
        await tell(news, to: tenant)
        hasMatched = false
      }
    }
  }

  /// What came is looked up, if there is room for what matches, then a part of it is told, in turns.
  private func nextTurn(of tenant: DID, _ hasMatched: Bool) -> Turn? {
    state.withLock { state -> Turn? in
      if let held = state.tenants[tenant], !hasMatched || held.news.isEmpty {
        if held.arrived.isEmpty {
          if let span = held.behind, held.news.count + readAtOnce <= limits.eventsWaiting { return .read(span) }
        } else if held.news.isEmpty || held.news.count + held.arrived.count <= limits.eventsWaiting {
          return .match(state.tenants[tenant]?.giveArrived() ?? [], held.index)
        }
      }
      guard let held = state.tenants[tenant], !held.news.isEmpty else {
        state.telling.remove(tenant)
        return nil
      }
      let news = held.news.prefix(SubscriptionProgress.window)
      state.tenants[tenant]?.news.removeFirst(news.count)
      var positions: [Int: [Int64]] = [:]
      for item in news { for group in item.groups { positions[group, default: []].append(item.position) } }
      return .tell(positions.flatMap { group, positions in held.listeners(of: group).map { ($0, positions) } })
    }
  }

  /// The index is a copy: nobody waits for this.
  private func match(_ messages: [StoredMessage], _ index: SubscriptionIndex<Int>, of tenant: DID) {
    let found = messages.compactMap { message -> News? in
      // A message that cannot be read matches nobody; the feed says the same of it.
      guard let groups = try? index.matches(message), !groups.isEmpty else { return nil }
      return News(position: message.position, groups: groups)
    }
    state.withLock { $0.tenants[tenant]?.news += found }
  }

  /// Looks up what had no room when it came, as it is now.
  private func readAgain(_ span: ClosedRange<Int64>, of tenant: DID) async {
    let whole = FeedSpan(after: span.lowerBound - 1, through: span.upperBound, limit: readAtOnce)
    let messages = try? await store.read(tenant, for: .node) { try $0.feed(whole) }
    var end = span.upperBound
    if let messages, messages.count == readAtOnce { end = messages[readAtOnce - 1].position }
    let held = state.withLock { state -> Tenant? in
      // If all went and others came meanwhile, these hear of what came after them.
      guard let behind = state.tenants[tenant]?.behind, behind.lowerBound == span.lowerBound else { return nil }
      state.tenants[tenant]?.behind = end < behind.upperBound ? end + 1...behind.upperBound : nil
      return state.tenants[tenant]
    }
    guard let held else { return }
    guard let messages else {
      for listener in held.listeners.values { listener.subscription?.missed(upTo: end) }
      return
    }
    match(messages.compactMap(Self.withTags), held.index, of: tenant)
    // The tags of a delete are not read back.
    let deletes = messages.filter { $0.kind == .delete }
    guard !deletes.isEmpty else { return }
    let hasPermissions = deletes.contains { $0.protocolURI == PermissionsProtocol.uri }
    for id in held.index.askingForTags(ofPermissions: hasPermissions) {
      held.listeners[id]?.subscription?.missed(upTo: end)
    }
  }

  /// So that its text is looked at once. `nil` for one that cannot be read.
  private static func withTags(_ message: StoredMessage) -> StoredMessage? {
    do {
      var read = message
      let tags = try message.tags() ?? [:]
      read.content?.tags = tags
      return read
    } catch {
      return nil
    }
  }

  private func tell(_ news: [(NodeSubscription, [Int64])], to tenant: DID) async {
    var live: [(NodeSubscription, [Int64])] = []
    for (subscription, positions) in news {
      if subscription.isLive {
        live.append((subscription, positions))
      } else {
        subscription.missed(positions)
      }
    }
    guard !live.isEmpty else { return }
    do {
      let told = try await store.read(tenant, for: .node) { [live] reader in
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
      // They take it themselves, and say so to their readers if that fails as well.
      for (subscription, positions) in live { subscription.missed(positions) }
    }
  }
}
