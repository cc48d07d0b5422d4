import DWN
import Identity
import Wire

/// Admits a RecordsWrite, in the order of dwn-server 3.2.
struct RecordsWriting {
  let tenant: DID
  let transaction: any MessageTransaction
  let definitions: DefinitionCache
  let limits: NodeLimits

  /// To a write whose signatures have been verified.
  func reply(to arrival: ArrivingWrite) throws -> Reply {
    let write = arrival.write
    let standing: RecordStanding
    switch try RecordStanding.of(arrival, tenant, transaction, definitions, limits) {
    case .known: return .refused(409, "Conflict")
    case .fits(let found): standing = found
    }
    let stored = standing.stored
    let initial = standing.initial
    var admission: Admission?
    if write.path.isControl {
      try WriteAuthorization.checkOwner(of: write.signed, tenant)
    } else {
      admission = try WriteAuthorization(tenant: tenant, reader: transaction, definitions: definitions)
        .admission(of: write, initial: initial)
    }
    let place = SiblingPlace(protocolURI: write.protocolURI, path: write.path, parent: write.contextID.parent)
    if standing.rules?.isRole == true, !standing.isShown { try checkHolder(of: write, at: place) }
    if !write.isInitial, let initial { try checkImmutable(write, initial) }

    if let refusal = try backstop(write, standing, place) { return refusal }
    var message = arrival.stored(isLatest: true)
    if standing.twin == nil, stored.contains(where: { !message.isNewer(than: $0) }) {
      return .refused(409, "Conflict")
    }
    guard !stored.contains(where: { $0.kind == .delete }) else {
      throw DWNError(400, "RecordsWriteNotAllowedAfterDelete", "the record \(write.recordID) was deleted")
    }
    if write.path.isControl {
      admission = try ControlAdmission(tenant: tenant, reader: transaction, definitions: definitions)
        .check(write, data: arrival.readableData())
    }
    let isByAnyone = initial == nil && admission?.share == .anyone
    // What nobody is shown would take room, and nobody would know.
    guard arrival.hasData || !isByAnyone else {
      throw DWNError(400, "RecordsWriteMissingDataInPrevious", "what anyone may write comes with its data")
    }
    if let fault = arrival.fault { throw fault }
    if isByAnyone, !write.squash { try makeRoom(at: place, for: write.author, now: arrival.arrived) }
    if let admission { message.note(admission) }
    return try commit(message, arrival, standing, place)
  }

  /// What gave way does not come back, whenever it arrives and whatever the definition of its time says. What comes again from
  /// another node did not.
  private func backstop(_ write: RecordsWrite, _ standing: RecordStanding, _ place: SiblingPlace) throws -> Reply? {
    let isNews = transaction.ended == nil
    if standing.twin == nil, isNews || standing.rules?.allowsSquash == true,
      let squashed = try transaction.newestSquash(at: place),
      write.timestamp <= squashed
    {
      return .refused(
        409, "ProtocolAuthorizationSquashBackstop: a squash at \(squashed.timestamp) replaced what is older")
    }
    guard isNews, !standing.isShown, let limit = standing.rules?.recordLimit, limit.strategy == .purgeOldest,
      case let creation = RecordCreation(time: write.dateCreated, record: write.recordID),
      try transaction.firstWrites(at: place, after: creation, atMost: limit.maximum) == limit.maximum
    else { return nil }
    return .refused(
      409, "ProtocolAuthorizationRecordLimitBackstop: \(limit.maximum) younger records took the room at \(place.path)")
  }

  /// A role is held once. Who holds it is told to nobody who may not give it, so the author's right is asked before.
  private func checkHolder(of write: RecordsWrite, at place: SiblingPlace) throws {
    guard let recipient = write.recipient else { return }
    if let other = try transaction.roleRecord(place, recipient: recipient), other.place?.recordID != write.recordID {
      throw DWNError(
        400, "ProtocolAuthorizationDuplicateRoleRecipient",
        "\(recipient) already holds the role \(write.path) there")
    }
  }

  /// Strangers cost nothing, so what they write must end somewhere (dwn-server 13, fair shares).
  /// When there is no room, what has been waiting for very long makes some.
  private func makeRoom(at place: SiblingPlace, for author: DID, now: WallTime?) throws {
    guard
      try transaction.countByAnyone(at: place, author: author, notEndedBy: tenant) < limits.recordsByStranger
    else {
      throw DWNError(
        429, "RecordsWriteQuotaExceeded",
        "\(limits.recordsByStranger) records of this author wait at \(place.path): the tenant has to deal with them first"
      )
    }
    guard try transaction.count(at: place, byOthersThan: tenant) >= limits.recordsByAnyone else { return }
    let longAgo = now.map { $0 + (.zero - limits.strangersStay) }
    guard
      let oldest = try longAgo.flatMap({
        try transaction.oldestByAnyone(at: place, arrivedBefore: $0, notEndedBy: tenant)
      })
    else {
      throw DWNError(
        429, "RecordsWriteQuotaExceeded",
        "\(limits.recordsByAnyone) records of others wait at \(place.path): the tenant has to deal with them first")
    }
    try erase(oldest)
  }

  private func checkImmutable(_ write: RecordsWrite, _ initial: StoredMessage) throws {
    let earlier = try initial.message()["descriptor"]?.object ?? JSONObject()
    let later = write.message.descriptor
    // By which grant it is written, is judged anew with every write.
    let mayChange = RecordsWrite.mutableMembers.union(["permissionGrantId"])
    let names = Set(later.names).union(earlier.names).subtracting(mayChange)
    if let name = names.sorted().first(where: { later[$0] != earlier[$0] }) ?? changedContext(write, initial) {
      throw DWNError(400, "RecordsWriteImmutablePropertyChanged", "\(name) is not as in the first write of the record")
    }
  }

  private func changedContext(_ write: RecordsWrite, _ initial: StoredMessage) -> String? {
    write.contextID == initial.place?.contextID ? nil : "contextId"
  }

  private func commit(
    _ message: StoredMessage, _ arrival: ArrivingWrite, _ standing: RecordStanding, _ place: SiblingPlace
  ) throws -> Reply {
    let write = arrival.write
    guard let content = try arrival.content ?? carriedContent(for: write, among: standing.stored) else {
      var waiting = message
      waiting.isLatest = false
      try transaction.insert(waiting, data: nil)
      return .waitsForData
    }
    if BuiltInRecords.govern(write) {
      try BuiltInRecords(tenant: tenant, reader: transaction).check(write, data: content.bytes())
    }
    if let twin = standing.twin { try transaction.remove(twin) }
    for earlier in standing.stored where earlier.cid != standing.twin?.cid {
      if earlier.content?.isInitial == true {
        try transaction.demote(earlier)
      } else {
        try transaction.remove(earlier)
      }
    }
    try transaction.insert(message, content: content)
    // A first write without data is nothing yet: what it does to others it does with the data, which may come with a later one.
    if write.squash, !standing.isShown {
      for sibling in try transaction.siblings(at: place, olderThan: write.dateCreated) { try erase(sibling) }
    }
    if !standing.isShown, let limit = standing.rules?.recordLimit, limit.strategy == .purgeOldest {
      for sibling in try transaction.oldest(at: place, beyond: limit.maximum) { try erase(sibling) }
    }
    if write.protocolURI == PermissionsProtocol.uri, write.path == PermissionsProtocol.revocation,
      let grant = write.parentID
    {
      try RevocationPurge(transaction: transaction).run(grant, revoked: write.dateCreated)
    }
    return .accepted
  }

  private func erase(_ message: StoredMessage) throws {
    guard let context = message.place?.contextID else { return }
    try transaction.erase(below: context, includingRecord: true)
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
