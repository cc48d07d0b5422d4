import DWN
import Mesh
import Wire

extension DWNControlPlane {
  /// Sends one endpoint what it lacks.
  func publish(to index: Int) async {
    lines[index].began()
    let publisher = Publisher(
      keeper: keeper, endpoint: endpoints[index], quorum: quorum, network: network, clock: clock, logger: logger,
      mayWriteRecords: mayWriteRecords, ownNode: isAnchor ? nil : view?.own)
    let result = await publisher.publish()
    let now = clock.now()
    switch result {
    case .finished: lines[index].finished()
    case .left(let reason, let retryAfter):
      lines[index].left(reason, retryAfter: retryAfter, at: now, jitter: jitter)
    case .superseded(let message, let above):
      lines[index].left("it shows a newer record of this machine", retryAfter: .zero, at: now, jitter: 0)
      await writeAnew(message, above: above)
    }
  }

  /// The endpoints that decide what is refused everywhere: not those that have been silent for an hour, but for what they have taken.
  var quorum: RefusalQuorum {
    let active = activeEndpoints
    return RefusalQuorum(
      active.map(\.endpoint.name), silent: Set(active.filter { silences[$0.index].isLong }.map(\.endpoint.name)))
  }

  /// A machine that is no live node may not write; the anchor is told by its ledger.
  private var mayWriteRecords: Bool { isAnchor || view?.own != nil }

  /// There is something to send to an endpoint, at once.
  func resume(publishingTo index: Int) {
    lines[index].somethingNew(at: clock.now())
    wake(.publish(index))
  }

  /// What an endpoint has not taken yet.
  func lacking(at endpoint: String) async -> Int {
    let lacking = await keeper.lacking(at: endpoint, of: network).filter { mayWriteRecords || $0.network == nil }
    return await lacking.count + (isAnchor ? 0 : keeper.refusedOwn(at: endpoint, of: network.id).count)
  }
}
