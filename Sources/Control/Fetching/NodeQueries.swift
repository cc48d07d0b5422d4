import DWN
import Identity
import Mesh
import Wire

/// Asks one node of the DWN kind for parts of a network. What comes back is what the node says, and nothing else, and no more than a
/// network can have: one budget holds for everything that is asked by one of these, and one for each kind of what machines write of
/// themselves.
struct NodeQueries: Sendable {
  let endpoint: any DWNEndpoint
  let network: NetworkReference
  let signer: MessageSigner
  /// By which right this machine reads; `nil` for the anchor, who reads its own tenant.
  let role: ProtocolPath?
  let time: WallTime
  var budget = FetchBudget()
  private let ownBudgets = Dictionary(
    uniqueKeysWithValues: MeshProtocol.ownRecords.map { ($0, FetchBudget.ofOwnRecords()) })

  /// Why there is nothing to look at.
  enum Failure: Error {
    case unanswered(EndpointError)
    /// 401: the role does not give the right to read, or not any more.
    case notAdmitted(String)
    case refused(Reply.Status)
    /// It shows more than was asked for, or more than a network can have.
    case excessive

    /// Whether a node of the DWN kind said anything at all.
    var isAnswer: Bool {
      switch self {
      case .unanswered(.unreachable), .unanswered(.timedOut), .unanswered(.notADWN): false
      case .unanswered(.rateLimited), .unanswered(.refused), .notAdmitted, .refused, .excessive: true
      }
    }
  }

  private static let pageSize = 500
  /// Of one query, however little is on each.
  private static let pageLimit = 60
  /// Larger data does not come with a query's result, and is read record by record, for so many of them.
  private static let separateReads = 32

  /// All records at one path of this network, or of a part of it; those alone that were updated since then if a time is given.
  func records(
    at path: ProtocolPath, in context: ContextID? = nil, since: WallTime? = nil
  ) async throws(Failure) -> [ReplyEntry] {
    var entries = try await all(
      RecordsFilter(
        protocolURI: MeshProtocol.uri, path: path, contextID: context ?? network.id.contextID,
        dateUpdated: since.map { RecordsFilter.DateRange(from: $0) }), role: role, own: ownBudgets[path])
    for index in entries.indices.filter({ entries[$0].data == nil }).prefix(Self.separateReads) {
      guard let id = entries[index].message["recordId"]?.string.flatMap({ RecordID($0) }),
        let read = try await read(id, role: role)
      else { continue }
      entries[index] = read
    }
    return entries
  }

  /// The record at the root of the network, which everybody may read.
  func networkRecord() async throws(Failure) -> [ReplyEntry] {
    try await read(network.id.recordID, role: nil).map { [$0] } ?? []
  }

  /// The keys that were delivered to this machine. No role is needed for what one receives.
  func deliveries() async throws(Failure) -> [ReplyEntry] {
    try await all(.deliveries(of: network, to: signer.did), role: nil)
  }

  /// The tenant's definition of a protocol, or all of them.
  func definitions(of protocolURI: String?) async throws(Failure) -> [ReplyEntry] {
    try await ask(signer.protocolsQuery(protocolURI: protocolURI, at: time)).entries
  }

  /// All deliveries of keys, to whomever: for the anchor.
  func allDeliveries() async throws(Failure) -> [ReplyEntry] { try await all(.deliveries(of: network), role: nil) }

  /// The keys to which the roles of a network with encryption v1 are encrypted. Everybody may ask for those of one audience.
  func audiences() async throws(Failure) -> [ReplyEntry] {
    var entries: [ReplyEntry] = []
    for role in [MeshProtocol.member, MeshProtocol.node] {
      guard
        let name = AudienceName(protocolURI: MeshProtocol.uri, rolePath: role, contextID: network.id.contextID)
      else { continue }
      entries += try await all(EncryptionControl.audiences(name), role: nil)
    }
    return entries
  }

  /// The revocations of a grant. Everybody may read them.
  func revocations(of grant: RecordID) async throws(Failure) -> [ReplyEntry] {
    try await all(
      RecordsFilter(
        protocolURI: PermissionsProtocol.uri, path: PermissionsProtocol.revocation, parentID: grant), role: nil)
  }

  /// The mesh definition that somebody installed on their own tenant at this node, and signed; `nil` if there is none.
  func definition(installedBy did: DID) async throws(Failure) -> MeshDefinition? {
    let reply = try await send(signer.protocolsQuery(protocolURI: MeshProtocol.uri, at: time), to: did)
    guard reply.status.isSuccess else { return nil }
    let signed = reply.entries.prefix(Self.separateReads).compactMap { entry in
      (try? Message(entry.message)).flatMap { try? SignedMessage(checking: $0, resolver: OfflineResolver()) }
    }
    let newest = signed.filter { $0.author == did && $0.payload.protocolRole == nil }
      .max { $1.message.isNewer(than: $0.message) }
    guard let definition = newest.flatMap({ try? MeshDefinition($0) }), definition.protocolURI == MeshProtocol.uri
    else { return nil }
    return definition
  }

  /// Whether somebody is a tenant of this node and has not installed the mesh protocol there.
  func lacksDefinition(of did: DID) async throws(Failure) -> Bool {
    let reply = try await send(signer.protocolsQuery(protocolURI: MeshProtocol.uri, at: time), to: did)
    return reply.status.isSuccess && reply.entries.isEmpty
  }

  /// One record, or the delete that ended it. `nil` if the node knows of neither.
  func read(_ record: RecordID, role: ProtocolPath?) async throws(Failure) -> ReplyEntry? {
    var filter = RecordsFilter(recordID: record)
    if role != nil {
      filter.protocolURI = MeshProtocol.uri
      filter.contextID = network.id.contextID
    }
    let reply = try await send(signer.recordsRead(filter, at: time, role: role))
    switch reply.status.code {
    case 200..<300, 404:
      let entry = reply.entry
      guard budget.take(entry.map { [$0] } ?? []) else { throw .excessive }
      return entry
    case 401: throw .notAdmitted(reply.status.detail)
    default: throw .refused(reply.status)
    }
  }

  /// What is shown more than once is given once. With a budget of its own it is asked for newest first, until that is spent.
  private func all(
    _ filter: RecordsFilter, role: ProtocolPath?, own: FetchBudget? = nil
  ) async throws(Failure) -> [ReplyEntry] {
    var entries: [ReplyEntry] = []
    var seen: Set<ReplyEntry> = []
    var pagination = Pagination(limit: Self.pageSize)
    for _ in 0..<Self.pageLimit {
      let page = try await ask(
        signer.recordsQuery(
          filter, sort: own == nil ? .createdAscending : .createdDescending, pagination: pagination, at: time,
          role: role), own: own)
      guard page.entries.count <= Self.pageSize else { throw .excessive }
      entries += page.entries.filter { seen.insert($0).inserted }
      if own?.isSpent == true { break }
      guard let cursor = page.cursor, cursor != pagination.cursor, !page.entries.isEmpty else { break }
      pagination.cursor = cursor
    }
    return entries
  }

  private func ask(
    _ message: SignedMessage, own: FetchBudget? = nil
  ) async throws(Failure) -> (entries: [ReplyEntry], cursor: Pagination.Cursor?) {
    let reply = try await send(message)
    guard reply.status.isSuccess else {
      throw reply.status.code == 401 ? .notAdmitted(reply.status.detail) : .refused(reply.status)
    }
    let entries = reply.entries
    if let own {
      _ = own.take(entries)
    } else if !budget.take(entries) {
      throw .excessive
    }
    return (entries, reply.members["cursor"].flatMap { Pagination.Cursor($0) })
  }

  private func send(_ message: SignedMessage, to tenant: DID? = nil) async throws(Failure) -> Reply {
    guard !budget.isSpent else { throw .excessive }
    do {
      return try await endpoint.process(tenant: tenant ?? network.anchor, message: message.message.value, data: nil)
    } catch {
      throw .unanswered(error)
    }
  }
}

extension RecordsFilter {
  /// The keys of a network that were delivered to somebody, or to all.
  static func deliveries(of network: NetworkReference, to recipient: DID? = nil) -> RecordsFilter {
    var filter =
      switch network.envelope {
      case .jwe:
        RecordsFilter(
          protocolURI: KeyDeliveryProtocol.uri, path: KeyDeliveryProtocol.contextKey,
          tags: [KeyDeliveryProtocol.Tag.contextID: .equals(.string(network.id.text))])
      case .v1:
        RecordsFilter(
          protocolURI: MeshProtocol.uri, path: EncryptionControl.delivery,
          tags: ["contextId": .equals(.string(network.id.text))])
      }
    if let recipient { filter.recipient = [recipient] }
    return filter
  }
}
