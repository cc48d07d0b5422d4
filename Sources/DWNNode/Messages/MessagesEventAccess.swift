import DWN
import Identity
import Wire

/// Who follows a feed with a MessagesSubscribe gets every message of it that the filters name (dwn-server 9.5).
struct MessagesEventAccess: EventAccess {
  let access: MessagesAccess
  let filters: [MessagesFilter]
  /// When the subscription was asked for, by itself.
  let time: WallTime

  var filter: FeedFilter { .messages(filters) }
  /// Nobody but the tenant follows messages without one.
  var claimsRight: Bool { true }
  var subscriber: DID? { access.signed.author }
  var signer: DID? { access.signed.signer }

  func sight(in round: EventRound) throws -> any EventSight {
    Sight(showsData: try access.authorize(filters, at: max(round.now, time), in: round.reader))
  }

  private struct Sight: EventSight {
    let showsData: Bool

    func frame(of event: EventRound.Event) throws -> SubscriptionEvent? {
      var frame = event.frame
      if !showsData { frame.entry.data = nil }
      return frame
    }
  }
}
