import DWN
import Identity
import Logging
import Mesh
import Wire

/// What the anchor reads from a node: what the others wrote of themselves, to be believed after the usual checks; and what the
/// node shows of the anchor's own writing, to be compared with the ledger and never to be learnt from.
extension DWNControlPlane {
  func watch(_ index: Int, _ extent: PollPlan.Extent) async throws(NodeQueries.Failure) -> PollPlan.Outcome {
    let queries = queries(to: index)
    switch extent {
    case .recent:
      let since = WallTime.recentlyUpdated(newestSeen: view?.newestStamp, now: clock.wallTime())
      await takeOthers(
        try await queries.together(FetchPlan.ownRecords(withMembers: true).map { .path($0, since: since) }))
    case .complete:
      let paths = [MeshProtocol.head] + FetchPlan.covered + FetchPlan.ownRecords(withMembers: true)
      let shown = try await queries.together(
        [.network, .allDefinitions, .allDeliveries] + paths.map { .path($0, since: nil) })
      await takeOthers(shown)
      await audit(shown, Set(paths + [MeshProtocol.network, KeyDeliveryProtocol.contextKey]), index)
    }
    return .settled
  }

  /// Offers the reader nothing but what others may have written: its own writing it knows from the ledger.
  private func takeOthers(_ shown: [ReplyEntry]) async {
    let own = configuration.identity.did
    let paths = Set(FetchPlan.ownRecords(withMembers: true).map(\.text))
    let others = shown.filter { entry in
      let path = entry.message["descriptor"]?["protocolPath"]?.string
      return path.map(paths.contains) ?? false && !isOwn(entry, own)
    }
    if !others.isEmpty { await take(others, .partial) }
  }

  /// Whether the record stands below this machine's own node record.
  private func isOwn(_ entry: ReplyEntry, _ own: DID) -> Bool {
    guard let node = view?.nodes.first(where: { $0.did == own }) else { return false }
    return entry.message["descriptor"]?["parentId"]?.string == node.recordID.text
  }

  private func audit(_ shown: [ReplyEntry], _ paths: Set<ProtocolPath>, _ index: Int) async {
    let name = configuration.endpoints[index].name
    do {
      let audit = try await keeper.audit(
        shown, of: network.id, complete: paths, includesDefinitions: true, at: name)
      if audit.foreign != nil {
        logger.critical(
          "a message of this identity was found that its ledger does not know: nothing is written any more")
        upkeepAt = nil
        wake(.upkeep)
      }
      if !audit.withdrawn.isEmpty {
        let (network, wall) = (network.id, clock.wallTime())
        try await keeper.perform { try $0.endWithdrawn(audit.withdrawn, in: network, now: wall) }
      }
      if !audit.isClean {
        logger.info(
          "a node differs from the ledger",
          metadata: ["endpoint": "\(name)", "lacking": "\(audit.lacking.count)", "ended": "\(audit.repeated.count)"])
        resume(publishingTo: index)
      }
    } catch {
      logger.error("cannot compare a node with the ledger", metadata: ["endpoint": "\(name)", "error": "\(error)"])
    }
  }
}
