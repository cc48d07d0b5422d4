import DWN
import Identity
import Wire

/// One look at a tenant's feed, for any number of subscribers: what they have in common is found once. Lives within one read of
/// the store, so that all of it is about one state.
final class EventRound {
  /// A message of the feed, ready to be sent.
  struct Event: Sendable {
    let message: StoredMessage
    let initial: StoredMessage?
    let frame: SubscriptionEvent
  }

  let tenant: DID
  let reader: any MessageReader
  let definitions: DefinitionCache
  let limits: NodeLimits
  /// Rights are judged at this time.
  let now: WallTime
  let keys: AudienceKeys
  private let tokens: FeedTokens
  private let recent: RecentEvents
  private var events: [Int64: Event?] = [:]
  private var occupancies: [OccupancyQuestion: [Selection.Occupancy]] = [:]

  init(
    tenant: DID, reader: any MessageReader, definitions: DefinitionCache, limits: NodeLimits, tokens: FeedTokens,
    recent: RecentEvents, now: WallTime
  ) {
    self.tenant = tenant
    self.reader = reader
    self.definitions = definitions
    self.limits = limits
    self.tokens = tokens
    self.recent = recent
    self.now = now
    keys = AudienceKeys(tenant: tenant, reader: reader)
  }

  /// `nil` if what was there is gone.
  func event(at position: Int64) throws -> Event? {
    if let known = events[position] { return known }
    let event = try reader.feedEntry(at: position).flatMap { try self.event($0) }
    events[position] = event
    return event
  }

  func event(_ message: StoredMessage) throws -> Event? {
    if let known = recent.event(of: message, tenant: tenant) { return known }
    let event = try make(message)
    if let event { recent.remember(event, tenant: tenant) }
    return event
  }

  private func make(_ message: StoredMessage) throws -> Event? {
    guard let cid = CID(message.cid) else { return nil }
    var entry = ReplyEntry(message: try message.message())
    if let content = message.content, content.dataSize <= NodeLimits.inlineData {
      entry.data = try reader.data(of: message)
    }
    var initial: StoredMessage?
    if message.content?.isInitial != true, let record = message.place?.recordID {
      initial = try reader.messages(of: record).first { $0.content?.isInitial == true }
      entry.initialWrite = try initial?.message()
    }
    return Event(
      message: message, initial: initial,
      frame: SubscriptionEvent(
        cursor: tokens.token(message.position, cid: message.cid), entry: entry, messageCID: cid,
        isLatestBaseState: message.isLatest, protocolURI: message.protocolURI))
  }

  func occupancy(for filter: RecordsFilter) throws -> [Selection.Occupancy] {
    let question = OccupancyQuestion(
      protocolURI: filter.protocolURI, path: filter.path, recordID: filter.protocolURI == nil ? filter.recordID : nil)
    if let known = occupancies[question] { return known }
    let found = try reader.occupancy(for: filter)
    occupancies[question] = found
    return found
  }

  /// What of a filter tells where records are shown only up to a number.
  private struct OccupancyQuestion: Hashable {
    var protocolURI: String?
    var path: ProtocolPath?
    var recordID: RecordID?
  }
}
