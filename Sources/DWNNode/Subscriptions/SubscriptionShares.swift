import DWN
import Identity

/// How many subscriptions of one tenant's feed others have, and who: nobody takes the room of all, and who has a right finds room
/// whatever strangers do.
struct SubscriptionShares: Sendable {
  private struct Share {
    var author: DID?
    var claimsRight: Bool
  }

  private var shares: [Int: Share] = [:]
  private var byAuthor: [DID?: Int] = [:]
  private var withoutRight = 0

  /// Throws status 429 when there is none.
  func checkRoom(for access: any EventAccess, _ limits: NodeLimits) throws(DWNError) {
    guard shares.count < limits.subscriptionsByOthers else {
      throw refused("\(limits.subscriptionsByOthers) others follow this tenant's feed already")
    }
    guard byAuthor[access.subscriber] ?? 0 < limits.subscriptionsByAuthor else {
      throw refused("an author follows a feed \(limits.subscriptionsByAuthor) times at most")
    }
    guard access.claimsRight || withoutRight < limits.subscriptionsWithoutRight else {
      throw refused("\(limits.subscriptionsWithoutRight) follow this tenant's feed already without a role or a grant")
    }
  }

  mutating func insert(_ id: Int, _ access: any EventAccess) {
    shares[id] = Share(author: access.subscriber, claimsRight: access.claimsRight)
    byAuthor[access.subscriber, default: 0] += 1
    if !access.claimsRight { withoutRight += 1 }
  }

  mutating func remove(_ id: Int) {
    guard let share = shares.removeValue(forKey: id) else { return }
    byAuthor[share.author, default: 1] -= 1
    if byAuthor[share.author] == 0 { byAuthor[share.author] = nil }
    if !share.claimsRight { withoutRight -= 1 }
  }

  private func refused(_ text: String) -> DWNError { DWNError(429, "SubscriptionQuotaExceeded", text) }
}
