import DWN

/// What a tenant may have stored. Others may send as much again and no more, so that nobody takes the tenant's own room.
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

  /// Throws if a change added something for which there was no room. A change that frees room is always welcome.
  func check(_ before: StoredUsage, _ after: StoredUsage) throws(DWNError) {
    if after.guestBytes > before.guestBytes {
      try check(after.guestMessages, after.guestBytes, of: "others than the tenant")
    }
    let own = after.bytes - after.guestBytes
    if boundsTenant, own > before.bytes - before.guestBytes {
      try check(after.messages - after.guestMessages, own, of: "the tenant")
    }
  }

  private func check(_ messages: Int, _ bytes: Int, of whose: String) throws(DWNError) {
    guard messages <= self.messages else {
      throw DWNError(429, "TenantMessageQuotaExceeded", "\(whose) may have \(self.messages) messages here")
    }
    guard bytes <= self.bytes else {
      throw DWNError(429, "TenantStorageQuotaExceeded", "\(whose) may have \(self.bytes) bytes here")
    }
  }
}

extension TenantQuota? {
  /// Makes a change, which is undone by what is thrown if there is no room for it.
  func within(_ transaction: any MessageTransaction, _ change: () throws -> Reply) throws -> Reply {
    guard let self else { return try change() }
    let before = try transaction.usage()
    let reply = try change()
    if reply.status.isSuccess { try self.check(before, transaction.usage()) }
    return reply
  }
}
