import DWN
import Identity
import Synchronization
import Wire

/// What each author may write to each tenant, other than the author's own (dwn-server 13, fair shares).
///
/// A share is of what is taken: a message that is refused, or that was there already, costs nothing. So nobody uses up the share of
/// another by sending the other's messages again.
final class AuthorShares: Sendable {
  struct UsedUp: Error, Hashable {
    /// Until there is something of it again.
    let wait: Duration
  }

  private struct Visit: Hashable, Sendable {
    let tenant: DID
    let author: DID
  }

  private let buckets: Mutex<TokenBuckets<Visit>?>
  private let uptime: @Sendable () -> Instant

  /// `limit`: `nil` is none.
  init(_ limit: RateLimit?, uptime: @escaping @Sendable () -> Instant = { .now() }) {
    buckets = Mutex(limit.map { TokenBuckets(limit: $0) })
    self.uptime = uptime
  }

  /// Does something in the name of an author. Throws `UsedUp` instead when the share is. What does not return a success is not
  /// counted.
  func within(
    _ tenant: DID, _ author: DID, _ body: () async throws -> Reply
  ) async throws -> Reply {
    guard author != tenant else { return try await body() }
    let visit = Visit(tenant: tenant, author: author)
    if let wait = buckets.withLock({ $0?.take(visit, now: uptime()) ?? nil }) { throw UsedUp(wait: wait) }
    var isTaken = false
    defer { if !isTaken { buckets.withLock { $0?.giveBack(visit) } } }
    let reply = try await body()
    isTaken = reply.status.isSuccess
    return reply
  }
}
