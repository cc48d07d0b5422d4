import DWN
import Identity
import Wire

/// Opens subscriptions (dwn-server 9.2).
struct Subscribing {
  let store: any MessageStore
  let hub: SubscriptionHub
  let deadlines: Deadlines
  /// Who asks.
  let caller: Caller

  /// `snapshot` answers a subscription that begins without a cursor, as a query would.
  func open(
    tenant: DID, access: any EventAccess, cursor: ProgressToken?,
    snapshot: @escaping @Sendable (any MessageReader) throws -> Reply
  ) async throws -> (reply: Reply, frames: (any SubscriptionSource)?) {
    // First listen, then look: what is stored between the two is heard of, and told if the look has not shown it.
    let subscription = try hub.add(tenant: tenant, access: access, from: caller)
    let asker: Asker = access.signer == tenant ? .tenant : .anyone
    do {
      let (reply, beginning) = try await deadlines.within { [store, hub] in
        try await store.read(tenant, for: asker) { [hub] reader -> (Reply, Beginning?) in
          let head = try reader.head()
          _ = try access.sight(in: hub.round(tenant: tenant, reader))
          guard let cursor else { return (try snapshot(reader), Beginning(after: head)) }
          switch try hub.tokens(of: tenant).resume(cursor, in: reader) {
          case .gap(let reply): return (reply, nil)
          case .from(let position): return (Reply(.init(200, "OK")), Beginning(after: position, catchingUpTo: head))
          }
        }
      }
      guard let beginning else {
        subscription.close()
        return (reply, nil)
      }
      subscription.begin(after: beginning.after, catchingUpTo: beginning.catchingUpTo)
      return (reply, subscription)
    } catch {
      subscription.close()
      throw error
    }
  }

  private struct Beginning: Sendable {
    var after: Int64
    /// The head, for who goes on from a place.
    var catchingUpTo: Int64?
  }
}
