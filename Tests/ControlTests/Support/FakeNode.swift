import DWN
import Identity
import Mesh
import Synchronization
import Wire

/// A node in memory for one tenant, and for the definitions of others: it stores, replaces, deletes, squashes and shows records like
/// a real one, knows just enough of authorization for a mesh, and can be told to lie.
final class FakeNode: DWNEndpoint, Sendable {
  let name: String
  let tenant: DID
  private let state = Mutex(State())

  /// Sees a request and the honest answer, and gives another.
  typealias Lie = @Sendable (Message, Reply, History) -> Reply

  /// Everything that the node was ever given, for those who want to show it again.
  struct History: Sendable {
    var entries: [ReplyEntry] = []
  }

  struct Held: Sendable {
    var initial: RecordsWrite
    var latest: RecordsWrite
    var data: [UInt8]
    var deleted: SignedMessage?
    var newest: WallTime { deleted?.message.timestamp ?? latest.timestamp }
  }

  fileprivate struct State: Sendable {
    var records: [RecordID: Held] = [:]
    /// What tenants installed.
    var definitions: [DID: [String: SignedMessage]] = [:]
    var takesGuests = true
    var history = History()
    var lie: Lie?
    var isReachable = true
    var refuses: (@Sendable (Message) -> Reply?)?
    var requests: [Message.Kind: Int] = [:]
    var arrivals: [String] = []
    var subscriptions: [FakeSubscription] = []
    /// What was stored, in order, with the write by which subscribers know it.
    var feed: [(position: UInt64, entry: ReplyEntry, write: RecordsWrite)] = []
    var epoch = "1"
    var isMute = false
  }

  init(name: String, tenant: DID) {
    self.name = name
    self.tenant = tenant
  }

  // MARK: - What tests set and see

  var isReachable: Bool {
    get { state.withLock { $0.isReachable } }
    set { state.withLock { $0.isReachable = newValue } }
  }

  func tell(_ lie: Lie?) { state.withLock { $0.lie = lie } }

  /// Answers some writes without looking at them.
  func refuse(_ refuses: (@Sendable (Message) -> Reply?)?) { state.withLock { $0.refuses = refuses } }

  /// Whether members are tenants too, as in networks with encryption v1.
  var takesGuests: Bool {
    get { state.withLock { $0.takesGuests } }
    set { state.withLock { $0.takesGuests = newValue } }
  }

  func forgetEverything() {
    state.withLock {
      $0.records = [:]
      $0.definitions = [:]
    }
  }

  /// Loses records, and everything that says they were there.
  func drop(_ isLost: @Sendable (RecordsWrite) -> Bool) {
    state.withLock { state in state.records = state.records.filter { !isLost($0.value.latest) } }
  }

  func live(_ path: ProtocolPath) -> [Held] {
    state.withLock { $0.records.values.filter { $0.latest.path == path && $0.deleted == nil } }
  }

  var history: History { state.withLock { $0.history } }

  /// Paths and methods of everything that was accepted, in order.
  var arrivals: [String] { state.withLock { $0.arrivals } }

  func count(_ kind: Message.Kind) -> Int { state.withLock { $0.requests[kind] ?? 0 } }

  /// How often anything was asked for, but for subscriptions.
  var questions: Int {
    state.withLock { state in
      [.recordsQuery, .recordsRead, .protocolsQuery].reduce(0) { $0 + (state.requests[$1] ?? 0) }
    }
  }

  /// The subscriptions that are open.
  var subscriptions: [FakeSubscription] { state.withLock { $0.subscriptions.filter(\.isOpen) } }

  /// All connections break.
  func disconnect() {
    for subscription in subscriptions { subscription.fail(.unreachable(name: name, reason: "it broke")) }
  }

  /// It stores, and tells nobody.
  func mute(_ isMute: Bool) { state.withLock { $0.isMute = isMute } }

  /// Its feed is made anew: no cursor counts any more.
  func beginEpoch(_ epoch: String) { state.withLock { $0.epoch = epoch } }

  // MARK: - DWNEndpoint

  func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply {
    guard isReachable else { throw .unreachable(name: name, reason: "it is switched off") }
    let parsed: Message
    do { parsed = try Message(message) } catch { return Reply(error) }
    let reply = state.withLock { state -> Reply in
      state.requests[parsed.kind, default: 0] += 1
      state.subscriptions.removeAll { !$0.isOpen }
      guard
        tenant == self.tenant || (state.takesGuests && [.protocolsConfigure, .protocolsQuery].contains(parsed.kind))
      else { return Reply(.init(401, "NotATenant: not served here")) }
      if let reply = state.refuses?(parsed) { return reply }
      do throws(DWNError) {
        return try state.answer(parsed, data: data, tenant: tenant)
      } catch {
        return Reply(error)
      }
    }
    guard let lie = state.withLock({ $0.lie }) else { return reply }
    return lie(parsed, reply, history)
  }

  func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    guard isReachable else { throw .unreachable(name: name, reason: "it is switched off") }
    return state.withLock { state in
      state.requests[.recordsSubscribe, default: 0] += 1
      do throws(DWNError) {
        let parsed = try Message(message)
        if let reply = state.refuses?(parsed) { return (reply, nil) }
        return try state.subscribe(parsed, tenant: self.tenant)
      } catch {
        return (Reply(error), nil)
      }
    }
  }
}

extension FakeNode.State {
  private func token(_ position: UInt64) -> ProgressToken {
    ProgressToken(streamID: "stream", epoch: epoch, position: FeedPosition(position))
  }

  fileprivate mutating func subscribe(
    _ message: Message, tenant: DID
  ) throws(DWNError) -> (Reply, (any SubscriptionSource)?) {
    let signed = try SignedMessage(checking: message, resolver: OfflineResolver())
    guard case .recordsSubscribe(let body) = message.body else { throw DWNError(400, "NotASubscribe", "") }
    let sees = try visibility(signed, filter: body.filter, tenant: tenant)
    let filter = body.filter
    let source = FakeSubscription(path: filter.path?.text) { FakeNode.matches($0, filter) && sees($0) }
    if let cursor = body.cursor {
      guard cursor.epoch == epoch else { return (Reply(.init(410, "ProgressGap: epoch_mismatch")), nil) }
      for stored in feed where FeedPosition(stored.position) > cursor.position && source.matches(stored.write) {
        source.put(event(stored.entry, at: stored.position))
      }
      source.put(.endOfStored(token(feed.last?.position ?? 0)))
    }
    subscriptions.append(source)
    return (Reply(.init(200, "OK")), source)
  }

  private func event(_ entry: ReplyEntry, at position: UInt64) -> SubscriptionFrame {
    .event(
      SubscriptionEvent(
        cursor: token(position), entry: entry, messageCID: CID(of: entry.message), protocolURI: MeshProtocol.uri))
  }

  /// Stores an event in the feed, where what it replaces is gone, and tells it.
  fileprivate mutating func publish(_ entry: ReplyEntry, of write: RecordsWrite) {
    let position = (feed.last?.position ?? 0) + 1
    feed.removeAll { records[$0.write.recordID] == nil || $0.write.recordID == write.recordID }
    feed.append((position, entry, write))
    if isMute { return }
    for subscription in subscriptions where subscription.isOpen && subscription.matches(write) {
      subscription.put(event(entry, at: position))
    }
  }
}

extension FakeNode.State {
  fileprivate mutating func answer(_ message: Message, data: [UInt8]?, tenant: DID) throws(DWNError) -> Reply {
    let signed = try SignedMessage(checking: message, resolver: OfflineResolver())
    switch message.kind {
    case .protocolsConfigure: return try configure(signed, tenant: tenant)
    case .protocolsQuery: return definitions(signed, of: tenant)
    case .recordsWrite: return try write(signed, data: data, tenant: tenant)
    case .recordsDelete: return try delete(signed, tenant: tenant)
    case .recordsQuery: return try query(signed, tenant: tenant)
    case .recordsRead: return try read(signed, tenant: tenant)
    default: throw DWNError(501, "Unimplemented", "this node does not know \(message.kind.rawValue)")
    }
  }

  private mutating func configure(_ signed: SignedMessage, tenant: DID) throws(DWNError) -> Reply {
    guard signed.author == tenant else { throw DWNError(401, "NotTheTenant", "only the tenant configures") }
    guard let uri = signed.message.descriptor["definition"]?["protocol"]?.string else {
      throw DWNError(400, "NoProtocol", "a definition names its protocol")
    }
    if let held = definitions[tenant, default: [:]][uri], !signed.message.isNewer(than: held.message) {
      return Reply(.init(409, "Conflict"))
    }
    definitions[tenant, default: [:]][uri] = signed
    history.entries.append(ReplyEntry(message: signed.message.value))
    arrivals.append("configure \(uri)")
    return Reply(.init(202, "Accepted"))
  }

  private func definitions(_ signed: SignedMessage, of tenant: DID) -> Reply {
    let wanted = signed.message.descriptor["filter"]?["protocol"]?.string
    let found = definitions[tenant, default: [:]].filter { wanted == nil || $0.key == wanted }.values
    return Reply(.init(200, "OK"), members: ["entries": .array(found.map(\.message.value))])
  }

  private mutating func write(_ signed: SignedMessage, data: [UInt8]?, tenant: DID) throws(DWNError) -> Reply {
    let write = try RecordsWrite(signed)
    guard definitions[tenant]?[write.protocolURI] != nil else {
      throw DWNError(400, "ProtocolAuthorizationProtocolNotFound", "not configured")
    }
    if let parent = write.parentID, records[parent]?.deleted != nil {
      throw DWNError(400, "ProtocolAuthorizationParentRecordNotFound", "the parent was deleted")
    }
    guard mayWrite(write, tenant: tenant) else { throw DWNError(401, "ActionNotAllowed", "no rule allows this") }
    guard let data, write.matches(data: data) else { throw DWNError(400, "DataMismatch", "the data is other data") }
    if let held = records[write.recordID] {
      guard held.deleted == nil else { throw DWNError(400, "Deleted", "the record was deleted") }
      guard write.message.isNewer(than: held.latest.message) else { return Reply(.init(409, "Conflict")) }
      records[write.recordID]?.latest = write
      records[write.recordID]?.data = data
    } else {
      guard write.isInitial else { throw DWNError(400, "InitialWriteNotFound", "no initial write") }
      let siblings = records.values.filter { $0.latest.path == write.path && $0.latest.parentID == write.parentID }
      if MeshProtocol.squashed.contains(write.path) {
        let squash = siblings.filter(\.initial.squash).map(\.newest).max()
        if let squash, write.timestamp <= squash { return Reply(.init(409, "Conflict: squashed")) }
      }
      if write.path == MeshProtocol.node {
        let isTaken = siblings.contains { $0.deleted == nil && $0.latest.recipient == write.recipient }
        guard !isTaken else { throw DWNError(400, "DuplicateRoleRecipient", "one role record each") }
      }
      if write.squash {
        for sibling in siblings where sibling.newest < write.timestamp { records[sibling.latest.recordID] = nil }
      }
      records[write.recordID] = FakeNode.Held(initial: write, latest: write, data: data)
    }
    let stored = entry(records[write.recordID]!)
    history.entries.append(stored)
    arrivals.append("write \(write.path)")
    publish(stored, of: write)
    return Reply(.init(202, "Accepted"))
  }

  private mutating func delete(_ signed: SignedMessage, tenant: DID) throws(DWNError) -> Reply {
    guard let id = signed.message.descriptor["recordId"]?.string.flatMap({ RecordID($0) }), let held = records[id]
    else {
      return Reply(.init(404, "Not Found"))
    }
    guard signed.author == tenant else { throw DWNError(401, "ActionNotAllowed", "no rule allows this") }
    guard held.deleted == nil else { return Reply(.init(409, "Conflict")) }
    records[id]?.deleted = signed
    if signed.message.descriptor["prune"]?.bool == true {
      for (other, record) in records where other != id && held.latest.contextID.contains(record.latest.contextID) {
        records[other] = nil
      }
    }
    arrivals.append("delete \(held.latest.path)")
    publish(ReplyEntry(message: signed.message.value, initialWrite: held.initial.message.value), of: held.latest)
    return Reply(.init(202, "Accepted"))
  }

  private func query(_ signed: SignedMessage, tenant: DID) throws(DWNError) -> Reply {
    let filter = try RecordsFilter(signed.message.descriptor["filter"] ?? .null)
    let sees = try visibility(signed, filter: filter, tenant: tenant)
    let found = records.values.filter { $0.deleted == nil && matches($0.latest, filter) && sees($0.latest) }
      .sorted { $0.latest.dateCreated < $1.latest.dateCreated }
    return Reply(.init(200, "OK"), members: ["entries": .array(found.map { entry($0).json })])
  }

  private func read(_ signed: SignedMessage, tenant: DID) throws(DWNError) -> Reply {
    let filter = try RecordsFilter(signed.message.descriptor["filter"] ?? .null)
    guard let held = records.values.first(where: { matches($0.latest, filter) }) else {
      return Reply(.init(404, "Not Found"))
    }
    let sees = try visibility(signed, filter: filter, tenant: tenant)
    guard sees(held.latest) || held.latest.path == MeshProtocol.network else {
      throw DWNError(401, "ActionNotAllowed", "no rule allows this")
    }
    if let deleted = held.deleted {
      return Reply(
        .init(404, "Not Found"),
        members: ["entry": ["recordsDelete": deleted.message.value, "initialWrite": held.initial.message.value]])
    }
    var members: JSONObject = ["recordsWrite": held.latest.message.value]
    if !held.latest.isInitial { members["initialWrite"] = held.initial.message.value }
    return Reply(.init(200, "OK"), members: ["entry": .object(members)], data: held.data)
  }

  private func visibility(
    _ signed: SignedMessage, filter: RecordsFilter, tenant: DID
  ) throws(DWNError) -> @Sendable (RecordsWrite) -> Bool {
    let reader = signed.author
    if reader == tenant { return { _ in true } }
    var hasRole = false
    if let role = signed.payload.protocolRole {
      guard let path = ProtocolPath(role),
        records.values.contains(where: { $0.latest.path == path && $0.deleted == nil && $0.latest.recipient == reader })
      else { throw DWNError(401, "ProtocolAuthorizationMatchingRoleRecordNotFound", "no such role record") }
      hasRole = true
    }
    return { [hasRole] write in
      write.author == reader || write.recipient == reader || write.path == EncryptionControl.audience
        || (hasRole && write.protocolURI == MeshProtocol.uri && write.path != MeshProtocol.preAuthKey)
    }
  }

  private func matches(_ write: RecordsWrite, _ filter: RecordsFilter) -> Bool { FakeNode.matches(write, filter) }
}

extension FakeNode {
  fileprivate static func matches(_ write: RecordsWrite, _ filter: RecordsFilter) -> Bool {
    (filter.protocolURI ?? write.protocolURI) == write.protocolURI && (filter.path ?? write.path) == write.path
      && (filter.recordID ?? write.recordID) == write.recordID && (filter.parentID ?? write.parentID) == write.parentID
      && (filter.contextID?.contains(write.contextID) ?? true)
      && (filter.recipient.isEmpty || write.recipient.map(filter.recipient.contains) ?? false)
      && (filter.dateUpdated?.contains(write.timestamp) ?? true)
      && filter.tags.allSatisfy { name, wanted in
        if case .equals(let value) = wanted { write.tags?[name] == value } else { false }
      }
  }

}

extension FakeNode.State {
  private func mayWrite(_ write: RecordsWrite, tenant: DID) -> Bool {
    if write.author == tenant { return true }
    guard [MeshProtocol.nodeInfo, MeshProtocol.endpoint].contains(write.path), let parent = write.parentID,
      let node = records[parent], node.deleted == nil
    else { return false }
    return node.latest.recipient == write.author
  }

  private func entry(_ held: FakeNode.Held) -> ReplyEntry {
    ReplyEntry(
      message: held.latest.message.value, data: held.data,
      initialWrite: held.latest.isInitial ? nil : held.initial.message.value)
  }
}

extension MeshProtocol {
  fileprivate static let squashed = [head, aclPolicy, nodeInfo, endpoint]
}
