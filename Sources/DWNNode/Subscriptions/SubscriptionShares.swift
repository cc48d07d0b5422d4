import DWN
import Identity

/// How many subscriptions of one tenant's feed others have, and who: nobody takes the room of all, and who has a right finds room
/// whatever strangers do. Of what is there for those without one, a network and a site have their parts.
struct SubscriptionShares: Sendable {
  private struct Share {
    var author: DID?
    /// Who asked, for one that claims no right.
    var stranger: Caller?
  }

  private let limits: NodeLimits
  private var shares: [Int: Share] = [:]
  private var byAuthor: [DID?: Int] = [:]
  private var strangers: CallerShares

  init(_ limits: NodeLimits) {
    self.limits = limits
    let whole = limits.subscriptionsWithoutRight
    strangers = CallerShares(of: whole, perNetwork: max(1, whole / 32), perSite: max(1, whole / 8))
  }

  /// Throws status 429 when there is no room for one more.
  mutating func take(_ id: Int, _ access: any EventAccess, from caller: Caller) throws(DWNError) {
    guard shares.count < limits.subscriptionsByOthers else {
      throw refused("\(limits.subscriptionsByOthers) others follow this tenant's feed already")
    }
    let isSigned = access.subscriber != nil
    let most = isSigned ? limits.subscriptionsByAuthor : limits.subscriptionsUnsigned
    guard byAuthor[access.subscriber] ?? 0 < most else {
      throw refused(
        isSigned ? "an author follows a feed \(most) times at most" : "\(most) follow this feed already unsigned")
    }
    guard access.claimsRight || strangers.take(1, for: caller) else {
      throw refused("too many follow this tenant's feed already without a role or a grant")
    }
    shares[id] = Share(author: access.subscriber, stranger: access.claimsRight ? nil : caller)
    byAuthor[access.subscriber, default: 0] += 1
  }

  mutating func remove(_ id: Int) {
    guard let share = shares.removeValue(forKey: id) else { return }
    byAuthor[share.author, default: 1] -= 1
    if byAuthor[share.author] == 0 { byAuthor[share.author] = nil }
    if let stranger = share.stranger { strangers.give(1, for: stranger) }
  }

  private func refused(_ text: String) -> DWNError { DWNError(429, "SubscriptionQuotaExceeded", text) }
}
