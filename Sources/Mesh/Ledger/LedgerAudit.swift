public import DWN
import Identity
public import Wire

/// What a node shows of an own network, compared with the ledger.
public struct LedgerAudit: Sendable {
  /// Messages that the node should show and does not: `Outbox.reopen` publishes them again.
  public var lacking: [AuthoredMessage] = []
  /// Deletes of this ledger whose records the node shows live: to be published again.
  public var repeated: [AuthoredMessage] = []
  /// Records that the node shows live and that were taken out of the ledger without a delete: `Ledger.endWithdrawn` ends them.
  public var withdrawn: [RecordID] = []
  /// Where the node shows what was taken out of the ledger and is newer than what stands there again: `Ledger.writeAnew` outdoes it.
  var outdone: Set<SlotKey> = []
  public var isOutdone: Bool { !outdone.isEmpty }
  /// Set when a message signed with this identity was found that the ledger does not hold. From then on nothing is signed.
  public var foreign: StoredMessage?
  /// Holds what has to be committed.
  public var store = StoreChange()

  public var isClean: Bool {
    lacking.isEmpty && repeated.isEmpty && withdrawn.isEmpty && outdone.isEmpty && foreign == nil
  }
}

extension Ledger {
  /// Compares what one node showed of an own network with what this ledger says (`trust.md` section 1).
  ///
  /// `paths` are those whose records were fetched completely, without regard to who wrote them; `includesDefinitions` says that
  /// both definitions were asked for. What others signed is not looked at.
  public mutating func audit(
    _ entries: [ReplyEntry], of network: NetworkID, complete paths: Set<ProtocolPath>, includesDefinitions: Bool
  ) -> LedgerAudit {
    var result = LedgerAudit()
    guard let owned = owned[network] else { return result }
    let checks = RecordChecks(owned.reference)
    let known = Dictionary(log.messages.map { ($0.element, $0) }) { first, _ in first }
    var shown: Set<String> = []
    var endings = Endings(log)
    for entry in entries {
      // What was judged once is not judged again, however often it is shown.
      guard let element = SignedMessage.element(of: entry.message), !shown.contains(element) else { continue }
      var reduced: SignedMessage?
      if known[element]?.signed.message.value != entry.message {
        guard let signed = try? checks.verified(entry.message), signed.author == identity.did,
          signed.authorGrant == nil
        else { continue }
        if known[element] == nil { reduced = signed }
        if !log.elements.contains(element) {
          guard Self.concerns(signed, network) else { continue }
          result.foreign = StoredMessage(signed, data: entry.data)
          continue
        }
      }
      shown.insert(element)
      judgeLive(entry, reduced, owned, &endings, &result)
    }
    let ended = Set(result.repeated.map(\.element))
    for message in outgoing where message.network == network || message.network == nil {
      guard !shown.contains(message.element), !ended.contains(message.element) else { continue }
      if isExpected(message, in: paths, includesDefinitions, owned) { result.lacking.append(message) }
    }
    addInitials(of: network, to: &result)
    if let found = result.foreign, !foreign.contains(where: { $0.element == found.element }) {
      foreign.append(found)
      result.store.foreign = [found]
    }
    return result
  }

  /// Whether a message of this identity belongs to the network, or to all networks of its tenant.
  private static func concerns(_ signed: SignedMessage, _ network: NetworkID) -> Bool {
    switch signed.message.kind {
    case .protocolsConfigure:
      let uri = signed.message.descriptor["definition"]?["protocol"]?.string
      return uri == MeshProtocol.uri || uri == KeyDeliveryProtocol.uri
    case .recordsDelete: return true
    case .recordsWrite:
      guard let write = try? RecordsWrite(signed) else { return false }
      if write.path.isControl {
        return EncryptionControl.audience(of: write)?.name.isAudience(of: network) ?? false
      }
      return write.protocolURI == KeyDeliveryProtocol.uri
        ? write.tags?[KeyDeliveryProtocol.Tag.contextID]?.string == network.text
        : write.protocolURI == MeshProtocol.uri && write.contextID.root == network.recordID
    default: return false
    }
  }

  /// What the log says of records, by their ids.
  private struct Endings {
    var deletes: [RecordID: [AuthoredMessage]]
    let written: Set<RecordID>
    var withdrawn: Set<RecordID> = []

    init(_ log: AuthorLog) {
      deletes = [:]
      for message in log.messages {
        if let record = message.endedRecord { deletes[record, default: []].append(message) }
      }
      written = Set(log.messages.compactMap { $0.write?.recordID })
    }
  }

  /// A record that is shown live although it was ended here, or taken out. `reduced`: the message, if its element alone is kept.
  private func judgeLive(
    _ entry: ReplyEntry, _ reduced: SignedMessage?, _ owned: OwnedNetwork, _ endings: inout Endings,
    _ result: inout LedgerAudit
  ) {
    guard let context = entry.message["contextId"]?.string.flatMap({ ContextID($0) }) else { return }
    if owned.records.isEnded(context) {
      // Each of them is repeated once.
      for record in context.segments { result.repeated += endings.deletes.removeValue(forKey: record) ?? [] }
      return
    }
    guard let write = reduced.flatMap({ try? RecordsWrite($0) }), LiveSet.covers(write.path),
      write.contextID.root == owned.id.recordID
    else { return }
    if let standing = owned.records.newest(SlotKey(write)) {
      if standing.write.timestamp < write.timestamp { result.outdone.insert(SlotKey(write)) }
    } else if !endings.written.contains(write.recordID), endings.withdrawn.insert(write.recordID).inserted {
      result.withdrawn.append(write.recordID)
    }
  }

  private func isExpected(
    _ message: AuthoredMessage, in paths: Set<ProtocolPath>, _ includesDefinitions: Bool, _ owned: OwnedNetwork
  ) -> Bool {
    guard let write = message.write else { return message.network == nil && includesDefinitions }
    guard paths.contains(write.path), !owned.records.isEnded(write.contextID) else { return false }
    if message.isHead { return message.signed.message.timestamp == owned.head?.stamp }
    if write.path.isControl, let (name, keyID) = EncryptionControl.audience(of: write) {
      // Of several audiences of one role a node shows the current one.
      return message.isDelivery
        ? owned.audienceDeliveries[write.recipient ?? identity.did]?[keyID]?.signed.element == message.element
        : owned.audiences(of: name.rolePath).first?.write.signed.element == message.element
    }
    if message.isDelivery {
      return owned.deliveries[write.recipient ?? identity.did]?.signed.element == message.element
    }
    return owned.records.newest(SlotKey(write))?.write.signed.element == message.element
  }

  /// An update is of no use to a node without the initial write.
  private func addInitials(of network: NetworkID, to result: inout LedgerAudit) {
    let updates = Set(result.lacking.compactMap { $0.write.flatMap { $0.isInitial ? nil : $0.recordID } })
    guard !updates.isEmpty else { return }
    let initials = log.messages.filter { message in
      message.write.map { $0.isInitial && updates.contains($0.recordID) } ?? false
    }
    result.lacking = (result.lacking + initials).sorted { $0.order < $1.order }
  }

  /// Ends records that were taken out of the ledger and that a node took after all.
  public mutating func endWithdrawn(_ records: [RecordID], in network: NetworkID, now: WallTime) throws(LedgerError)
    -> LedgerChange
  {
    _ = try requireOwned(network)
    var next = self
    var change = LedgerChange()
    for record in records { try next.end(record, in: network, now: now, to: &change) }
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  /// Writes anew what stands where a node shows something newer that was taken out of the ledger: above that.
  public mutating func writeAnew(
    from audit: LedgerAudit, in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    var next = self
    var change = LedgerChange()
    let standing = owned.newestWrites.filter { audit.outdone.contains(SlotKey($0.write)) }
    try next.writeAnew(standing, in: network, now: now, random: random, to: &change)
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  /// Takes out a message of the live set that a node refused for good, and signs a head without it.
  ///
  /// An update falls back to what was there before. The network's own record and definitions stay: without them there is no
  /// network, so their refusal is for a person to resolve, and the change is empty.
  public mutating func withdraw(_ element: String, now: WallTime) throws(LedgerError) -> LedgerChange {
    guard let message = log.messages.first(where: { $0.element == element }), message.canBeWithdrawn,
      let network = message.network, let write = message.write
    else { return LedgerChange() }
    _ = try requireOwned(network)
    var next = self
    var change = LedgerChange()
    var gone: Set<String> = [element]
    if write.isInitial { gone.formUnion(log.messages.filter { $0.write?.recordID == write.recordID }.map(\.element)) }
    next.log.reduce(gone, in: &change)
    try next.rebuild()
    if let recipient = write.recipient, let owned = next.owned[network], let delivery = owned.deliveries[recipient],
      !owned.nodes.contains(where: { $0.did == recipient })
    {
      try next.end(delivery.recordID, in: network, now: now, to: &change)
    }
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }
}
