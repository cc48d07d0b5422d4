import DWN
import Identity
import Wire

@testable import DWNNode

/// One tenant's messages in the order in which they came.
struct ModelMessages: MessageReader, Sendable {
  struct Row: Sendable {
    /// Without its tags, which are beside it while it stands for its record, and without what it means for queries.
    var message: StoredMessage
    var data: MessageData?
    var tags: JSONObject?
    var rules: QueryRules?

    var size: Int {
      var message = message
      message.queryRules = rules
      return message.size(with: data)
    }
  }

  var rows: [Row] = []
  var lastPosition: Int64 = 0

  private var messages: [StoredMessage] { rows.map(\.message) }

  func messages(of record: RecordID) -> [StoredMessage] { messages.filter { $0.place?.recordID == record } }
  func place(of record: RecordID) -> RecordPlace? {
    let messages = messages(of: record)
    guard !messages.contains(where: { $0.kind == .delete }), let any = messages.first, let place = any.place else {
      return nil
    }
    return RecordPlace(protocolURI: any.protocolURI, path: place.path, contextID: place.contextID)
  }
  func configure(element: String) -> StoredMessage? {
    messages.first { $0.kind == .configure && $0.element == element }
  }
  func message(cid: String) -> StoredMessage? { messages.first { $0.cid == cid } }
  func children(of record: RecordID) -> [StoredMessage] {
    messages.filter { $0.place?.contextID.parent?.record == record }
  }

  func messages(authorizedBy grant: RecordID, after time: WallTime) -> [StoredMessage] {
    messages.filter { $0.grantID == grant && $0.timestamp > time }.sorted { $0.timestamp < $1.timestamp }
  }

  func configure(of protocolURI: String) -> StoredMessage? { definitions(of: protocolURI).last }

  func configureCID(of protocolURI: String, at time: WallTime) -> String? {
    let definitions = definitions(of: protocolURI)
    return (definitions.last { $0.timestamp <= time } ?? definitions.first)?.cid
  }

  func configures(_ page: DefinitionPage) -> [StoredMessage] {
    let matches = messages.filter {
      $0.kind == .configure && $0.isLatest && (page.protocolURI == nil || $0.protocolURI == page.protocolURI)
        && (!page.onlyPublished || $0.isPublishedDefinition) && $0.protocolURI > page.after
    }
    return Array(matches.sorted { $0.protocolURI < $1.protocolURI }.prefix(page.limit))
  }

  func recordLimits(of protocolURI: String?, at path: ProtocolPath?, atMost count: Int) -> [Selection.Occupancy] {
    let limits = rows.filter {
      $0.message.isLatest && (protocolURI == nil || $0.message.protocolURI == protocolURI)
    }.flatMap { row in
      (row.rules?.limits ?? []).map {
        Selection.Occupancy(protocolURI: row.message.protocolURI, path: $0.path, maximum: $0.maximum)
      }
    }.filter { path == nil || $0.path == path }
    return Array(limits.sorted { ($0.protocolURI, $0.path.text) < ($1.protocolURI, $1.path.text) }.prefix(count))
  }

  func hangsDeeper(below root: String, of protocolURI: String) -> Bool {
    rows.contains {
      $0.message.protocolURI == protocolURI && $0.rules?.deepRoots.contains { $0.text == root } == true
    }
  }

  func fingerprint() -> FeedFingerprint {
    messages.reduce(into: FeedFingerprint()) { $0.toggle($1.cid) }
  }

  private func definitions(of protocolURI: String) -> [StoredMessage] {
    messages.filter { $0.kind == .configure && $0.protocolURI == protocolURI }.sorted { $1.isNewer(than: $0) }
  }

  func roleRecord(_ place: SiblingPlace, recipient: DID) -> StoredMessage? {
    live(at: place).first { $0.place?.recipient == recipient }
  }

  func hasWrite(at path: ProtocolPath, of protocolURI: String, isEncrypted: Bool) throws -> Bool {
    try messages.contains {
      try isLive($0) && $0.protocolURI == protocolURI && $0.place?.path == path
        && ($0.message()["encryption"] != nil) == isEncrypted
    }
  }

  func newestSquash(at place: SiblingPlace) -> WallTime? {
    all(at: place).filter { $0.content?.isSquash == true && $0.content?.isInitial == true }.map(\.timestamp).max()
  }

  func count(at place: SiblingPlace, byOthersThan owner: DID) -> Int {
    firstWrites(at: place, notEndedBy: owner).count { $0.author != owner }
  }

  func countByAnyone(at place: SiblingPlace, author: DID, notEndedBy owner: DID) -> Int {
    firstWrites(at: place, notEndedBy: owner).count { $0.author == author && $0.share == .anyone }
  }

  func oldestByAnyone(
    at place: SiblingPlace, arrivedBefore time: WallTime, notEndedBy owner: DID
  ) -> StoredMessage? {
    firstWrites(at: place, notEndedBy: owner).filter { first in
      first.share == .anyone && first.arrived.map { $0 < time } ?? false
        && !messages.contains { message in
          guard message.author != first.author, let place = message.place, let origin = first.place else {
            return false
          }
          return place.recordID == origin.recordID
            || (message.share != .anyone && place.contextID != origin.contextID
              && origin.contextID.contains(place.contextID))
        }
    }
    .min { $0.arrived! < $1.arrived! }
  }

  private func wasDeleted(_ message: StoredMessage, notBefore time: WallTime) -> Bool {
    messages.contains {
      $0.kind == .delete && $0.place?.recordID == message.place?.recordID && $0.timestamp >= time
    }
  }

  private func waitsForData(_ first: StoredMessage) -> Bool {
    !first.hasData && !messages.contains { $0.isLatest && $0.place?.recordID == first.place?.recordID }
  }

  func hasTenants(at context: ContextID, withoutGrant grant: RecordID) -> Bool {
    messages.contains { message in
      message.place.map { context.contains($0.contextID) } ?? false && message.share == .tenant
        && message.grantID != grant
    }
  }

  func firstWrites(at place: SiblingPlace, after creation: RecordCreation, atMost count: Int) -> Int {
    let younger = all(at: place).filter { message in
      message.content?.isInitial == true && message.timestamp >= creation.time
        && !waitsForData(message) && (!isEnded(message) || wasDeleted(message, notBefore: creation.time))
        && Self.creation(message) > (creation.time.timestamp, creation.record.text)
    }
    return min(count, younger.count)
  }

  private func firstWrites(at place: SiblingPlace, notEndedBy owner: DID) -> [StoredMessage] {
    all(at: place).filter { first in
      first.content?.isInitial == true
        && !messages.contains {
          $0.kind == .delete && $0.author == owner && $0.place?.recordID == first.place?.recordID
        }
    }
  }

  func content(of message: StoredMessage) -> MessageData? { rows.first { $0.message.cid == message.cid }?.data }

  func usage() -> StoredUsage {
    func bytes(_ rows: [Row]) -> Int {
      rows.reduce(0) { $0 + $1.size }
    }
    let guests = rows.filter { $0.message.share != .tenant }
    return StoredUsage(
      messages: rows.count, bytes: bytes(rows), guestMessages: guests.count, guestBytes: bytes(guests))
  }

  func shares() -> StoredShares {
    StoredShares(
      tenant: sum { !isEnded($0) && $0.share == .tenant }, guests: sum { !isEnded($0) && $0.share != .tenant },
      remainsOfTenant: sum { isEnded($0) && !isGuests($0) }, remainsOfGuests: sum { isEnded($0) && isGuests($0) })
  }

  func usage(ofGuest author: DID) -> StoredUsage {
    sum { !isEnded($0) && $0.share != .tenant && $0.author == author }
  }

  private func sum(where isCounted: (StoredMessage) -> Bool) -> StoredUsage {
    let counted = rows.filter { isCounted($0.message) }
    return StoredUsage(
      messages: counted.count, bytes: counted.reduce(0) { $0 + $1.size })
  }

  private func isEnded(_ message: StoredMessage) -> Bool {
    message.place.map { place in
      messages.contains { $0.kind == .delete && $0.place?.recordID == place.recordID }
    } ?? false
  }

  /// Whether its record is a guest's.
  private func isGuests(_ message: StoredMessage) -> Bool {
    messages.first { $0.content?.isInitial == true && $0.place?.recordID == message.place?.recordID }
      .map { $0.share != .tenant } ?? false
  }

  func feed(_ span: FeedSpan) -> [StoredMessage] {
    Array(
      rows.filter { row in
        row.message.position > span.after && row.message.position <= span.through
          && (span.filter.map { row.matches($0) } ?? true)
      }.map(\.message).sorted { $0.position < $1.position }.prefix(span.limit))
  }

  func forEachCID(in span: FeedSpan, _ body: (String) -> Void) {
    for message in feed(span) { body(message.cid) }
  }

  // MARK: Places

  func all(at place: SiblingPlace) -> [StoredMessage] {
    messages.filter {
      $0.protocolURI == place.protocolURI && $0.place?.path == place.path && $0.place?.contextID.parent == place.parent
    }
  }

  func live(at place: SiblingPlace) -> [StoredMessage] { all(at: place).filter(isLive) }

  private func isLive(_ message: StoredMessage) -> Bool { message.isLatest && message.kind == .write }
}

/// A copy of a tenant's messages that a writer changes.
final class ModelTransaction: MessageTransaction {
  var messages: ModelMessages

  init(_ messages: ModelMessages) { self.messages = messages }

  @discardableResult
  func insert(_ message: StoredMessage, content: MessageData?) -> Int64 {
    messages.lastPosition += 1
    var message = message
    message.position = messages.lastPosition
    message.hasData = content != nil
    let tags = message.isLatest ? message.content?.tags ?? message.ended?.tags : nil
    message.content?.tags = nil
    message.ended?.tags = nil
    let rules = message.queryRules
    message.queryRules = nil
    messages.rows.append(.init(message: message, data: content, tags: tags, rules: rules))
    return message.position
  }

  func demote(_ message: StoredMessage) {
    guard let index = messages.rows.firstIndex(where: { $0.message.cid == message.cid }) else { return }
    messages.rows[index].message.isLatest = false
    messages.rows[index].message.hasData = false
    messages.rows[index].data = nil
    messages.rows[index].tags = nil
  }

  func remove(_ message: StoredMessage) { messages.rows.removeAll { $0.message.cid == message.cid } }

  func erase(below context: ContextID, includingRecord: Bool) {
    func isErased(_ row: ModelMessages.Row) -> Bool {
      guard let place = row.message.place else { return false }
      return context.contains(place.contextID) && (includingRecord || place.contextID != context)
    }
    messages.rows.removeAll(where: isErased)
  }

  func siblings(at place: SiblingPlace, olderThan time: WallTime) -> [StoredMessage] {
    messages.all(at: place).filter { message in
      guard
        !messages.rows.map(\.message).contains(where: {
          $0.place?.recordID == message.place?.recordID && $0.timestamp >= time
        })
      else { return false }
      if message.isLatest { return true }
      return message.content?.isInitial == true && !message.hasData
        && !messages.rows.contains { $0.message.isLatest && $0.message.place?.recordID == message.place?.recordID }
    }
  }

  func oldest(at place: SiblingPlace, beyond count: Int) -> [StoredMessage] {
    let newestFirst = messages.live(at: place).sorted { ModelMessages.creation($0) > ModelMessages.creation($1) }
    return Array(newestFirst.dropFirst(count))
  }
}

// MARK: What a writer reads

extension ModelTransaction {
  func messages(of record: RecordID) -> [StoredMessage] { messages.messages(of: record) }
  func place(of record: RecordID) -> RecordPlace? { messages.place(of: record) }
  func configure(element: String) -> StoredMessage? { messages.configure(element: element) }
  func message(cid: String) -> StoredMessage? { messages.message(cid: cid) }
  func children(of record: RecordID) -> [StoredMessage] { messages.children(of: record) }
  func messages(authorizedBy grant: RecordID, after time: WallTime) -> [StoredMessage] {
    messages.messages(authorizedBy: grant, after: time)
  }
  func hasTenants(at context: ContextID, withoutGrant grant: RecordID) -> Bool {
    messages.hasTenants(at: context, withoutGrant: grant)
  }
  func firstWrites(at place: SiblingPlace, after creation: RecordCreation, atMost count: Int) -> Int {
    messages.firstWrites(at: place, after: creation, atMost: count)
  }
  func configure(of protocolURI: String) -> StoredMessage? { messages.configure(of: protocolURI) }
  func configureCID(of protocolURI: String, at time: WallTime) -> String? {
    messages.configureCID(of: protocolURI, at: time)
  }
  func configures(_ page: DefinitionPage) -> [StoredMessage] { messages.configures(page) }
  func recordLimits(of protocolURI: String?, at path: ProtocolPath?, atMost count: Int) -> [Selection.Occupancy] {
    messages.recordLimits(of: protocolURI, at: path, atMost: count)
  }
  func hangsDeeper(below root: String, of protocolURI: String) -> Bool {
    messages.hangsDeeper(below: root, of: protocolURI)
  }
  func fingerprint() -> FeedFingerprint { messages.fingerprint() }
  func roleRecord(_ place: SiblingPlace, recipient: DID) -> StoredMessage? {
    messages.roleRecord(place, recipient: recipient)
  }
  func hasWrite(at path: ProtocolPath, of protocolURI: String, isEncrypted: Bool) throws -> Bool {
    try messages.hasWrite(at: path, of: protocolURI, isEncrypted: isEncrypted)
  }
  func newestSquash(at place: SiblingPlace) -> WallTime? { messages.newestSquash(at: place) }
  func count(at place: SiblingPlace, byOthersThan owner: DID) -> Int { messages.count(at: place, byOthersThan: owner) }
  func countByAnyone(at place: SiblingPlace, author: DID, notEndedBy owner: DID) -> Int {
    messages.countByAnyone(at: place, author: author, notEndedBy: owner)
  }
  func oldestByAnyone(
    at place: SiblingPlace, arrivedBefore time: WallTime, notEndedBy owner: DID
  ) -> StoredMessage? {
    messages.oldestByAnyone(at: place, arrivedBefore: time, notEndedBy: owner)
  }
  func find(_ selection: Selection) -> [StoredMessage] { messages.find(selection) }
  func count(_ selection: Selection) -> Int { messages.count(selection) }
  func content(of message: StoredMessage) -> MessageData? { messages.content(of: message) }
  func usage() -> StoredUsage { messages.usage() }
  func shares() -> StoredShares { messages.shares() }
  func usage(ofGuest author: DID) -> StoredUsage { messages.usage(ofGuest: author) }
  func head() -> Int64 { messages.lastPosition }
  func feed(_ span: FeedSpan) -> [StoredMessage] { messages.feed(span) }
  func forEachCID(in span: FeedSpan, _ body: (String) -> Void) { messages.forEachCID(in: span, body) }
}
