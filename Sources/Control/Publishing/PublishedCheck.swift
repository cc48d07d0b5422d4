import DWN
public import Mesh
import Wire

extension DWNControlPlane {
  /// Waits until a head covers everything that this device signed for the network, and one of the endpoints has taken all of it,
  /// so that others can read and accept it there; `false` when the time is over first. The other endpoints have three tenths of
  /// the limit more, if nothing is known to stand in their way, and `unpublished` says who lacks something.
  ///
  /// Throws when all endpoints refuse something of `change` for good, but for those that have long been silent: what could be taken back
  /// of it is by then. Throws, too, when the time is over and each endpoint that answers has refused something, in whatever change it
  /// was, that no head goes there without.
  ///
  /// Without endpoints it waits for the head alone, and is `false`.
  public func waitUntilPublished(
    _ change: LedgerChange = LedgerChange(), within limit: Duration
  ) async throws(PublicationRefused) -> Bool {
    var deadline = clock.now() + limit
    var isPublished = false
    while true {
      if let refusal = await keeper.refusal(of: change, by: quorum) { throw refusal }
      let (isAtOne, isDone) = await howFarPublished
      if isAtOne, !isPublished { deadline = min(deadline, clock.now() + limit * 3 / 10) }
      isPublished = isPublished || isAtOne
      guard !isDone, clock.now() < deadline else { break }
      // The outbox works by itself; asking it costs a look at all that was signed.
      do { try await clock.sleep(until: clock.now() + .milliseconds(30)) } catch { break }
    }
    if isPublished { return true }
    let unheard = activeEndpoints.filter { !silences[$0.index].answers }.map(\.endpoint.name)
    let answering = RefusalQuorum(quorum.endpoints, silent: Set(unheard))
    if let obstacle = await keeper.obstacle(to: answering, of: network.id) { throw obstacle }
    return false
  }

  /// Whether one endpoint has everything, and whether there is nobody left to wait for.
  private var howFarPublished: (isAtOne: Bool, isDone: Bool) {
    get async {
      if await keeper.ledger.owesHead(for: network.id) { return (false, false) }
      let active = activeEndpoints
      var (isAtOne, isDone) = (false, true)
      for (index, endpoint) in active {
        if await keeper.hasEverything(of: network, at: endpoint.name) {
          isAtOne = true
        } else if lines[index].trouble == nil {
          isDone = false
        }
      }
      return (isAtOne, isDone && (isAtOne || active.isEmpty))
    }
  }

  /// Which endpoints lack something of what this device signed, and why, in sentences for people.
  public func unpublished() async -> [String] { await endpointReports().compactMap(\.unpublished) }
}
