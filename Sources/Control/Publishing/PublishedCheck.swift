import DWN
import Mesh
import Wire

extension DWNControlPlane {
  /// Waits until a head covers everything that this device signed for the network, and one of the endpoints has taken all of it,
  /// so that others can read and accept it there; `false` when the time is over first.
  ///
  /// Without endpoints it waits for the head alone, and is `false`.
  public func waitUntilPublished(within limit: Duration) async -> Bool {
    let deadline = clock.now() + limit
    while true {
      if await !keeper.ledger.owesHead(for: network.id) {
        if endpoints.isEmpty { return false }
        for (_, endpoint) in activeEndpoints where await keeper.due(to: endpoint.name, of: network.id).isEmpty {
          return true
        }
      }
      guard clock.now() < deadline else { return false }
      // The outbox works by itself; asking it costs a look into memory.
      do { try await clock.sleep(until: clock.now() + .milliseconds(10)) } catch { return false }
    }
  }
}
