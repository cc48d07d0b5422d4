public import DWN
public import Identity
public import Wire

/// A Decentralized Web Node: it keeps the messages of its tenants, and lets others write and read what their protocols allow.
///
/// Processing takes a tenant, a message and its data, and gives a reply; the time is a parameter, and only documents of authors come from elsewhere. A reply that
/// accepts a message is given after the message is on the disk. Messages of all tenants are written one after the other;
/// several that wait are committed together.
///
/// A subscription is told what was stored after it is on the disk, and its right is judged anew, at the time, with everything that
/// it is told.
public final class DWNNode: DWNEndpoint {
  public let name = "the embedded node"
  /// Whose records this node keeps.
  public let tenants: Tenancy
  public let limits: NodeLimits
  private let store: any MessageStore
  private let definitions = DefinitionCache()
  private let authentication: MessageAuthentication
  private let changes: TenantChanges
  private let deadlines: Deadlines
  let hub: SubscriptionHub
  let gate: TenantGate
  private let clock: @Sendable () -> WallTime

  init(
    store: any MessageStore, tenants: Tenancy, limits: NodeLimits, directory: any DIDDirectory,
    clock: @escaping @Sendable () -> WallTime = { .now() }, uptime: @escaping @Sendable () -> Instant = { .now() },
    freeDisk: NodeRoom.FreeDisk? = nil
  ) {
    self.store = store
    hub = SubscriptionHub(store: store, definitions: definitions, limits: limits, clock: clock)
    store.observe { [weak hub] tenant, entries in hub?.committed(entries, tenant: tenant) }
    self.tenants = tenants
    self.clock = clock
    gate = TenantGate(tenants, store: store, mostTenants: limits.bounds.tenants)
    deadlines = Deadlines(limits.longestQuestion)
    changes = TenantChanges(
      store: store, tenants: tenants, limits: limits,
      room: NodeRoom(limits.bounds, freeDisk: freeDisk ?? NodeRoom.freeDisk(of: store.dataFolder)), uptime: uptime)
    self.limits = limits
    authentication = MessageAuthentication(directory)
  }

  /// A node over the SQLite database at a path, which is made if it does not exist. `directory` knows the keys of those who sign;
  /// `repaired` is told, in words for a log, what was not as it should be in the database and was put right. It goes
  /// on without what is accepted to be lost.
  public convenience init(
    databasePath: String, tenants: Tenancy, limits: NodeLimits = NodeLimits(),
    directory: any DIDDirectory = OfflineResolver(), accepting losses: AcceptedLosses = [],
    repaired: (String) -> Void = { _ in }
  ) throws(NodeError) {
    let store = try SQLiteMessageStore(
      path: databasePath, limits: limits, accepting: losses, repaired: repaired)
    try store.note(limits.bounds)
    self.init(store: store, tenants: tenants, limits: limits, directory: directory)
  }

  /// Gives up, soon, what is kept in memory for speed alone.
  public func releaseMemory() { store.releaseMemory() }

  /// Waits for what is being written and closes the database. Later messages get an error.
  public func close() async {
    hub.close()
    await store.close()
  }

  public func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply {
    let reply = try await process(tenant: tenant, message: message, received: data.map { ReceivedData($0) })
    do { return try reply.inMemory() } catch { throw .refused(name: name, reason: "\(error)") }
  }

  /// Begins to take in data for a message that is still to be processed.
  func receive(for holder: StagingHolder = .tenant) -> IncomingData {
    IncomingData(in: store.dataFolder, limit: limits.largestData, for: holder)
  }

  func author(ofWrite message: JSONValue) async throws(DWNError) -> DID {
    let checked = try CheckedMessage(message)
    guard case .recordsWrite = checked.message.body else {
      throw DWNError(400, "SchemaValidatorFailure", "data belongs to a RecordsWrite")
    }
    let signed = try await authentication.signed(try checked.signable())
    return signed.owner?.did ?? signed.author
  }

  func isTenants(_ message: JSONValue, _ tenant: DID) async -> Bool {
    // Who acts by a grant is not looked at here: the grant may have ended, or be for something else.
    guard let claimed = try? CheckedMessage(message).claimed,
      claimed.signer == tenant && claimed.owner == nil || claimed.owner?.signer == tenant
    else { return false }
    return (try? await authentication.signed(claimed)) != nil
  }

  /// Like `process(tenant:message:data:)`, for data of any size.
  func process(tenant: DID, message: JSONValue, received: ReceivedData?) async throws(EndpointError) -> NodeReply {
    do {
      return try await answer(tenant: tenant, message: message, data: received)
    } catch let refusal as DWNError {
      return NodeReply(Reply(refusal))
    } catch let refusal as AuthorShares.UsedUp {
      throw .rateLimited(name: name, retryAfter: refusal.wait)
    } catch {
      throw .refused(name: name, reason: "\(error)")
    }
  }

  public func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    try await subscribe(tenant: tenant, message: message, from: Caller(nil))
  }

  func subscribe(
    tenant: DID, message: JSONValue, from caller: Caller
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    do {
      return try await subscription(tenant: tenant, message: message, from: caller)
    } catch let refusal as DWNError {
      return (Reply(refusal), nil)
    } catch {
      throw .refused(name: name, reason: "\(error)")
    }
  }

  /// How many follow a tenant's feed now.
  public func subscriptions(of tenant: DID) -> Int { hub.count(of: tenant) }

  private func answer(tenant: DID, message json: JSONValue, data: ReceivedData?) async throws -> NodeReply {
    if let refusal = try await gate.refusal(of: tenant) { return NodeReply(.notATenant(refusal)) }
    let checked = try CheckedMessage(json)
    let message = checked.message
    let claimed = checked.claimed
    let encoded = checked.encoded
    switch message.body {
    case .recordsWrite:
      return NodeReply(try await write(tenant, try checked.signable(), encoded: encoded, data: data))
    case .recordsDelete:
      let signed = try await authentication.signed(try checked.signable())
      try checkLength(of: encoded, from: signed, to: tenant)
      return NodeReply(
        try await changes.make(tenant, by: signed, adding: nil) { [definitions] transaction in
          try RecordsDeleting(tenant: tenant, transaction: transaction, definitions: definitions)
            .reply(to: signed, json: String(decoding: encoded, as: UTF8.self))
        })
    case .protocolsConfigure(let configure):
      let definition = try ProtocolDefinition(.object(configure.definition), isStrict: limits.isStrict)
      let signed = try await authentication.signed(try checked.signable())
      try checkLength(of: encoded, from: signed, to: tenant)
      return NodeReply(
        try await changes.make(tenant, by: signed, adding: encoded.count) {
          [definitions] transaction in
          try ProtocolsConfiguring(tenant: tenant, transaction: transaction, definitions: definitions)
            .reply(to: signed, definition: definition, json: String(decoding: encoded, as: UTF8.self))
        })
    case .recordsRead:
      var request = try RecordsReadRequest(message, claimed)
      request.signed = try await authentication.signed(claimed)
      return try await read(tenant, by: request.signed) { [definitions, limits, request] transaction in
        try RecordsReading(tenant: tenant, transaction: transaction, definitions: definitions, limits: limits)
          .reply(to: request)
      }
    case .recordsQuery, .recordsCount:
      var request = try RecordsQueryRequest(message, claimed)
      request.signed = try await authentication.signed(claimed)
      return try await read(tenant, by: request.signed) { [definitions, limits, request] transaction in
        let querying = RecordsQuerying(
          tenant: tenant, transaction: transaction, definitions: definitions, limits: limits)
        return NodeReply(
          try message.kind == .recordsCount ? querying.count(for: request) : querying.reply(to: request))
      }
    case .protocolsQuery(let request):
      let signed = try await authentication.signed(claimed)
      return try await read(tenant, by: signed) { [limits] in
        NodeReply(try ProtocolsQuerying(tenant: tenant, transaction: $0, limits: limits).reply(to: request, signed))
      }
    case .messagesQuery(let query):
      let access = MessagesAccess(tenant: tenant, signed: try await authentication.signed(try checked.signable()))
      let tokens = hub.tokens(of: tenant)
      return try await read(tenant, by: access.signed) { [limits] reader in
        let showsData = try access.authorize(query.filters, in: reader)
        return NodeReply(
          try MessagesQuerying(tokens: tokens, reader: reader, limits: limits, showsData: showsData).reply(to: query))
      }
    case .messagesRead(let request):
      let access = MessagesAccess(tenant: tenant, signed: try await authentication.signed(try checked.signable()))
      return try await read(tenant, by: access.signed) {
        try MessagesReading(access: access, reader: $0).reply(to: request)
      }
    case .recordsSubscribe, .messagesSubscribe:
      throw DWNError(
        501, "\(message.kind.rawValue)EventLogUnimplemented", "a subscription needs a way that stays open: WebSocket")
    }
  }

  private func subscription(
    tenant: DID, message json: JSONValue, from caller: Caller
  ) async throws -> (reply: Reply, frames: (any SubscriptionSource)?) {
    if let refusal = try await gate.refusal(of: tenant) { return (.notATenant(refusal), nil) }
    let checked = try CheckedMessage(json)
    let opening = Subscribing(store: store, hub: hub, deadlines: deadlines, caller: caller)
    switch checked.message.body {
    case .recordsSubscribe(let body):
      var request = try RecordsQueryRequest(checked.message, checked.claimed)
      request.signed = try await authentication.signed(checked.claimed)
      try checkSize(of: checked, by: request.requester, tenant)
      return try await opening.open(tenant: tenant, access: RecordsEventAccess(request: request), cursor: body.cursor) {
        [definitions, limits, request] reader in
        try RecordsQuerying(tenant: tenant, transaction: reader, definitions: definitions, limits: limits.ofSnapshot)
          .reply(to: request)
      }
    case .messagesSubscribe(let body):
      let signed = try await authentication.signed(try checked.signable())
      try checkSize(of: checked, by: signed.author, tenant)
      let access = MessagesEventAccess(
        access: MessagesAccess(tenant: tenant, signed: signed), filters: body.filters, time: checked.message.timestamp)
      return try await opening.open(tenant: tenant, access: access, cursor: body.cursor) { _ in
        Reply(.init(200, "OK"))
      }
    default:
      throw DWNError(400, "SchemaValidatorFailure", "\(checked.message.kind.rawValue) opens no subscription")
    }
  }

  /// What others ask to follow is kept for as long as they do.
  private func checkSize(of checked: CheckedMessage, by subscriber: DID?, _ tenant: DID) throws(DWNError) {
    guard subscriber != tenant, checked.encoded.count > limits.largestSubscription else { return }
    throw DWNError(
      400, "SchemaValidatorFailure", "a request to follow a feed has at most \(limits.largestSubscription) bytes")
  }

  private func write(
    _ tenant: DID, _ claimed: ClaimedMessage, encoded: [UInt8], data: ReceivedData?
  ) async throws -> Reply {
    var arrival = try ArrivingWrite(
      try RecordsWrite(unverified: claimed), json: String(decoding: encoded, as: UTF8.self), data: data, limits: limits)
    arrival.arrived = clock()
    let signed: SignedMessage
    do throws(DWNError) {
      signed = try await authentication.signed(claimed)
    } catch {
      // What is stored may have another answer. It keeps no writer busy.
      return try await read(tenant) { [definitions, limits, arrival] reader in
        try RecordStanding.refusal(of: arrival, unauthenticated: error, tenant, reader, definitions, limits)
      }
    }
    try checkLength(of: encoded, from: signed, to: tenant)
    return try await changes.make(tenant, by: signed, adding: encoded.count + (data?.size ?? 0)) {
      [definitions, limits, arrival] transaction in
      try RecordsWriting(tenant: tenant, transaction: transaction, definitions: definitions, limits: limits)
        .reply(to: arrival)
    }
  }

  /// Those who follow the tenant's feed take frames of some length only, and none of them is to miss what somebody else wrote.
  private func checkLength(of encoded: [UInt8], from signed: SignedMessage, to tenant: DID) throws(DWNError) {
    guard encoded.count > limits.largestOfOthers, (signed.owner?.did ?? signed.author) != tenant else { return }
    throw DWNError(
      400, "SchemaValidatorFailure",
      "a message of somebody else than the tenant has at most \(limits.largestOfOthers) bytes without its data")
  }

  /// A question that takes too long is given up, so that it keeps nobody else from an answer.
  private func read<Result: Sendable>(
    _ tenant: DID, by signed: SignedMessage? = nil, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result {
    let asker: Asker = signed?.signer == tenant ? .tenant : .anyone
    return try await deadlines.within { [store] in try await store.read(tenant, for: asker, body) }
  }

  func refusalOfRoom(for size: Int, of author: DID, at tenant: DID) async -> DWNError? {
    do {
      try await changes.checkRoom(for: size, of: author, at: tenant)
      return nil
    } catch {
      // What else went wrong goes wrong again when the message is processed, and is said there.
      return error as? DWNError
    }
  }

}

extension Reply {
  static func notATenant(_ refusal: String = "Not a registered tenant.") -> Reply { Reply(.init(401, refusal)) }

  static let accepted = Reply(.init(202, "Accepted"))

  /// A first write came without its data. It is kept, and nobody is shown it.
  static let waitsForData = Reply(.init(204, "No Content"))

  static func refused(_ code: Int, _ detail: String) -> Reply { Reply(.init(code, detail)) }
}
