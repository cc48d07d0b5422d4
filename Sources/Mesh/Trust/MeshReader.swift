public import DWN
public import Identity
public import Wire

/// What a device believes of one network: it is offered whatever nodes show, checks all of it, and accepts the anchor's state as a
/// whole or not at all (`trust.md` sections 2 to 6).
///
/// It does no I/O. Every offer says what has to be stored; a reader that is made again from what was stored gives the same view.
/// Nothing that a node shows can add, bring back, move or widen anything: the view changes to what a head of the anchor covers,
/// and between heads it only shrinks, by verified deletes and by expiry.
public struct MeshReader: Sendable {
  /// Most records of one network that are held.
  public static let recordLimit = 20_000
  /// A verified stamp further ahead of the own clock than this is worth a word about whose clock it is.
  public static let clockTolerance: Duration = .seconds(300)
  /// Most records that one offer asks to have read by id.
  public static let readLimit = 32
  /// Of entries that do not count. A node that shows more of them at once is not listened to further: no honest one has so many, and
  /// each costs a verification.
  public static let uselessLimit = 5_000
  /// Of those that one machine wrote of itself: whoever writes more of them is not to hide what others wrote.
  static let uselessLimitOfOne = 64

  public let network: NetworkReference
  public let identity: MachineIdentity

  let checks: RecordChecks
  var records = HeldRecords()
  var heads = HeadLine()
  var keys: any KeyIntake
  var waiting = WaitingRoom()
  var opened: OpenedRecords
  var log = RefusalLog()
  var archive = VerifiedArchive()
  var acceptedAt: WallTime?
  /// The verified elements of the last complete fetch.
  var lastComplete: Set<String>?
  var newestMismatch: Mismatch?
  /// Whether what is offered now may have been overtaken.
  private var isOvertaken = false

  /// Signers whose newest verified stamp lies ahead of this device's clock by more than `clockTolerance`, and by how much.
  public internal(set) var clocksAhead: [DID: Duration] = [:]
  /// `seq` of heads of which the anchor signed two.
  public internal(set) var equivocations: Set<Int64> = []

  /// A reader that begins where the stored one was. What is stored is checked again like everything else; `stored` of a new
  /// network is empty.
  public init(network: NetworkReference, identity: MachineIdentity, stored: StoredNetwork = StoredNetwork()) {
    self.network = network
    self.identity = identity
    self.checks = RecordChecks(network)
    let keys = network.keyIntake(identity)
    self.keys = keys
    self.opened = OpenedRecords(keys.opening)
    restore(stored)
  }

  /// Takes what a node showed.
  ///
  /// A complete fetch is offered in one call, so that its entries can stand for each other. `now` serves retries and patience,
  /// `wall` the times in records.
  ///
  /// `isOvertaken`: something newer may have come on another way since the node showed this. What is merely old is then left out
  /// without a word.
  public mutating func offer(
    _ entries: [ReplyEntry], extent: FetchExtent = .partial, isOvertaken: Bool = false, at now: Instant, wall: WallTime
  ) -> OfferOutcome {
    self.isOvertaken = isOvertaken
    var outcome = OfferOutcome()
    var intake = Intake()
    for entry in entries where intake.useless < Self.uselessLimit {
      let machine = Self.machine(describedBy: entry)
      if let machine, intake.uselessOf[machine, default: 0] >= Self.uselessLimitOfOne { continue }
      let before = intake.useless
      sort(entry, into: &intake, &outcome)
      if let machine, intake.useless > before { intake.uselessOf[machine, default: 0] += 1 }
    }
    for (signed, definition) in intake.definitions {
      judge(signed.message.value, &outcome) { reader throws(Rejection) in
        try reader.checkGrant(of: signed)
        let isNew = try reader.insert(signed, definition)
        intake.noteShown(signed.element)
        return isNew
      }
    }
    for write in intake.writes.sorted(by: Self.precedes) { place(write, &intake, &outcome, wall: wall) }
    for (signed, record) in intake.deletes {
      judge(signed.message.value, &outcome) { reader throws(Rejection) in try reader.end(record, by: signed) }
    }
    while !waiting.isEmpty {
      let changedBefore = intake.placed
      for write in waiting.takeAll() { place(write, &intake, &outcome, wall: wall) }
      if intake.placed == changedBefore { break }
    }
    if extent == .complete {
      // What still waits now has nothing above it there: it would only take the room of others.
      waiting = WaitingRoom()
      lastComplete = intake.shown
      outcome.readByID.formUnion(unshown(intake))
    }
    if network.envelope.hasHeads {
      settle(extent: extent, at: now, wall: wall, &outcome)
    } else if extent == .complete {
      endReplacedAudiences(intake, &outcome)
      noteShown(wall: wall, &outcome)
    }
    if outcome.changed {
      openHeld()
      let change = archive.update(self)
      opened.keep(only: archive.elements)
      if !change.isEmpty { outcome.store.verified[network.id] = change }
    }
    return outcome
  }

  // MARK: Taking entries apart

  /// What one offer brought, and what came of it.
  struct Intake {
    var definitions: [(SignedMessage, MeshDefinition)] = []
    var writes: [RecordChecks.CheckedWrite] = []
    var deletes: [(SignedMessage, RecordID)] = []
    var shown: Set<String> = []
    var shownRecords: Set<RecordID> = []
    var placed = 0
    var useless = 0
    /// Of what machines write of themselves, by the record above it.
    var uselessOf: [String: Int] = [:]

    mutating func noteShown(_ element: String) { shown.insert(element) }
  }

  /// Of which machine an entry tells, as that machine itself says; `nil` for what the anchor writes.
  private static func machine(describedBy entry: ReplyEntry) -> String? {
    let descriptor = entry.message["descriptor"]
    guard let path = descriptor?["protocolPath"]?.string, MeshProtocol.ownRecords.contains(where: { $0.text == path })
    else { return nil }
    return descriptor?["parentId"]?.string
  }

  private mutating func sort(_ entry: ReplyEntry, into intake: inout Intake, _ outcome: inout OfferOutcome) {
    if let known = archive.known(entry) {
      intake.noteShown(known.element)
      if let record = known.record { intake.shownRecords.insert(record) }
      return
    }
    do {
      switch try checks.check(entry) {
      case .write(let write): intake.writes.append(write)
      case .delete(let signed, let record): intake.deletes.append((signed, record))
      case .definition(let signed, let definition): intake.definitions.append((signed, definition))
      case .revocation(let signed, let grant):
        // Kept with what was ended: its id is that of no record of the mesh.
        if records.end(grant, at: signed.message.timestamp) { outcome.changed = true }
      case .irrelevant: intake.useless += 1
      }
    } catch {
      intake.useless += 1
      refuse(entry.message, error.reason, &outcome)
    }
  }

  /// Parents before children, first writes before later ones, and heads at the end.
  private static func precedes(_ a: RecordChecks.CheckedWrite, _ b: RecordChecks.CheckedWrite) -> Bool {
    func rank(_ write: RecordsWrite) -> Int { write.path == MeshProtocol.head ? 100 : write.path.depth }
    let (left, right) = (rank(a.write), rank(b.write))
    return left == right ? b.write.message.isNewer(than: a.write.message) : left < right
  }

  private mutating func insert(_ signed: SignedMessage, _ definition: MeshDefinition) throws(Rejection) -> Bool {
    guard definition.envelope == network.envelope else { throw Rejection(.envelopeChanged(network.envelope)) }
    return try records.insert(signed, definition)
  }

  private mutating func end(_ record: RecordID, by signed: SignedMessage) throws(Rejection) -> Bool {
    if signed.authorGrant != nil {
      try checkGrant(of: signed)
      // Whether a delegate may end a record follows from where it stands.
      guard let initial = records.initials[record] else { throw Rejection(.initialWriteMissing) }
      try GrantUse(signed, checks.authority).checkDelete(of: initial)
    }
    return records.end(record, at: signed.message.timestamp)
  }

  /// Whether the grant that a delegate's message carries was revoked before the message, as far as is known.
  private func checkGrant(of signed: SignedMessage) throws(Rejection) {
    guard let grant = signed.authorGrant?.grant else { return }
    if let revoked = records.ended[grant.id], revoked <= signed.message.timestamp { throw Rejection(.grantRevoked) }
  }

  /// The grants by which delegates wrote what is held: whoever fetches asks whether they were revoked.
  public var grants: Set<RecordID> {
    var result = Set(records.slots.values.compactMap { $0.last?.write.signed.authorGrant?.grant.id })
    result.formUnion(records.definitions.compactMap { $0.signed.authorGrant?.grant.id })
    return result.count <= Self.readLimit ? result : Set(result.sorted().prefix(Self.readLimit))
  }

  private mutating func place(
    _ checked: RecordChecks.CheckedWrite, _ intake: inout Intake, _ outcome: inout OfferOutcome, wall: WallTime
  ) {
    do {
      switch try placement(of: checked) {
      case .waiting: waiting.add(checked)
      case .withoutData:
        if outcome.readByID.count < Self.readLimit { outcome.readByID.insert(checked.write.recordID) }
      case .placed(let isNew):
        intake.noteShown(checked.write.signed.element)
        intake.placed += 1
        if isNew {
          outcome.changed = true
          noteClock(of: checked.write, wall: wall)
        }
      }
      intake.shownRecords.insert(checked.write.recordID)
    } catch {
      intake.shownRecords.insert(checked.write.recordID)
      if error.reason == .equivocation, let seq = (try? HeadRecord(parsing: checked.data ?? []))?.seq {
        equivocations.insert(seq)
      }
      refuse(checked.write.message.value, error.reason, &outcome)
    }
  }

  private enum Placement {
    case placed(isNew: Bool)
    case waiting
    case withoutData
  }

  /// The checks of section 2 that need what is held: 2.5 to 2.8, then the slot.
  private mutating func placement(of checked: RecordChecks.CheckedWrite) throws(Rejection) -> Placement {
    let write = checked.write
    let carriesKeys = write.carriesMeshKeys
    if write.deliversMeshKeys, write.recipient != identity.did { return .placed(isNew: false) }
    try checkGrant(of: write.signed)
    guard let initial = initialWrite(of: checked) else { throw Rejection(.initialWriteMissing) }
    if let member = write.immutableMemberChanged(from: initial) { throw Rejection(.immutableMember(member)) }
    guard let size = sizeLimit(for: write) else { return .waiting }
    guard write.dataSize <= size else { throw Rejection(.dataTooLarge(bytes: write.dataSize, limit: size)) }
    if !carriesKeys {
      if write.path == MeshProtocol.network {
        guard Envelope(committedIn: initial.tags) == network.envelope else {
          throw Rejection(.otherEnvelope(network.envelope))
        }
      } else {
        guard let parent = write.contextID.parent else { throw Rejection(.wrongPlace) }
        guard let above = records.initials[parent.record] else {
          if records.isEnded(write.contextID) { throw Rejection(.ended) }
          return .waiting
        }
        guard above.contextID == parent, above.path == write.path.parent else { throw Rejection(.wrongPlace) }
        guard checks.authority.mayWrite(write.author, path: write.path, parentRecipient: above.recipient) else {
          throw Rejection(.notTheAuthor(Authority.writer(of: write.path)))
        }
      }
    }
    guard let data = checked.data else {
      if write.path != MeshProtocol.head, !carriesKeys { try records.checkAdmission(of: write) }
      return .withoutData
    }
    if carriesKeys {
      if records.isEnded(write.contextID) { throw Rejection(.ended) }
      let isNew = try keys.take(write, data: data, initial: initial, into: &records)
      if isNew {
        opened.use(keys.opening)
        heads.require(seq: keys.lowestSeq ?? 1)
      }
      return .placed(isNew: isNew)
    }
    if write.path == MeshProtocol.head {
      return .placed(isNew: try heads.insert(write, data: data, initial: initial))
    }
    return .placed(isNew: try records.insert(write, data: data, initial: initial))
  }

  private func initialWrite(of checked: RecordChecks.CheckedWrite) -> RecordsWrite? {
    if checked.write.isInitial { return checked.write }
    let record = checked.write.recordID
    if let held = records.initials[record] { return held }
    if let held = keys.held?.initial, held.recordID == record { return held }
    return checked.initial
  }

  /// `nil`: the definition that says it was not shown yet. The network record and keys come before it.
  private func sizeLimit(for write: RecordsWrite) -> Int? {
    if write.path.isControl { return EncryptionControl.maximumDataSize }
    if let newest = records.definitions.last?.definition, write.protocolURI == MeshProtocol.uri {
      return newest.sizeLimit(at: write.path)
    }
    return write.path.depth == 1 ? MeshDefinition.defaultSizeLimit : nil
  }

  /// Held records at the paths of a complete fetch that it did not show.
  private func unshown(_ intake: Intake) -> Set<RecordID> {
    var result: Set<RecordID> = []
    for (_, versions) in records.slots {
      guard let held = versions.last, LiveSet.covers(held.write.path),
        !intake.shownRecords.contains(held.write.recordID),
        !records.isEnded(held.write.contextID)
      else { continue }
      result.insert(held.write.recordID)
    }
    return result.count <= Self.readLimit ? result : Set(result.sorted().prefix(Self.readLimit))
  }

  /// A node shows the current audience of each role. One that goes before it and is not shown has been replaced by it: it does not come
  /// back, so that nothing more is encrypted to those who had the old key.
  private mutating func endReplacedAudiences(_ intake: Intake, _ outcome: inout OfferOutcome) {
    for (_, audiences) in records.audiences(in: network) {
      guard let current = audiences.firstIndex(where: { intake.shownRecords.contains($0.write.recordID) }) else {
        continue
      }
      for (replaced, _) in audiences[..<current]
      where records.end(replaced.recordID, at: audiences[current].write.timestamp) {
        outcome.changed = true
      }
    }
  }

  /// Without heads, what a complete fetch shows is what there is: from the first on there is a view.
  private mutating func noteShown(wall: WallTime, _ outcome: inout OfferOutcome) {
    guard acceptedAt == nil, records.newest(.record(network.id.recordID)) != nil, !records.definitions.isEmpty else {
      return
    }
    acceptedAt = wall
    outcome.changed = true
  }

  private mutating func judge(
    _ message: JSONValue, _ outcome: inout OfferOutcome, _ body: (inout MeshReader) throws(Rejection) -> Bool
  ) {
    do {
      if try body(&self) { outcome.changed = true }
    } catch {
      refuse(message, error.reason, &outcome)
    }
  }

  private mutating func refuse(_ message: JSONValue, _ reason: RefusalReason, _ outcome: inout OfferOutcome) {
    if isOvertaken, reason.isAge { return }
    if let first = log.note(message, reason) { outcome.refusals.append(first) }
  }

  private mutating func noteClock(of write: RecordsWrite, wall: WallTime) {
    let ahead = write.timestamp - wall
    clocksAhead[write.author] = ahead > Self.clockTolerance ? ahead : nil
  }
}
