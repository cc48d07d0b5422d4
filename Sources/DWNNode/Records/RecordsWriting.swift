import DWN
import Identity
import Wire

/// Admits a RecordsWrite, in the order of dwn-server 3.2.
struct RecordsWriting {
  let tenant: DID
  let transaction: any MessageTransaction
  let definitions: DefinitionCache
  let limits: NodeLimits

  func outcome(of arrival: ArrivingWrite) throws -> Outcome {
    let write = arrival.write
    let stored = try transaction.messages(of: write.recordID)
    let twin = try twin(of: write, among: stored)
    if let twin, !completes(arrival, twin, among: stored) { return .refused(409, "Conflict") }

    let initial = stored.first { $0.content?.isInitial == true }
    guard write.isInitial || initial != nil else {
      throw DWNError(
        400, "RecordsWriteGetInitialWriteNotFound",
        "the first write of \(write.recordID) is not here: send it before this")
    }
    let definition = try definitions.definition(of: write.protocolURI, at: write.timestamp, in: transaction)
    let rules: RuleSet?
    let rule: ActionRule?
    if write.path.isControl {
      rules = nil
      rule = try ControlAdmission(tenant: tenant, reader: transaction, definition: definition)
        .check(write, data: arrival.readableData())
    } else {
      rules = try ReferentialIntegrity(tenant: tenant, reader: transaction, definition: definition)
        .check(write, initial: initial)
      rule = try authorize(write, initial: initial, definition: definition)
    }
    let place = SiblingPlace(protocolURI: write.protocolURI, path: write.path, parent: write.contextID.parent)
    if initial == nil, !write.squash, rule?.actor == .anyone { try checkRoom(at: place) }
    if !write.isInitial, let initial { try checkImmutable(write, initial) }

    if rules?.allowsSquash == true, twin == nil, let squashed = try transaction.newestSquash(at: place),
      write.timestamp <= squashed
    {
      return .refused(
        409, "ProtocolAuthorizationSquashBackstop: a squash at \(squashed.timestamp) replaced what is older")
    }
    let message = arrival.stored(isLatest: true)
    if twin == nil, stored.contains(where: { !message.isNewer(than: $0) }) { return .refused(409, "Conflict") }
    guard !stored.contains(where: { $0.kind == .delete }) else {
      throw DWNError(400, "RecordsWriteNotAllowedAfterDelete", "the record \(write.recordID) was deleted")
    }
    return try commit(arrival, twin: twin, stored: stored, rules: rules, place: place)
  }

  /// The stored message that is this one, byte for byte or but for what a signature leaves open.
  private func twin(of write: RecordsWrite, among stored: [StoredMessage]) throws -> StoredMessage? {
    if let same = stored.first(where: { $0.cid == write.cid.text }) { return same }
    return try transaction.message(element: write.signed.element)
  }

  /// A first write that came without its data waits for it.
  private func completes(_ arrival: ArrivingWrite, _ twin: StoredMessage, among stored: [StoredMessage]) -> Bool {
    arrival.content != nil && !twin.hasData && arrival.write.isInitial && twin.author == arrival.write.author
      && stored.count == 1 && stored[0].cid == twin.cid
  }

  /// The rule by which somebody else than the tenant may write this.
  private func authorize(
    _ write: RecordsWrite, initial: StoredMessage?, definition: ProtocolDefinition
  ) throws -> ActionRule? {
    guard write.author != tenant else { return nil }
    let actions: Set<RecordAction> =
      if write.isInitial {
        write.squash ? [.squash, .create] : [.create]
      } else {
        initial?.author == write.author ? [.update, .coUpdate] : [.coUpdate]
      }
    return try RecordRules(reader: transaction, definition: definition).authorize(
      write.author, role: write.signed.payload.protocolRole, to: actions,
      on: RecordRules.Subject(
        path: write.path, contextID: write.contextID, recipient: initial?.place?.recipient ?? write.recipient,
        chainEnd: write.isInitial ? write.contextID.parent : write.contextID))
  }

  /// Strangers cost nothing, so what they write must end somewhere (dwn-server 13, fair shares).
  private func checkRoom(at place: SiblingPlace) throws {
    guard try transaction.count(at: place, byOthersThan: tenant) < limits.recordsByAnyone else {
      throw DWNError(
        429, "RecordsWriteQuotaExceeded",
        "\(limits.recordsByAnyone) records of others wait at \(place.path): the tenant has to deal with them first")
    }
  }

  private func checkImmutable(_ write: RecordsWrite, _ initial: StoredMessage) throws {
    let earlier = try initial.message()["descriptor"]?.object ?? JSONObject()
    let later = write.message.descriptor
    let names = Set(later.names).union(earlier.names).subtracting(RecordsWrite.mutableMembers)
    if let name = names.sorted().first(where: { later[$0] != earlier[$0] }) ?? changedContext(write, initial) {
      throw DWNError(400, "RecordsWriteImmutablePropertyChanged", "\(name) is not as in the first write of the record")
    }
  }

  private func changedContext(_ write: RecordsWrite, _ initial: StoredMessage) -> String? {
    write.contextID == initial.place?.contextID ? nil : "contextId"
  }

  private func commit(
    _ arrival: ArrivingWrite, twin: StoredMessage?, stored: [StoredMessage], rules: RuleSet?, place: SiblingPlace
  ) throws -> Outcome {
    let write = arrival.write
    guard let content = try arrival.content ?? carriedContent(for: write, among: stored) else {
      try transaction.insert(arrival.stored(isLatest: false), data: nil)
      return .accepted([], code: 204)
    }
    if let twin { try transaction.remove(twin) }
    for earlier in stored where earlier.cid != twin?.cid {
      if earlier.content?.isInitial == true {
        try transaction.demote(earlier)
      } else {
        try transaction.remove(earlier)
      }
    }
    let message = arrival.stored(isLatest: true)
    try transaction.insert(message, content: content)
    var hints: Set<ChangeHint> = [message.hint]
    if write.squash, write.isInitial {
      for sibling in try transaction.siblings(at: place, olderThan: write.timestamp) {
        hints.formUnion(try erase(sibling))
      }
    }
    if write.isInitial, let limit = rules?.recordLimit, limit.strategy == .purgeOldest {
      for sibling in try transaction.oldest(at: place, beyond: limit.maximum) { hints.formUnion(try erase(sibling)) }
    }
    return .accepted(hints)
  }

  private func erase(_ message: StoredMessage) throws -> Set<ChangeHint> {
    guard let context = message.place?.contextID else { return [] }
    return try transaction.erase(below: context, includingRecord: true)
  }

  /// The data of the newest write, for a later one that changes only what lies around it. `nil` for a first write.
  private func carriedContent(for write: RecordsWrite, among stored: [StoredMessage]) throws -> MessageData? {
    guard !write.isInitial else { return nil }
    let isSmall = write.dataSize <= NodeLimits.inlineData
    let code = isSmall ? "RecordsWriteMissingEncodedDataInPrevious" : "RecordsWriteMissingDataInPrevious"
    guard let newest = stored.first(where: \.isLatest), newest.content?.dataCID == write.dataCID,
      newest.content?.dataSize == write.dataSize, let content = try transaction.content(of: newest)
    else {
      throw DWNError(400, code, "no data came, and the newest write of the record has other data or none")
    }
    return content
  }
}
