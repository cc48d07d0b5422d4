import DWN
import Identity

/// What a tenant may have stored. Others may send as much again and no more, so that nobody takes the tenant's own room. Of that, an
/// author may have as much as is still free beside it: one alone half of it, of two a third each, and so on. However many have all
/// that they may, there is room for one more.
///
/// What is left of records that were deleted keeps copies of them out. It has as many bytes of its own, for the tenant's records and for
/// those of others each, and none of it is ever forgotten: a delete may have taken a right away, which a copy would bring back. Where there
/// is more, nothing is added until the tenant prunes what lies above.
public struct TenantQuota: Hashable, Sendable {
  public var messages: Int
  /// Of messages and their data.
  public var bytes: Int
  /// Whether it holds for the tenant's own messages, too.
  private var boundsTenant = true

  public init(messages: Int, bytes: Int) {
    self.messages = messages
    self.bytes = bytes
  }

  /// For others than the tenant alone.
  static func ofGuests(_ quota: TenantQuota) -> TenantQuota {
    var quota = quota
    quota.boundsTenant = false
    return quota
  }

  /// What is stored at a tenant.
  struct Use: Hashable {
    var all: StoredShares
    /// What of it the author of a message has, who is not the tenant.
    var author = StoredUsage(messages: 0, bytes: 0)
  }

  /// Throws if a change added something for which there was no room. A change that frees room is always welcome.
  func check(_ before: Use, _ after: Use) throws(DWNError) {
    if after.all.guests.bytes > before.all.guests.bytes {
      try check(after.all.guests, within: self, of: "others than the tenant")
      try checkRemains(after.all.remainsOfGuests, of: "others")
    }
    if after.author.bytes > before.author.bytes {
      var free = self
      free.messages -= after.all.guests.messages
      free.bytes -= after.all.guests.bytes
      try check(after.author, within: free, of: "an author, as much as is still free,")
    }
    guard boundsTenant, after.all.tenant.bytes > before.all.tenant.bytes else { return }
    try check(after.all.tenant, within: self, of: "the tenant")
    try checkRemains(after.all.remainsOfTenant, of: "the tenant")
  }

  private func checkRemains(_ remains: StoredUsage, of whose: String) throws(DWNError) {
    guard remains.bytes <= bytes else {
      throw DWNError(
        429, "TenantStorageQuotaExceeded",
        "what is left of deleted records of \(whose) may have \(bytes) bytes here: a prune of a record above them frees that"
      )
    }
  }

  private func check(_ use: StoredUsage, within most: TenantQuota, of whose: String) throws(DWNError) {
    guard use.messages <= most.messages else {
      throw DWNError(429, "TenantMessageQuotaExceeded", "\(whose) may have \(most.messages) messages here")
    }
    guard use.bytes <= most.bytes else {
      throw DWNError(429, "TenantStorageQuotaExceeded", "\(whose) may have \(most.bytes) bytes here")
    }
  }
}

extension TenantQuota? {
  /// Makes a change in somebody's name, which is undone by what is thrown if there is no room for it.
  func within(_ transaction: any MessageTransaction, by author: DID, _ change: () throws -> Reply) throws -> Reply {
    guard let self else { return try change() }
    func use() throws -> TenantQuota.Use {
      TenantQuota.Use(all: try transaction.shares(), author: try transaction.usage(ofGuest: author))
    }
    let before = try use()
    let reply = try change()
    if reply.status.isSuccess { try self.check(before, use()) }
    return reply
  }
}
