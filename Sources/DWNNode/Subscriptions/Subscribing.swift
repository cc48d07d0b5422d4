import DWN
import Identity
import Wire

/// Opens subscriptions (dwn-server 9.2).
struct Subscribing {
  let store: any MessageStore
  let hub: SubscriptionHub

  /// `snapshot` answers a subscription that begins without a cursor, as a query would.
  func open(
    tenant: DID, access: any EventAccess, cursor: ProgressToken?,
    snapshot: @escaping @Sendable (any MessageReader) throws -> Reply
  ) async throws -> (reply: Reply, frames: (any SubscriptionSource)?) {
    // First listen, then look: what is stored between the two is heard of, and told if the look has not shown it.
    guard let subscription = hub.add(tenant: tenant, access: access) else {
      throw NodeError.databaseFailed(path: "", reason: "the node is closing")
    }
    do {
      let reply = try await store.read(tenant) { [hub] reader -> Reply in
        let head = try reader.head()
        _ = try access.sight(in: hub.round(tenant: tenant, reader))
        guard let cursor else {
          let reply = try snapshot(reader)
          subscription.begin(after: head, catchingUpTo: nil)
          return reply
        }
        switch try hub.tokens(of: tenant).resume(cursor, in: reader) {
        case .gap(let reply): return reply
        case .from(let position):
          subscription.begin(after: position, catchingUpTo: head)
          return Reply(.init(200, "OK"))
        }
      }
      guard reply.status.isSuccess else {
        subscription.close()
        return (reply, nil)
      }
      return (reply, subscription)
    } catch {
      subscription.close()
      throw error
    }
  }
}
