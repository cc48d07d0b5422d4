import DWN
import Identity
import Wire

/// How a change at a tenant is made: its author has a share of the rate, the node as a whole has room, and the tenant's quota is kept,
/// which is judged within the transaction.
final class TenantChanges: Sendable {
  private let store: any MessageStore
  private let tenants: Tenancy
  private let limits: NodeLimits
  private let room: NodeRoom
  private let shares: AuthorShares
  private let uptime: @Sendable () -> Instant

  init(
    store: any MessageStore, tenants: Tenancy, limits: NodeLimits, room: NodeRoom,
    uptime: @escaping @Sendable () -> Instant
  ) {
    self.store = store
    self.tenants = tenants
    self.limits = limits
    self.room = room
    self.uptime = uptime
    shares = AuthorShares(limits.writesOfOthers, uptime: uptime)
  }

  /// `size`: of what comes, in bytes; `nil` for what frees room. Throws `AuthorShares.UsedUp`, and statuses 429 and 507.
  func make(
    _ tenant: DID, by signed: SignedMessage, adding size: Int?,
    _ body: @escaping @Sendable (any MessageTransaction) throws -> Reply
  ) async throws -> Reply {
    let sender = signed.owner?.did ?? signed.author
    return try await shares.within(tenant, sender) {
      guard let size else { return try await store.write(tenant) { try body($0) } }
      try await checkRoom(for: size, of: sender, at: tenant)
      let isUnbounded = signed.author == tenant && tenants.names(tenant)
      let countsTenants = tenants.isOpen
      let reply = try await store.write(tenant) { [room, quota = isUnbounded ? nil : quota(of: tenant)] transaction in
        func write() throws -> Reply { try quota.within(transaction, by: signed.author) { try body(transaction) } }
        return countsTenants ? try room.counting(tenant, transaction, write) : try write()
      }
      if reply.status.isSuccess { room.took(size) }
      return reply
    }
  }

  /// Throws status 507 if the node as a whole has no room for so many bytes of somebody's.
  func checkRoom(for size: Int, of sender: DID, at tenant: DID) async throws {
    guard sender != tenant || !tenants.names(tenant) else { return }
    try await room.check(size, in: store, now: uptime())
  }

  /// Of a tenant who is named nothing is bounded but what others have there.
  private func quota(of tenant: DID) -> TenantQuota? {
    tenants.names(tenant) ? limits.guestsOfNamed.map { .ofGuests($0) } : limits.quota
  }
}
