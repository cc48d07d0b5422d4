import DWN
public import Identity
import Logging
public import Mesh
import Wire

/// What the anchor reads from a node: what the others wrote of themselves, to be believed after the usual checks; and what the
/// node shows of the anchor's own writing, to be compared with the ledger and never to be learnt from.
extension DWNControlPlane {
  func watch(_ index: Int, _ extent: PollPlan.Extent) async throws(NodeQueries.Failure) -> PollPlan.Outcome {
    let queries = queries(to: index)
    let before = taken
    switch extent {
    case .definition: break
    case .recent:
      let since = WallTime.recentlyUpdated(newestSeen: view?.newestStamp, now: clock.wallTime())
      let shown = try await queries.together(MeshProtocol.ownRecords.map { .path($0, since: since) })
      await take(others(among: shown), .partial, isOvertaken: taken != before)
    case .complete:
      let hasHeads = network.envelope.hasHeads
      let paths =
        (hasHeads ? [MeshProtocol.head] : []) + FetchPlan.covered + MeshProtocol.ownRecords
      let keyPaths =
        hasHeads ? [KeyDeliveryProtocol.contextKey] : [EncryptionControl.delivery, EncryptionControl.audience]
      let published = await keeper.done(at: endpoints[index].name)
      let shown = try await queries.together(
        [.network, .allDefinitions, .allDeliveries] + (hasHeads ? [] : [.audiences])
          + paths.map { .path($0, since: nil) })
      await take(others(among: shown), .partial, isOvertaken: taken != before)
      await audit(shown, Set(paths + keyPaths + [MeshProtocol.network]), since: published, index)
    }
    if !network.envelope.hasHeads { try await deliverKeys(queries, from: index) }
    return .settled
  }

  /// With encryption v1 a machine is given its keys when its own definition is there, which says what they are encrypted to.
  private func deliverKeys(_ queries: NodeQueries, from index: Int) async throws(NodeQueries.Failure) {
    var definitions: [DID: MeshDefinition] = [:]
    let waiting = await keeper.ledger.lackingKeys(in: network.id, now: clock.wallTime())
    for did in definitionTurns[index, default: AskingTurn()].next(among: waiting, limit: Self.deliveryLimit) {
      definitions[did] = try await queries.definition(installedBy: did)
    }
    let found = definitions.filter { $0.value.envelope == .v1 }
    guard !found.isEmpty else { return }
    let (network, wall, random) = (network.id, clock.wallTime(), random)
    do {
      try await keeper.perform {
        try $0.deliverMissingKeys(in: network, definitions: found, now: wall, random: random)
      }
    } catch {
      logger.error("cannot deliver keys", metadata: ["error": "\(error)"])
    }
  }

  /// The mesh definition that a machine installed on its own tenant, at the first endpoint that shows one: by it keys of encryption v1
  /// are delivered.
  public func definitions(installedBy did: DID) async -> [DID: MeshDefinition] {
    for index in endpoints.indices {
      if let found = try? await queries(to: index).definition(installedBy: did), found.envelope == .v1 {
        return [did: found]
      }
    }
    return [:]
  }

  /// Machines whose definitions are asked for in one look.
  private static let deliveryLimit = 64

  /// Nothing but what others may have written is offered to the reader: its own writing the anchor knows from the ledger.
  func others(among shown: [ReplyEntry]) -> [ReplyEntry] {
    let own = configuration.identity.did
    let paths = Set(MeshProtocol.ownRecords.map(\.text))
    return shown.filter { entry in
      let path = entry.message["descriptor"]?["protocolPath"]?.string
      return path.map(paths.contains) ?? false && !isOwn(entry, own)
    }
  }

  /// Whether the record stands below this machine's own node record.
  private func isOwn(_ entry: ReplyEntry, _ own: DID) -> Bool {
    guard let node = view?.nodes.first(where: { $0.did == own }) else { return false }
    return entry.message["descriptor"]?["parentId"]?.string == node.recordID.text
  }

  private func audit(
    _ shown: [ReplyEntry], _ paths: Set<ProtocolPath>, since published: Set<String>, _ index: Int
  ) async {
    let name = endpoints[index].name
    do {
      let audit = try await keeper.audit(
        shown, of: network.id, complete: paths, includesDefinitions: true, at: name, since: published)
      if audit.foreign != nil {
        logger.critical(
          "a message of this identity was found that its ledger does not know: nothing is written any more")
        upkeepAt = nil
        wake(.upkeep)
      }
      let (network, wall, random) = (network.id, clock.wallTime(), random)
      if !audit.withdrawn.isEmpty {
        try await keeper.perform { try $0.endWithdrawn(audit.withdrawn, in: network, now: wall) }
      }
      if audit.isOutdone {
        try await keeper.perform { try $0.writeAnew(from: audit, in: network, now: wall, random: random) }
      }
      if !audit.isClean {
        // What was never there is on its way.
        let lost = audit.lacking.count { published.contains($0.element) }
        if lost > 0 || !audit.repeated.isEmpty {
          logger.info(
            "a node differs from the ledger",
            metadata: ["endpoint": "\(name)", "lacking": "\(lost)", "ended": "\(audit.repeated.count)"])
        }
        resume(publishingTo: index)
      }
    } catch {
      logger.error("cannot compare a node with the ledger", metadata: ["endpoint": "\(name)", "error": "\(error)"])
    }
  }
}
