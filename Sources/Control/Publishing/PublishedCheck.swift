import DWN
public import Mesh
import Wire

extension DWNControlPlane {
  /// Waits until a head covers everything that this device signed for the network, and one of the endpoints has taken all of it,
  /// so that others can read and accept it there; `false` when the time is over first.
  ///
  /// Throws when all endpoints refuse something of `change` for good: what could be taken back of it is by then.
  ///
  /// Without endpoints it waits for the head alone, and is `false`.
  public func waitUntilPublished(
    _ change: LedgerChange = LedgerChange(), within limit: Duration
  ) async throws(PublicationRefused) -> Bool {
    let deadline = clock.now() + limit
    while true {
      let names = activeEndpoints.map(\.endpoint.name)
      if let refusal = await keeper.refusal(of: change, by: names) { throw refusal }
      if await !keeper.ledger.owesHead(for: network.id) {
        if names.isEmpty { return false }
        for name in names where await keeper.hasEverything(of: network.id, at: name) { return true }
      }
      guard clock.now() < deadline else { return false }
      // The outbox works by itself; asking it costs a look into memory.
      do { try await clock.sleep(until: clock.now() + .milliseconds(10)) } catch { return false }
    }
  }
}
