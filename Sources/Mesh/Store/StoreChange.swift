public import DWN
public import Wire

/// One transaction on a `MeshStore`: all of it is kept, or nothing.
///
/// Every decision of `Ledger`, `Outbox` and `MeshReader` comes with the change that makes it durable. It is
/// committed before anything that follows from the decision leaves the process.
public struct StoreChange: Hashable, Sendable {
  /// Inserted, or replaced by `element`. How far one without its message has come is dropped.
  public var authored: [StoredAuthored] = []
  /// Inserted, or replaced by (`element`, `endpoint`), but for those of authored entries without a message; `pending` may be left out.
  public var publications: [StoredPublication] = []
  /// Evidence of another writer with this device's key; inserted.
  public var foreign: [StoredMessage] = []
  /// By network.
  public var verified: [NetworkID: VerifiedChange] = [:]

  public init() {}

  public var isEmpty: Bool {
    authored.isEmpty && publications.isEmpty && foreign.isEmpty && verified.values.allSatisfy(\.isEmpty)
  }

  /// Adds what came later; a store may thus commit several decisions at once.
  public mutating func merge(_ later: StoreChange) {
    authored += later.authored
    publications += later.publications
    foreign += later.foreign
    for (network, change) in later.verified { verified[network, default: VerifiedChange()].merge(change) }
  }
}

/// What changes in the verified store of one network, in this order: `kept`, `dropped`, `ended`, `accepted`, `cursors`.
public struct VerifiedChange: Hashable, Sendable {
  /// Inserted, or replaced by `element`.
  public var kept: [StoredMessage] = []
  /// Elements.
  public var dropped: [String] = []
  public var ended: [RecordID: WallTime] = [:]
  /// Deletes that need not be remembered any more.
  public var forgotten: [RecordID] = []
  /// `nil`: as before.
  public var accepted: StoredAcceptance?
  /// Inserted, or replaced by place. Everything up to there is in the store with this change, or was before.
  public var cursors: [SubscriptionPlace: ProgressToken] = [:]

  public init() {}

  public var isEmpty: Bool {
    kept.isEmpty && dropped.isEmpty && ended.isEmpty && forgotten.isEmpty && accepted == nil && cursors.isEmpty
  }

  mutating func merge(_ later: VerifiedChange) {
    let droppedLater = Set(later.dropped)
    let keptLater = Set(later.kept.map(\.element))
    kept = kept.filter { !droppedLater.contains($0.element) && !keptLater.contains($0.element) } + later.kept
    dropped = dropped.filter { !keptLater.contains($0) } + later.dropped
    for record in later.forgotten { ended[record] = nil }
    let endedLater = Set(later.ended.keys)
    forgotten = forgotten.filter { !endedLater.contains($0) } + later.forgotten
    ended.merge(later.ended) { $1 }
    accepted = later.accepted ?? accepted
    cursors.merge(later.cursors) { $1 }
  }
}

extension StoredMesh {
  /// What a store must give back after the change: the meaning of a transaction, which implementations are tested against.
  public mutating func apply(_ change: StoreChange) {
    var written: [String: StoredAuthored] = [:]
    for entry in change.authored { written[entry.element] = entry }
    if !written.isEmpty {
      authored = (authored.filter { written[$0.element] == nil } + written.values).sorted { $0.order < $1.order }
    }
    let gone = Set(authored.filter { $0.message == nil }.map(\.element))
    publications.removeAll { gone.contains($0.element) }
    for publication in change.publications where !gone.contains(publication.element) {
      publications.removeAll { $0.element == publication.element && $0.endpoint == publication.endpoint }
      publications.append(publication)
    }
    for message in change.foreign where !foreign.contains(where: { $0.element == message.element }) {
      foreign.append(message)
    }
    for (network, change) in change.verified { networks[network, default: StoredNetwork()].apply(change) }
  }
}

extension StoredNetwork {
  mutating func apply(_ change: VerifiedChange) {
    var kept: [String: StoredMessage] = [:]
    for message in change.kept { kept[message.element] = message }
    let gone = Set(kept.keys).union(change.dropped)
    if !gone.isEmpty {
      for element in change.dropped { kept[element] = nil }
      messages = messages.filter { !gone.contains($0.element) } + kept.values.sorted { $0.element < $1.element }
    }
    for (record, stamp) in change.ended { ended[record] = stamp }
    for record in change.forgotten { ended[record] = nil }
    accepted = change.accepted ?? accepted
    for (place, cursor) in change.cursors { cursors[place] = cursor }
  }
}
